#!/usr/bin/env python3
"""Compares an adapter in a lora_dist HDF5 file with one in a PEFT folder, bit for bit.

    python3 check_adapter.py --hdf5 FILE.h5 --peft PEFT_DIR
    python3 check_adapter.py --program LORA_DIST

Compares every tensor, each module's rank, alpha and scaling with what adapter_config.json says, and labels.

The second sends each adapter of golden/files (needs torch and peft) through the program's `import` and `export`, with
labels where there is a head; compares the HDF5 file with what PEFT wrote; loads the folder that comes out into PEFT, which
must use every tensor, and compares the model's output with that of the adapter as PEFT wrote it, bit for bit.

Exit status 1 when anything differs.
"""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings

import h5py
import numpy as np
from safetensors.numpy import load_file

PREFIX = "base_model.model."


def pattern_value(patterns: dict, module: str, default):
    """rank_pattern and alpha_pattern: the first key that matches (.*\\.)?(key)$ gives the value."""
    for key, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default


def read_peft(folder: str) -> tuple[dict, dict]:
    """The tensors, and the numbers of modules of low rank."""
    with open(os.path.join(folder, "adapter_config.json"), encoding="utf-8") as file:
        config = json.load(file)
    tensors, numbers = {}, {}
    for key, value in load_file(os.path.join(folder, "adapter_model.safetensors")).items():
        name = key.removeprefix(PREFIX)
        if ".base_layer." in name:  # PEFT stores the frozen weight of an adapted lm_head too
            continue
        tensors[name] = value
        module, low_rank, _ = name.partition(".lora_")
        if low_rank:
            numbers[module] = module_numbers(config, module)
    return tensors, numbers


def module_numbers(config: dict, module: str) -> tuple[int, float, float]:
    rank = pattern_value(config.get("rank_pattern"), module, config["r"])
    alpha = pattern_value(config.get("alpha_pattern"), module, config["lora_alpha"])
    return rank, float(alpha), alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def read_hdf5(path: str) -> tuple[dict, dict]:
    tensors, numbers = {}, {}
    with h5py.File(path, "r") as file:
        for module, group in file["adapter"].items():
            for role, data in group.items():
                tensors[f"{module}.{role}" + (".weight" if role in ("lora_A", "lora_B") else "")] = data[()]
            if "rank" in group.attrs:
                numbers[module] = tuple(group.attrs[k].item() for k in ("rank", "alpha", "scaling"))
    return tensors, numbers


def labels_of_peft(folder: str) -> list | None:
    path = os.path.join(folder, "labels.json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        labels = json.load(file)
    return [labels[str(i)] for i in range(len(labels))] or None


def labels_of_hdf5(path: str) -> list | None:
    with h5py.File(path, "r") as file:
        return json.loads(file.attrs["labels"]) if "labels" in file.attrs else None


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def differences(ours: tuple, theirs: tuple) -> list[str]:
    mine, other = ours[0], theirs[0]
    out = [f"{name} is only in the PEFT folder" for name in sorted(other.keys() - mine.keys())]
    out += [f"{name} is only in the HDF5 file" for name in sorted(mine.keys() - other.keys())]
    out += [f"{name} differs ({mine[name].dtype}{list(mine[name].shape)} in HDF5, "
            f"{other[name].dtype}{list(other[name].shape)} in PEFT)"
            for name in sorted(mine.keys() & other.keys()) if not same_bits(mine[name], other[name])]
    out += [f"{m}: (rank, alpha, scaling) is {ours[1].get(m)} in HDF5, {theirs[1].get(m)} in PEFT"
            for m in sorted(ours[1].keys() | theirs[1].keys()) if ours[1].get(m) != theirs[1].get(m)]
    return out


def compare(hdf5: str, peft: str) -> tuple[list[str], str]:
    ours, theirs = read_hdf5(hdf5), read_peft(peft)
    found = differences(ours, theirs)
    if not theirs[0]:
        found.append("the PEFT folder holds no tensors")
    if labels_of_hdf5(hdf5) != labels_of_peft(peft):
        found.append(f"labels are {labels_of_hdf5(hdf5)} in HDF5, {labels_of_peft(peft)} in PEFT")
    return found, f"{len(theirs[1])} modules, {len(theirs[0])} tensors: the same bits"


def inputs(model) -> dict:
    import torch

    torch.manual_seed(3)
    if hasattr(model, "config") and hasattr(model.config, "vocab_size"):
        ids = torch.randint(2, model.config.vocab_size, (2, 9))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return {"pixel_values" if hasattr(model, "config") else "x": torch.randn(2, 3, 16, 16)}


def output_with(name: str, folder: str):
    """The logits of a case's base model with this adapter, and what PEFT did wrong or left out."""
    import make_files
    import torch
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors.torch import load_file as load_torch

    base = make_files.base_model(name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, folder).eval()
    found = [f"PEFT warns: {w.message}" for w in caught if re.search(r"adapter|key|module", str(w.message), re.I)]
    stored = load_torch(os.path.join(folder, "adapter_model.safetensors"))
    loaded = get_peft_model_state_dict(model, save_embedding_layers=False)
    found += [f"{key} is in one of file and model only" for key in sorted(stored.keys() ^ loaded.keys())]
    found += [f"{key} has other values in the model" for key in sorted(stored.keys() & loaded.keys())
              if not torch.equal(stored[key], loaded[key])]
    with torch.no_grad():
        out = model(**inputs(base))
    return out.logits if hasattr(out, "logits") else out, found


def check_case(program: str, name: str, golden: str) -> tuple[list[str], str]:
    with tempfile.TemporaryDirectory() as scratch:
        source, hdf5, peft = (os.path.join(scratch, part) for part in ("source", "adapter.h5", "peft"))
        shutil.copytree(golden, source)
        os.remove(os.path.join(source, "expected.json"))
        if any(re.match("(classifier|score|fc|linear)", key) for key in read_peft(source)[1]):
            with open(os.path.join(source, "labels.json"), "w", encoding="utf-8") as file:
                json.dump({str(i): label for i, label in enumerate(["no", "\u00fcber \"x\"", "\u4e00"])}, file)
        subprocess.run([program, "import", "--adapter", source, "--out", hdf5], check=True)
        subprocess.run([program, "export", "--adapter", hdf5, "--out", peft], check=True)
        found, said = compare(hdf5, source)
        found += compare(hdf5, peft)[0]
        (ours, wrong), (theirs, _) = output_with(name, peft), output_with(name, source)
        if not (ours == theirs).all():
            found.append("PEFT computes something else with our folder than with its own")
        return found + wrong, said + "; PEFT's output too"


def check_program(program: str) -> int:
    import transformers

    transformers.logging.set_verbosity_error()
    files = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files")
    bad = 0
    for folder in sorted(os.listdir(files)):
        if folder.startswith("peft_"):
            name = folder.removeprefix("peft_")
            found, said = check_case(program, name, os.path.join(files, folder))
            print(f"{name}: " + ("\n  ".join(found) if found else said))
            bad += bool(found)
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hdf5")
    parser.add_argument("--peft")
    parser.add_argument("--program")
    options = parser.parse_args()
    if options.program:
        return check_program(options.program)
    if not options.hdf5 or not options.peft:
        parser.error("--hdf5 and --peft, or --program")
    found, said = compare(options.hdf5, options.peft)
    print("\n".join(found) if found else said)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
