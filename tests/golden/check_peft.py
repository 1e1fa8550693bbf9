#!/usr/bin/env python3
"""Compares logits written by lora_dist with those of transformers + PEFT in float32.

    python3 check_peft.py --model DIR [--adapter PEFT_DIR] --logits FILE.safetensors [--tolerance 1e-4]

FILE holds, of a language model, seq0.ids, seq0.logits, seq1.ids, ...; logits of all positions. Of a classifier:
sample0.ids, sample0.types (left out: all 0), sample1.ids, ..., or pixels [B, C, H, W] (normalised), and logits
[B, classes].
The relative error of a tensor is max|ours - PEFT| / max|PEFT|. Exit status 1 when one is above the tolerance, when PEFT
warns about the adapter's keys or does not load one, or when a head is neither in the model nor in the adapter.
"""

import argparse
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import classifier_models  # noqa: E402
from golden_common import fail, relative  # noqa: E402


def load_model(folder: str, adapter: str | None):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    if adapter is None:
        return model.eval()
    stored = load_file(os.path.join(adapter, "adapter_model.safetensors"))
    return classifier_models.attach(model, adapter, stored)


def count(tensors: dict, name: str) -> int:
    n = 0
    while name.format(n) in tensors:
        n += 1
    return n


def compare_one(name: str, ours: torch.Tensor | None, theirs: torch.Tensor) -> float:
    if ours is None or ours.shape != theirs.shape:
        fail(f"{name} is {None if ours is None else list(ours.shape)}, not {list(theirs.shape)}")
    error = relative(ours, theirs)
    print(f"{name}: {list(theirs.shape)}, max relative error {error:.3g}")
    return error if error == error else float("inf")


def compare_sequences(model, tensors: dict) -> float:
    worst = 0.0
    for i in range(count(tensors, "seq{}.ids")):
        with torch.no_grad():
            theirs = model(tensors[f"seq{i}.ids"].long().reshape(1, -1)).logits[0]
        worst = max(worst, compare_one(f"seq{i}.logits", tensors.get(f"seq{i}.logits"), theirs))
    return worst


def compare_classes(model, tensors: dict) -> float:
    batch = tensors
    if "pixels" not in tensors:
        ids = [tensors[f"sample{i}.ids"] for i in range(count(tensors, "sample{}.ids"))]
        types = [tensors.get(f"sample{i}.types", torch.zeros_like(one)) for i, one in enumerate(ids)]
        batch = {"ids": ids, "types": types}
    with torch.no_grad():
        return compare_one("logits", tensors.get("logits"), classifier_models.run(model, batch))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter")
    parser.add_argument("--logits", required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tensors = load_file(options.logits)
    if "seq0.ids" in tensors:
        worst = compare_sequences(load_model(options.model, options.adapter), tensors)
    elif "sample0.ids" in tensors or "pixels" in tensors:
        worst = compare_classes(classifier_models.load_classifier(options.model, options.adapter), tensors)
    else:
        fail(f"{options.logits} has no seq0.ids, sample0.ids or pixels")
    good = worst <= options.tolerance
    print(f"max relative error {worst:.3g} ({'within' if good else 'ABOVE'} {options.tolerance:g})")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
