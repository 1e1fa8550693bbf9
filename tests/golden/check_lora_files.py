#!/usr/bin/env python3
"""Writes each adapter of files/lora_* as this build does, loads it by diffusers, and compares the LoRA layers.

    pip install (as for make_lora_files.py)
    python3 check_lora_files.py BUILD/tests/adapter_file

From kohya's files diffusers 0.42 takes only the most frequent alpha of the UNet, whatever the others are; such layers are
counted and not compared.

The kinds: diffusers' file and kohya's by load_lora_weights, the folders of PEFT by PeftModel on each part. kohya's DoRA,
which diffusers leaves out, is computed as ComfyUI does and compared with PEFT's merged weight.
"""
import collections
import pathlib
import subprocess
import sys
import tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file

from lora_file_models import full_path, layers, parts, pipeline

FILES = pathlib.Path(__file__).parent / "files"


def expected(folder):
    tensors = load_file(folder / "expected.safetensors")
    paths = {key.rsplit(".", 1)[0] for key in tensors}
    return {path: (tensors[f"{path}.lora_A"], tensors[f"{path}.lora_B"], tensors.get(f"{path}.lora_magnitude_vector"),
                   float(tensors[f"{path}.scaling"])) for path in paths}


def odd_alphas(wanted):
    """The UNet's modules whose alpha is not its most frequent one."""
    alphas = {path: round(v[3] * v[0].shape[0], 4) for path, v in wanted.items() if path.startswith("unet.")}
    (common, _), *_ = collections.Counter(alphas.values()).most_common()
    return {path for path, alpha in alphas.items() if alpha != common}


def compare(case, kind, found, wanted):
    assert found.keys() == wanted.keys(), (case, kind, sorted(found.keys() ^ wanted.keys()))
    left_out = odd_alphas(wanted) if kind == "kohya" else set()
    for path, (a, b, magnitude, scaling) in wanted.items():
        assert torch.equal(found[path][0], a) and torch.equal(found[path][1], b), (case, kind, path)
        assert path in left_out or abs(found[path][3] - scaling) <= 1e-7 * scaling, (case, kind, path, found[path][3], scaling)
        if kind != "kohya" and magnitude is not None:
            assert torch.equal(found[path][2], magnitude), (case, kind, path)
    scales = sorted({round(v[3], 4) for path, v in found.items() if path not in left_out})
    print(f"{case:20} {kind:10} {len(found)} layers equal, scales {scales}" + (f", {len(left_out)} left out" if left_out else ""))


def load_peft(pipe, folder):
    for part, model in parts(pipe):
        if (folder / part).exists():
            PeftModel.from_pretrained(model, folder / part)


def comfy(base, a, b, alpha, dora_scale):
    """weight_decompose of ComfyUI's weight adapters: the norm of a row of the changed weight."""
    change = (b.flatten(1) @ a.flatten(1)).reshape(base.shape) * (alpha / a.shape[0])
    changed = base + change
    norm = changed.reshape(changed.shape[0], -1).norm(dim=1).reshape(-1, *[1] * (changed.ndim - 1))
    return changed * (dora_scale / norm)


def check_comfy(case, pipe, out, kohya_file):
    """pipe has the adapter loaded by PEFT; its merged weights against those of kohya's file."""
    tensors = load_file(kohya_file)
    n, worst = 0, 0
    for part, model in parts(pipe):
        front = {"unet": "lora_unet_", "text_encoder": "lora_te_"}[part]
        for path, module in model.named_modules():
            if not hasattr(module, "lora_A"):
                continue
            name = front + full_path(part, path).split(".", 1)[1].replace(".", "_")
            base = module.get_base_layer().weight.detach().clone()
            mine = comfy(base, tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"],
                         float(tensors[f"{name}.alpha"]), tensors[f"{name}.dora_scale"])
            module.merge()
            worst = max(worst, float((mine - module.get_base_layer().weight).abs().max()))
            n += 1
    print(f"{case:20} comfy      {n} merged weights, largest difference {worst:.1e}")
    assert n and worst < 1e-5


def main():
    tool = sys.argv[1]
    for folder in sorted(FILES.glob("lora_*")):
        case, name = folder.name, "sdxl" if "sdxl" in folder.name else "sd"
        wanted = expected(folder)
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            for kind, out in [("diffusers", scratch / "d"), ("kohya", scratch / "k.safetensors"), ("peft", scratch / "p")]:
                subprocess.run([tool, folder, folder / "modules.txt", kind, out], check=True)
                pipe = pipeline(name)
                if kind == "peft":
                    load_peft(pipe, out)
                else:
                    pipe.load_lora_weights(out if kind == "diffusers" else scratch, weight_name=None if kind == "diffusers" else out.name)
                compare(case, kind, layers(pipe), wanted)
            if "dora" in case:
                pipe = pipeline(name)
                load_peft(pipe, scratch / "p")
                check_comfy(case, pipe, scratch, scratch / "k.safetensors")


if __name__ == "__main__":
    main()
