"""What config_settings.py and adapter_settings.py share: cases, how an outcome is judged, and the loop over them."""

import argparse
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
import transformers
from safetensors.torch import load_file

ABSENT = "(absent)"
FORMS = [ABSENT, None, 0, 1, -1, 2, 3, 1000, 10**6, 0.5, -0.5, 1e-12, 4.0, True, False, "text", "1", "", [1, 2], [], {},
         {"a": 1}]


class Case(NamedTuple):
    label: str
    edits: dict
    keys: tuple  # one of these must be named when it is refused


def changed(config: dict, edits: dict) -> dict:
    return {k: v for k, v in {**config, **edits}.items() if v is not ABSENT}


def ours(program: str, folder: str, adapter: str, text: str | None):
    """The logits of tests/logits, or its error."""
    out = os.path.join(folder, "out.safetensors")
    command = [program, folder, adapter, out] + ([] if text else [os.path.join(folder, "in.safetensors")])
    run = subprocess.run(command, input=text, text=True, capture_output=True, timeout=60,
                         env=dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1"))
    if run.returncode not in (0, 1):
        return f"CRASH: status {run.returncode}: {run.stderr.strip()}"
    if run.returncode:
        return run.stderr.strip().splitlines()[-1]
    tensors = load_file(out)
    return tensors["logits"] if "logits" in tensors else torch.cat([tensors[f"seq{i}.logits"] for i in range(2)])


def judge(case: Case, mine, right) -> str:
    if isinstance(mine, str):
        named = any(key in mine for key in case.keys) and not mine.startswith("CRASH")
        return "UNNAMED" if not named else "both" if isinstance(right, str) else "refused"
    if isinstance(right, str):
        return "LAX"
    if mine.shape != right.shape:
        return "WRONG"
    if not torch.isfinite(right).all():
        return "same" if (torch.isfinite(mine) == torch.isfinite(right)).all() else "WRONG"
    return "same" if (mine - right).abs().max() <= 1e-4 * right.abs().max() else "WRONG"


def show(outcome: str, family: str, case: Case, mine, right):
    def short(side):
        return side if isinstance(side, str) else f"logits {[round(x, 3) for x in side.flatten()[:2].tolist()]}"
    print(f"{outcome:8}{family}: {case.label}\n          ours:   {short(mine)}\n          theirs: {short(right)}")


def compare(family: str, cases: Iterable, both_sides: Callable, options) -> Counter:
    """Counts the outcomes of `cases`, of which both_sides(case) gives ours and theirs."""
    counts: Counter = Counter()
    for case in cases:
        if options.only and not any(name in case.label for name in options.only.split(",")):
            continue
        mine, right = both_sides(case)
        outcome = judge(case, mine, right)
        counts[outcome] += 1
        if options.all or outcome.isupper():
            show(outcome, family, case, mine, right)
    print(f"{family}: " + ", ".join(f"{outcome} {n}" for outcome, n in sorted(counts.items())), flush=True)
    return counts


def run(doc: str, families: str, run_family: Callable) -> int:
    """The program: options, every family, and the exit status."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logits", required=True, help="the program tests/logits of a build")
    parser.add_argument("--family", default=families)
    parser.add_argument("--only", help="cases whose label contains one of these")
    parser.add_argument("--all", action="store_true", help="print every case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity(50)
    transformers.logging.disable_progress_bar()
    counts = [run_family(family, options) for family in options.family.split(",")]
    return int(any(outcome.isupper() for one in counts for outcome in one))
