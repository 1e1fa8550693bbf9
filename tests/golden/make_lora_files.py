#!/usr/bin/env python3
"""Makes files/lora_*: adapters of tiny image generators as diffusers saves them, in older spellings, and in kohya's form;
each with expected.safetensors, the LoRA layers that were saved. (diffusers 0.42 does not load all that it saves: not
to_q where the first name is that of a convolution, nor the magnitudes of a text encoder.)

    pip install torch==2.13.0 transformers==5.24.0 peft==0.21.2 diffusers==0.42.1 safetensors
    python3 make_lora_files.py
"""
import pathlib
import shutil

import torch
from diffusers.training_utils import _collate_lora_metadata
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from lora_file_models import layers, modules, parts, pipeline

FILES = pathlib.Path(__file__).parent / "files"
NAME = "pytorch_lora_weights.safetensors"
ATTENTION = "down_blocks.{}.attentions.0.transformer_blocks.0.attn1.to_q"


SD = ["conv_in", "down_blocks.0.attentions.0.proj_in", ATTENTION.format(0),
      "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_out.0", "down_blocks.0.downsamplers.0.conv",
      "mid_block.resnets.1.time_emb_proj", "mid_block.attentions.0.transformer_blocks.0.ff.net.2",
      "up_blocks.1.resnets.0.conv_shortcut", "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_v", "time_embedding.linear_1"]

# Names of SDXL's modules in the first layout, written down by hand for the tiny model: two steps a block.
FIRST = {
    "conv_in": "input_blocks_0_0",
    "time_embedding.linear_1": "time_embed_0",
    "add_embedding.linear_1": "label_emb_0_0",
    "down_blocks.0.resnets.0.conv1": "input_blocks_1_0_in_layers_2",
    "down_blocks.0.resnets.1.time_emb_proj": "input_blocks_2_0_emb_layers_1",
    "down_blocks.0.downsamplers.0.conv": "input_blocks_3_0_op",
    "down_blocks.1.resnets.0.conv_shortcut": "input_blocks_4_0_skip_connection",
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q": "input_blocks_4_1_transformer_blocks_0_attn1_to_q",
    "down_blocks.1.downsamplers.0.conv": "input_blocks_6_0_op",
    "down_blocks.2.attentions.1.transformer_blocks.1.ff.net.2": "input_blocks_8_1_transformer_blocks_1_ff_net_2",
    "mid_block.resnets.0.conv1": "middle_block_0_in_layers_2",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0": "middle_block_1_transformer_blocks_0_attn2_to_out_0",
    "mid_block.resnets.1.time_emb_proj": "middle_block_2_emb_layers_1",
    "up_blocks.0.resnets.2.conv1": "output_blocks_2_0_in_layers_2",
    "up_blocks.0.attentions.0.proj_in": "output_blocks_0_1_proj_in",
    "up_blocks.0.upsamplers.0.conv": "output_blocks_2_2_conv",
    "up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_k": "output_blocks_5_1_transformer_blocks_0_attn2_to_k",
    "up_blocks.1.upsamplers.0.conv": "output_blocks_5_2_conv",
    "up_blocks.2.resnets.0.conv_shortcut": "output_blocks_6_0_skip_connection",
}


def fill(pipe):
    """Random values, also where PEFT begins with zeros."""
    torch.manual_seed(3)
    for _, model in parts(pipe):
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.data = torch.randn(parameter.shape)


def adapted(name, dora=False, alphas=True):
    pipe = pipeline(name)
    unet = list(FIRST) if name == "sdxl" else SD
    unet = ["attn1.to_q", "mid_block.resnets.0.conv1"] if dora else unet
    path = ATTENTION.format(1 if name == "sdxl" else 0)
    pipe.unet.add_adapter(LoraConfig(r=2, lora_alpha=3, target_modules=unet, use_dora=dora, rank_pattern={path: 3},
                                     alpha_pattern={path: 5, "conv_in": 1} if alphas else {}))
    pipe.text_encoder.add_adapter(LoraConfig(r=1, lora_alpha=4, target_modules=["q_proj", "out_proj", "fc1"], use_dora=dora))
    if name == "sdxl":
        pipe.text_encoder_2.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["1.self_attn.v_proj", "out_proj"]))
    fill(pipe)
    return pipe


def save(pipe, folder, metadata=True):
    state = {f"{part}_lora_layers": convert_state_dict_to_diffusers(get_peft_model_state_dict(model))
             for part, model in parts(pipe)}
    settings = _collate_lora_metadata({part: model for part, model in parts(pipe)}) if metadata else {}
    pipe.save_lora_weights(folder, **state, **settings)


def expect(folder, name, pipe, scaled=True):
    """The layers that were saved; without metadata each has the scale 1."""
    tensors = {}
    for path, (a, b, magnitude, scaling) in layers(pipe).items():
        tensors |= {f"{path}.lora_A": a, f"{path}.lora_B": b, f"{path}.scaling": torch.tensor([scaling if scaled else 1], dtype=torch.float64)}
        if magnitude is not None:
            tensors[f"{path}.lora_magnitude_vector"] = magnitude
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "expected.safetensors")
    (folder / "modules.txt").write_text("\n".join(modules(pipeline(name))) + "\n")


def fresh(name):
    folder = FILES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def rename(folder, into, change, metadata=None):
    """The file with other names."""
    save_file({change(k): v for k, v in load_file(folder / NAME).items()}, into / NAME, metadata or {"format": "pt"})


def old_name(key):
    """As diffusers 0.14 to 0.22 wrote the attention's matrices, and the text encoder's."""
    for kind in ["to_q", "to_k", "to_v", "to_out"]:
        for attention in ["attn1", "attn2"]:
            for before, after in [("lora.down", "down"), ("lora.up", "up"), ("lora_A", "down"), ("lora_B", "up")]:
                part = kind + ".0" if kind == "to_out" else kind
                key = key.replace(f"{attention}.{part}.{before}.", f"{attention}.processor.{kind}_lora.{after}.")
    for new, old in [("q_proj", "to_q"), ("out_proj", "to_out")]:
        for way in ["down", "up"]:
            key = key.replace(f"self_attn.{new}.lora_linear_layer.{way}.", f"self_attn.{old}_lora.{way}.")
    return key.replace("text_encoder.encoder.", "text_encoder.text_model.encoder.")


def kohya(pipe, first, dora=False):
    tensors = {}
    for path, (a, b, magnitude, scaling) in layers(pipe).items():
        part, rest = path.split(".", 1)
        if first and part == "unet" and rest not in FIRST:
            continue
        front = {"unet": "lora_unet_", "text_encoder": "lora_te1_" if first else "lora_te_", "text_encoder_2": "lora_te2_"}
        name = front[part] + (FIRST[rest] if first and part == "unet" else rest.replace(".", "_"))
        tensors |= {f"{name}.lora_down.weight": a, f"{name}.lora_up.weight": b,
                    f"{name}.alpha": torch.tensor(scaling * a.shape[0])}
        if dora:
            tensors[f"{name}.dora_scale"] = magnitude.reshape(-1, *[1] * (a.ndim - 1))
    return {k: v.contiguous() for k, v in tensors.items()}


def main():
    for name in ["sd", "sdxl"]:
        folder = fresh(f"lora_{name}")
        save(adapted(name), folder)
        expect(folder, name, adapted(name))
        into = fresh(f"lora_kohya_{name}")
        save_file(kohya(adapted(name, alphas=False), name == "sdxl"), into / NAME, {"ss_network_dim": "2"})
        expect(into, name, adapted(name, alphas=False))
    folder, dora = fresh("lora_sd_dora"), adapted("sd", dora=True)
    save(dora, folder)
    expect(folder, "sd", dora)
    into = fresh("lora_kohya_sd_dora")
    save_file(kohya(dora, False, dora=True), into / NAME)
    expect(into, "sd", dora)
    folder = fresh("lora_sd_plain")
    save(adapted("sd"), folder, metadata=False)
    expect(folder, "sd", adapted("sd"), scaled=False)
    into = fresh("lora_sd_old")
    rename(folder, into, old_name)
    expect(into, "sd", adapted("sd"), scaled=False)


if __name__ == "__main__":
    main()
