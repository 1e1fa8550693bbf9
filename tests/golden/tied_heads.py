#!/usr/bin/env python3
"""Compares adapters on the head of tied models, and their merged folders, with PEFT and transformers.

    python3 tied_heads.py --program BUILD/lora_dist --logits BUILD/tests/logits

Each family of language models, tied; the folder with the embedding alone, with a copy of it as lm_head.weight, with
lm_head.weight alone, with another one (which transformers 5 does not tie), in two shards, and without the body's name;
the adapter with lm_head whole, with LoRA on it, and without it. Four logits must agree to 1e-4: PEFT's, ours with the
adapter, transformers' of the merged folder, and ours of it; and a merged folder whose head is no longer the embedding
says tie_word_embeddings false. Exit status 1 when one does not."""

import argparse
import json
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import peft  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

import config_settings  # noqa: E402

IDS = [1] + [(i * 37 + 11) % 64 for i in range(30)]
LAYOUTS = ["embedding", "both", "head", "other", "shards", "bare"]
ADAPTERS = {"whole": dict(modules_to_save=["lm_head"]), "lora": {}, "none": {}}


def lay_out(model, folder: str, layout: str):
    model.save_pretrained(folder)
    path = os.path.join(folder, "model.safetensors")
    tensors = load_file(path)
    name = next(n for n in tensors if "embed_tokens" in n or "wte" in n)
    if layout in ("both", "head"):
        tensors["lm_head.weight"] = tensors[name].clone()
    if layout == "head":
        del tensors[name]
    if layout in ("other", "shards"):
        tensors["lm_head.weight"] = torch.randn(tensors[name].shape) * 0.3
    if layout == "bare":
        tensors = {n.split(".", 1)[1]: t for n, t in tensors.items()}
    if layout == "shards":
        os.remove(path)
        names = sorted(tensors)
        parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
        for part, some in parts.items():
            save_file({n: tensors[n] for n in some}, os.path.join(folder, part), {"format": "pt"})
        with open(path + ".index.json", "w", encoding="utf-8") as file:
            json.dump({"metadata": {}, "weight_map": {n: part for part, some in parts.items() for n in some}}, file)
    else:
        save_file(tensors, path, {"format": "pt"})


def make_adapter(base: str, folder: str, kind: str, family: str):
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    targets = ["c_attn"] if family == "gpt2" else ["q_proj"]
    if kind == "lora":
        targets.append("lm_head")
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM", **ADAPTERS[kind])
    adapted = peft.get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.data = torch.randn(parameter.shape) * 0.3
    adapted.save_pretrained(folder, save_embedding_layers=False)


def logits_of(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(torch.tensor([IDS])).logits[0]


def ours(program: str, base: str, adapter: str, out: str) -> torch.Tensor:
    subprocess.run([program, base, adapter, out], input=" ".join(map(str, IDS)), text=True, check=True,
                   capture_output=True)
    return load_file(out)["seq0.logits"]


def check(options, work: str, family: str, layout: str, kind: str) -> str:
    base, adapter, merged, out = (os.path.join(work, name) for name in ("base", "adapter", "merged", "out"))
    torch.manual_seed(3)
    config = dict(config_settings.tiny(family), tie_word_embeddings=True)
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(family, **config))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.3 + (1 if parameter.ndim == 1 else 0)
    model.tie_weights()
    lay_out(model, base, layout)
    make_adapter(base, adapter, kind, family)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    right = logits_of(peft.PeftModel.from_pretrained(loaded, adapter))
    subprocess.run([options.program, "merge", "--model", base, "--adapter", adapter, "--out", merged], check=True,
                   capture_output=True)
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32,
                                                                     output_loading_info=True)
    with open(os.path.join(merged, "config.json"), encoding="utf-8") as file:
        flag = json.load(file)["tie_word_embeddings"]
    results = {"ours": ours(options.logits, base, adapter, out), "merged, theirs": logits_of(theirs),
               "merged, ours": ours(options.logits, merged, "-", out)}
    bad = [f"{name} {(x - right).abs().max() / right.abs().max():.1e}" for name, x in results.items()
           if (x - right).abs().max() > 1e-4 * right.abs().max()]
    if info["missing_keys"] or info["unexpected_keys"]:
        bad.append(f"{info['missing_keys']} missing, {info['unexpected_keys']} unexpected")
    if flag != (kind == "none" and layout not in ("other", "shards")):
        bad.append(f"tie_word_embeddings is {flag}")
    return ", ".join(bad) or "same"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--logits", required=True)
    options = parser.parse_args()
    transformers.logging.set_verbosity(50)
    transformers.logging.disable_progress_bar()
    failed = False
    for family in ("gpt2", "llama", "mistral", "qwen2", "qwen3"):
        for layout in LAYOUTS:
            for kind in ADAPTERS:
                with tempfile.TemporaryDirectory() as work:
                    result = check(options, work, family, layout, kind)
                print(f"{family:8} {layout:10} {kind:6} {result}", flush=True)
                failed = failed or result != "same"
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
