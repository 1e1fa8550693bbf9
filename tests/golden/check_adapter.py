#!/usr/bin/env python3
"""Compares an adapter in a lora_dist HDF5 file with one in a PEFT folder, bit for bit.

    python3 check_adapter.py --hdf5 FILE.h5 --peft PEFT_DIR

Compares the set of modules, every A and B, and each module's rank, alpha and scaling with what
adapter_config.json says; and modules trained whole. Exit status 1 when anything differs.
"""

import argparse
import json
import math
import os
import re
import sys

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


def read_peft(folder: str) -> tuple[dict, dict, dict]:
    """Tensors of modules ("<module>/A"), tensors of modules trained whole, and numbers of modules."""
    with open(os.path.join(folder, "adapter_config.json"), encoding="utf-8") as file:
        config = json.load(file)
    lora, full, numbers = {}, {}, {}
    for key, value in load_file(os.path.join(folder, "adapter_model.safetensors")).items():
        name = key.removeprefix(PREFIX)
        match = re.fullmatch(r"(.*)\.lora_([AB])\.weight", name)
        if match:
            lora[f"{match[1]}/{match[2]}"] = value
            numbers[match[1]] = module_numbers(config, match[1])
        elif ".base_layer." not in name:  # PEFT stores the frozen weight of an adapted lm_head too
            full[name] = value
    return lora, full, numbers


def module_numbers(config: dict, module: str) -> tuple[int, float, float]:
    rank = pattern_value(config.get("rank_pattern"), module, config["r"])
    alpha = pattern_value(config.get("alpha_pattern"), module, config["lora_alpha"])
    return rank, float(alpha), alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def read_hdf5(path: str) -> tuple[dict, dict, dict]:
    with h5py.File(path, "r") as file:
        groups = file.get("lora", {})
        lora = {f"{m}/{p}": groups[m][p][()] for m in groups for p in groups[m]}
        full = {name: data[()] for name, data in file.get("full", {}).items()}
        numbers = {m: tuple(groups[m].attrs[k].item() for k in ("rank", "alpha", "scaling")) for m in groups}
    return lora, full, numbers


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def differences(ours: tuple, theirs: tuple) -> list[str]:
    out = []
    for kind, mine, other in zip(("lora", "full"), ours, theirs):
        out += [f"{kind}: {name} is only in the PEFT folder" for name in sorted(other.keys() - mine.keys())]
        out += [f"{kind}: {name} is only in the HDF5 file" for name in sorted(mine.keys() - other.keys())]
        out += [f"{kind}: {name} differs ({mine[name].dtype}{list(mine[name].shape)} in HDF5, "
                f"{other[name].dtype}{list(other[name].shape)} in PEFT)"
                for name in sorted(mine.keys() & other.keys()) if not same_bits(mine[name], other[name])]
    out += [f"{m}: (rank, alpha, scaling) is {ours[2][m]} in HDF5, {theirs[2][m]} in PEFT"
            for m in sorted(ours[2].keys() & theirs[2].keys()) if ours[2][m] != theirs[2][m]]
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hdf5", required=True)
    parser.add_argument("--peft", required=True)
    options = parser.parse_args()
    ours, theirs = read_hdf5(options.hdf5), read_peft(options.peft)
    found = differences(ours, theirs)
    if not theirs[0] and not theirs[1]:
        found.append("the PEFT folder holds no tensors")
    print("\n".join(found) if found else f"{len(theirs[2])} modules, {len(theirs[0])} matrices: the same bits")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
