#!/usr/bin/env python3
"""Records what diffusers makes of tiny checkpoints in one file: single_files/*.txt. With a build it also compares the
program with diffusers, on these and on the published shapes (which needs 4 GB of room for a moment).

    pip install torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 safetensors
    python3 make_single_files.py
    python3 make_single_files.py --check ../../build-developer/lora_dist

A line "from NAME DTYPE SHAPE" is a tensor of the file, whose bytes follow from its name (single_files.py); a line
"to COMPONENT NAME DTYPE SHAPE CHECKSUM" one of the folder.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import tempfile
import types

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as judge
from safetensors import safe_open
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import single_files as files

here = pathlib.Path(__file__).parent
TYPES = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64}
NAMES = {torch.float32: "F32", torch.float16: "F16"}


def as_torch(name, dtype, shape):
    return torch.frombuffer(bytearray(files.bytes_of(name, dtype, shape).tobytes()), dtype=TYPES[dtype]).reshape(shape)


def by_diffusers(m):
    """{component: {name: tensor}}"""
    checkpoint = {name: as_torch(name, *rest) for name, rest in files.tensors(m).items()}
    unet = {"layers_per_block": m["units"], "addition_embed_type": "text_time" if m["kind"] == "sdxl" else None}
    levels = [None] * len(m["vae"]["mult"])
    out = {"unet": judge.convert_ldm_unet_checkpoint(checkpoint, unet),
           "vae": judge.convert_ldm_vae_checkpoint(checkpoint, {"down_block_types": levels, "up_block_types": levels})}
    model = types.SimpleNamespace(config=types.SimpleNamespace(hidden_size=m["texts"][-1]["width"]))
    if m["kind"] == "sd2":
        out["text_encoder"] = judge.convert_open_clip_checkpoint(model, checkpoint, "cond_stage_model.model.")
    else:
        out["text_encoder"] = judge.convert_ldm_clip_checkpoint(checkpoint)
    if m["kind"] == "sdxl":
        out["text_encoder_2"] = judge.convert_open_clip_checkpoint(model, checkpoint, "conditioner.embedders.1.model.")
    for part in out.values():
        part.pop("text_model.embeddings.position_ids", None)
    return out


def raw(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().reshape(-1)


def record(name, m):
    lines = [f"from {key} {dtype} {','.join(map(str, shape)) or '-'}" for key, (dtype, shape) in files.tensors(m).items()]
    for component, part in by_diffusers(m).items():
        for key, tensor in sorted(part.items()):
            lines.append(f"to {component} {key} {NAMES[tensor.dtype]} {','.join(map(str, tensor.shape))} {files.checksum(raw(tensor))}")
    (here / "single_files").mkdir(exist_ok=True)
    (here / "single_files" / f"{name}.txt").write_text("\n".join(lines) + "\n")


def convert(program, m, folder, fill):
    files.write(folder / "model.safetensors", files.tensors(m), fill)
    command = [program, "convert", "--model", folder / "model.safetensors", "--out", folder / "out"]
    subprocess.run(command + (["--prediction", "v_prediction"] if m["kind"] == "sd2" else []), check=True)
    return folder / "out"


def weights(folder, component):
    (path,) = (folder / component).glob("*.safetensors")
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) if fill else list(file.get_slice(key).get_shape()) for key in file.keys()
                for fill in [path.stat().st_size < 1 << 28]}


def compare_bits(program):
    for name, m in files.MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            out = convert(program, m, pathlib.Path(folder), True)
            n = 0
            for component, part in by_diffusers(m).items():
                ours = weights(out, component)
                assert ours.keys() == part.keys(), (component, ours.keys() ^ part.keys())
                for key, tensor in part.items():
                    assert ours[key].shape == tensor.shape and (raw(ours[key]) == raw(tensor)).all(), key
                n += len(part)
            check_models(out)
            print(f"{name}: {n} tensors with equal bits")


def check_models(out):
    """The written configs make networks with the written names and shapes."""
    for component in ["unet", "vae", "text_encoder", "text_encoder_2"]:
        if not (out / component).exists():
            continue
        config = json.loads((out / component / "config.json").read_text())
        with torch.device("meta"):
            if component == "unet":
                model = UNet2DConditionModel.from_config(config)
            elif component == "vae":
                model = AutoencoderKL.from_config(config)
            else:
                kind = CLIPTextModelWithProjection if config["architectures"] == ["CLIPTextModelWithProjection"] else CLIPTextModel
                model = kind(CLIPTextConfig(**config))
        expected = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
        if component == "text_encoder":
            expected = {key if key.startswith("text_") else f"text_model.{key}": shape for key, shape in expected.items()}
        shapes = {key: list(value) if isinstance(value, list) else list(value.shape) for key, value in weights(out, component).items()}
        assert shapes == expected, (component, {k: (shapes.get(k), expected.get(k)) for k in shapes.keys() | expected.keys()
                                                if shapes.get(k) != expected.get(k)})
        print(f"  {component}: {len(shapes)} names and shapes as in {type(model).__name__}")


# What the published folders say, where it matters.
SAID = {
    "sd1": {"unet": dict(attention_head_dim=8, block_out_channels=[320, 640, 1280, 1280], cross_attention_dim=768, sample_size=64,
                         down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], layers_per_block=2,
                         up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3),
            "vae": dict(block_out_channels=[128, 256, 512, 512], layers_per_block=2, latent_channels=4, sample_size=512),
            "text_encoder": dict(hidden_act="quick_gelu", hidden_size=768, intermediate_size=3072, num_attention_heads=12,
                                 num_hidden_layers=12, projection_dim=768, vocab_size=49408)},
    "sd2": {"unet": dict(attention_head_dim=[5, 10, 20, 20], cross_attention_dim=1024, sample_size=96, use_linear_projection=True,
                         upcast_attention=True),
            "vae": dict(sample_size=768),
            "text_encoder": dict(hidden_act="gelu", hidden_size=1024, intermediate_size=4096, num_attention_heads=16,
                                 num_hidden_layers=23, projection_dim=512),
            "scheduler": dict(prediction_type="v_prediction", beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")},
    "sdxl": {"unet": dict(attention_head_dim=[5, 10, 20], cross_attention_dim=2048, sample_size=128, use_linear_projection=True,
                          transformer_layers_per_block=[1, 2, 10], addition_embed_type="text_time", addition_time_embed_dim=256,
                          projection_class_embeddings_input_dim=2816,
                          down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                          up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]),
             "vae": dict(scaling_factor=0.13025, sample_size=1024, force_upcast=True),
             "text_encoder": dict(hidden_act="quick_gelu", num_hidden_layers=12),
             "text_encoder_2": dict(hidden_act="gelu", hidden_size=1280, intermediate_size=5120, num_attention_heads=20,
                                    num_hidden_layers=32, projection_dim=1280)},
}


def compare_published(program):
    for name, m in files.PUBLISHED.items():
        with tempfile.TemporaryDirectory() as folder:
            out = convert(program, m, pathlib.Path(folder), False)
            print(name)
            check_models(out)
            for component, said in SAID[name].items():
                config = json.loads(next((out / component).glob("*config.json")).read_text())
                for key, value in said.items():
                    assert config[key] == value, (component, key, config[key])
            shutil.rmtree(out)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--check", help="the program")
    program = arguments.parse_args().check
    if program:
        compare_bits(program)
        compare_published(program)
    else:
        for name, m in files.MODELS.items():
            record(name, m)
