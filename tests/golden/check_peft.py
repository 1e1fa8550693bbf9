#!/usr/bin/env python3
"""Compares logits written by lora_dist with those of transformers + PEFT in float32.

    python3 check_peft.py --model DIR [--adapter PEFT_DIR] --logits FILE.safetensors [--tolerance 1e-4]

FILE holds seq0.ids, seq0.logits, seq1.ids, ...; logits of all positions. The relative error of a tensor is
max|ours - PEFT| / max|PEFT|. Exit status 1 when one is above the tolerance or PEFT warns about the adapter's keys.
"""

import argparse
import os
import re
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file  # noqa: E402


def fail(text: str):
    raise SystemExit(f"check_peft.py: {text}")


def load_model(folder: str, adapter: str | None):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    if adapter is None:
        return model.eval()
    from peft import PeftModel

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(model, adapter)
    told = [str(w.message) for w in caught if re.search(r"\bkeys?\b", str(w.message), re.I)]
    if told:
        fail(f"PEFT warns about {adapter}: {told}")
    check_all_loaded(model, adapter)
    return model.eval()


def check_all_loaded(model, adapter: str):
    """PEFT ignores keys that it does not know in silence: look for each stored tensor in the loaded model."""
    stored = load_file(os.path.join(adapter, "adapter_model.safetensors"))
    loaded = {re.sub(r"\.(default)(?=\.|$)", "", k, count=1): v for k, v in model.state_dict().items()}
    for key, value in stored.items():
        tensor = loaded.get(key)
        if tensor is None:
            tensor = loaded.get(re.sub(r"\.(weight|bias)$", r".modules_to_save.\1", key))
        if tensor is None or not torch.equal(tensor, value.to(tensor.dtype)):
            fail(f"{adapter}: tensor {key} was not loaded by PEFT as it is stored")


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


def compare(model, tensors: dict) -> float:
    worst, i = 0.0, 0
    while f"seq{i}.ids" in tensors:
        ids = tensors[f"seq{i}.ids"].long().reshape(1, -1)
        ours = tensors.get(f"seq{i}.logits")
        with torch.no_grad():
            theirs = model(ids).logits[0]
        if ours is None or ours.shape != theirs.shape:
            fail(f"seq{i}.logits is {None if ours is None else list(ours.shape)}, not {list(theirs.shape)}")
        error = relative(ours, theirs)
        print(f"seq{i}: {ids.shape[1]} tokens, max relative error {error:.3g}")
        worst = max(worst, error if error == error else float("inf"))
        i += 1
    if i == 0:
        fail("the logits file has no seq0.ids")
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter")
    parser.add_argument("--logits", required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    worst = compare(load_model(options.model, options.adapter), load_file(options.logits))
    good = worst <= options.tolerance
    print(f"max relative error {worst:.3g} ({'within' if good else 'ABOVE'} {options.tolerance:g})")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
