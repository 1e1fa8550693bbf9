"""What the scripts that make golden models share: seeds, adapters, schedules, the recorded training loop."""

import argparse
import json
import math
import os
import shutil
import sys
import warnings
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))


def fail(text: str):
    raise SystemExit(f"{os.path.basename(sys.argv[0])}: {text}")


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


def write_json(path: str, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def read_json(path: str):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def sources(seed: int, name: str) -> tuple[np.random.Generator, torch.Generator]:
    """The randomness of a case, from (seed, name) alone."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return rng, torch.Generator().manual_seed(int(rng.integers(1 << 62)))


PREFIX = "base_model.model."  # of PEFT, before the paths of the base


def lora_layers(model):
    """(module path in the base, layer) of every adapted module, sorted."""
    found = [(n.removeprefix(PREFIX), m) for n, m in model.named_modules() if hasattr(m, "lora_A") and len(m.lora_A)]
    return sorted(found)


def lora_parameters(model) -> dict[str, torch.nn.Parameter]:
    out = {}
    for path, layer in lora_layers(model):
        out[f"{path}.A"] = layer.lora_A["default"].weight
        out[f"{path}.B"] = layer.lora_B["default"].weight
        if "default" in layer.lora_magnitude_vector:  # DoRA
            out[f"{path}.magnitude_vector"] = layer.lora_magnitude_vector["default"].weight
    return out


def whole_parameters(model) -> dict[str, torch.nn.Parameter]:
    """The parameters of modules trained whole, by their path in the base."""
    mark = ".modules_to_save.default"
    found = {n.removeprefix(PREFIX).replace(mark, ""): p for n, p in model.named_parameters() if mark in n}
    return dict(sorted(found.items()))


def trained_parameters(model) -> dict[str, torch.nn.Parameter]:
    params = {**lora_parameters(model), **whole_parameters(model)}
    wanted = [p for p in model.parameters() if p.requires_grad]
    if {id(p) for p in wanted} != {id(p) for p in params.values()}:
        fail("PEFT trains other parameters than those recorded")
    return params


def fill_adapter(model, gen: torch.Generator, effect: float = 0.5):
    """A and B such that the adapter moves each module's output by about `effect`, as much as matters and not more."""
    for _, layer in lora_layers(model):
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        scale = effect / (layer.scaling["default"] * math.sqrt(a.shape[0]))
        a.data = torch.randn(a.shape, generator=gen) / math.sqrt(a[0].numel())
        b.data = torch.randn(b.shape, generator=gen) * scale
        for magnitude in layer.lora_magnitude_vector.values():
            magnitude.weight.data *= 1 + 0.3 * torch.randn(magnitude.weight.shape, generator=gen)


def tidy_adapter(folder: str, name: str):
    """Makes PEFT's folder the same in every run: no model card, sorted lists, no path of this machine."""
    card = os.path.join(folder, "README.md")
    if os.path.exists(card):
        os.remove(card)
    path = os.path.join(folder, "adapter_config.json")
    config = read_json(path)
    config["base_model_name_or_path"] = name
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    write_json(path, config)


def lr_schedule(optimizer, run, steps: int):
    # share of the steps, rounded up as transformers' Trainer does; the small subtraction absorbs 0.1 * 20 > 2
    warmup = int(run.warmup) if run.warmup >= 1 else math.ceil(run.warmup * steps - 1e-9)
    if run.schedule == "linear":
        return transformers.get_linear_schedule_with_warmup(optimizer, warmup, steps)
    if run.schedule == "cosine":
        return transformers.get_cosine_schedule_with_warmup(optimizer, warmup, steps)
    return transformers.get_constant_schedule_with_warmup(optimizer, warmup)


def train(params: dict, mean_loss, run, steps: int) -> dict[str, torch.Tensor]:
    """AdamW on `params`; mean_loss(step) is the loss of one batch."""
    optimizer = torch.optim.AdamW(params.values(), lr=run.lr, betas=(run.beta1, run.beta2), eps=run.eps,
                                  weight_decay=run.weight_decay, foreach=False)
    schedule = lr_schedule(optimizer, run, steps)
    losses, norms, rates = [], [], []
    for step in range(steps):
        loss = mean_loss(step)
        optimizer.zero_grad()
        loss.backward()
        norms.append(math.sqrt(sum(p.grad.double().square().sum().item() for p in params.values())))
        if run.clip > 0:
            torch.nn.utils.clip_grad_norm_(params.values(), run.clip)
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    out = {f"final.{name}": p.detach().clone() for name, p in params.items()}
    for name, values in (("loss", losses), ("grad_norm", norms), ("lr", rates)):
        out[name] = torch.tensor(values, dtype=torch.float64)
    return out


def options_of(run) -> str:
    """The optimizer's part of a run's command line."""
    values = [("--lr", run.lr), ("--schedule", run.schedule), ("--warmup", run.warmup),
              ("--weight-decay", run.weight_decay), ("--beta1", run.beta1), ("--beta2", run.beta2),
              ("--eps", run.eps), ("--clip", run.clip)]
    return " ".join(f"{name} {value}" for name, value in values)


def pad(rows, part: int, width: int) -> torch.Tensor:
    return torch.tensor([row[part] + [0] * (width - len(row[part])) for row in rows], dtype=torch.int32)


def shorten(facts: dict) -> str:
    return json.dumps({k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in facts.items()})


def chosen(cases: list, only: str) -> list:
    """The cases that --only names, all without names."""
    wanted = [n for n in only.split(",") if n]
    unknown = set(wanted) - {c.name for c in cases}
    if unknown:
        fail(f"--only: no case is named {sorted(unknown)}")
    return [c for c in cases if not wanted or c.name in wanted]


class Steps(NamedTuple):
    """What a script does for a case, in this order; each gets the case's folder and the case first."""

    write_base: Callable
    write_adapter: Callable
    record_case: Callable
    record_runs: Callable


def make_case(out: str, case, steps: Steps, seed: int, enlarge: Callable | None):
    rng, gen = sources(seed, case.name)
    if enlarge:
        case = enlarge(case, rng)
    folder = os.path.join(out, case.name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    steps.write_base(folder, case, gen)
    steps.write_adapter(folder, case, gen)
    facts = steps.record_case(folder, case, rng)
    if case.runs:
        facts.update(steps.record_runs(folder, case, rng))
    print(case.name, shorten(facts), flush=True)


def make_cases(doc: str, cases, steps: Steps):
    """The command line of a script; `cases` is the module that has all_cases and enlarge."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.join(HERE, "models"), help="folder of the cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--big", action="store_true", help="larger shapes, drawn from the seed; not for the repository")
    parser.add_argument("--only", default="", help="names of cases, with commas")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for case in chosen(cases.all_cases(), options.only):
        make_case(options.out, case, steps, options.seed, cases.enlarge if options.big else None)
