#!/usr/bin/env python3
"""Measures lora_dist against diffusers + PEFT on the same cores: training and drawing with Stable Diffusion 1.5's shape.

    python3 pictures.py [--cases 256x1,...] [--rounds 2] [--work DIR] [--out FILE.json]

Builds the program, makes a folder of random f16 weights and random pictures, finds the opponent's best settings once, runs both sides
in turn, and prints one table. README.md beside this file says how things are measured.
"""

import argparse
import json
import os
import shutil
from dataclasses import dataclass
from statistics import median

import counting
import processes
import shapes
import table
import workbench
from cases import COMPILE_LIMIT

CASES = ("256x1", "256x4", "512x1", "512x1-recompute", "draw")
N_PICTURES, WARM, STEPS = 4, 4, 3  # our first steps also encode the pictures, and find the scale of their gradients
COLUMNS = ("case", "precision", "against", "ratio", "ours, s", "theirs", "MiB in all", "theirs", "share of theirs")


@dataclass(frozen=True)
class Case:
    name: str
    precision: str

    @property
    def side(self) -> int:
        return 256 if self.name == "draw" else int(self.name.partition("x")[0])

    @property
    def each(self) -> int:
        """Pictures of a step for each core."""
        return 1 if self.name == "draw" else int(self.name.partition("x")[2].partition("-")[0])

    @property
    def recompute(self) -> bool:
        return self.name.endswith("-recompute")


def write_tokenizer(folder: str):
    """CLIP's alphabet, once within words and once at their end, named ids up to the true number, and the two marks."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = letters + [letter + "</w>" for letter in letters]
    pieces += [f"<{i}>" for i in range(len(pieces), 49406)] + ["<|startoftext|>", "<|endoftext|>"]
    os.makedirs(folder)
    shapes.write_json(folder, "vocab.json", {piece: i for i, piece in enumerate(pieces)})
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n")
    marks = {"bos_token": pieces[-2], **dict.fromkeys(("eos_token", "pad_token", "unk_token"), pieces[-1])}
    shapes.write_json(
        folder, "tokenizer_config.json", {**marks, "do_lower_case": True, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    )


def write_model(folder: str):
    """Stable Diffusion 1.5 with random weights in f16."""
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    widths = (128, 256, 512, 512)
    text = CLIPTextConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=77,
        hidden_act="quick_gelu",
        vocab_size=49408,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
    )
    parts = {
        "unet": diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
        "vae": diffusers.AutoencoderKL(
            sample_size=512,
            latent_channels=4,
            block_out_channels=widths,
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        ),
        "text_encoder": CLIPTextModel(text),
    }
    for name, part in parts.items():
        part.half().save_pretrained(os.path.join(folder, name))
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    scheduler = diffusers.DDIMScheduler(**schedule, set_alpha_to_one=False, clip_sample=False)
    scheduler.save_pretrained(os.path.join(folder, "scheduler"))
    write_tokenizer(os.path.join(folder, "tokenizer"))
    nothing = dict.fromkeys(("safety_checker", "feature_extractor", "image_encoder"), [None, None])
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "requires_safety_checker": False,
        **nothing,
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    shapes.write_json(folder, "model_index.json", index)


def write_pictures(folder: str, n: int):
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    os.makedirs(folder)
    for i in range(n):
        Image.fromarray(random.integers(0, 256, (512, 512, 3), np.uint8)).save(os.path.join(folder, f"{i}.png"))
    records = [{"file_name": f"{i}.png", "text": "a picture of a cat"} for i in range(n)]
    shapes.write_lines(os.path.join(folder, "metadata.jsonl"), records)


class Rounds:
    """A case: the opponent's settings, found first, then a measurement of both sides in each round."""

    def __init__(self, bench, case: Case):
        self.bench, self.case, self.rounds = bench, case, []
        self.batch = case.each * bench.cores
        self.model = shapes.make(os.path.join(bench.work, "models", "sd15"), write_model)
        n = max(N_PICTURES, self.batch)
        name = os.path.join(bench.work, "data", f"pictures{n}")
        self.data = shapes.make(name, lambda folder: write_pictures(folder, n))
        workbench.say(f"{case.name} {case.precision}: settings")
        self.setting = self.best_setting()

    def settings(self) -> list[dict]:
        found = []
        for n, threads in self.bench.layouts():
            for form in ([], ["channels-last"]):
                found.append({"processes": n, "threads": threads, "options": form})
        return found + [{**found[-1], "options": [*found[-1]["options"], "compile"]}]

    def best_setting(self) -> dict:
        key = f"pictures {self.case.name} {self.case.precision}"
        if key not in self.bench.sweeps:
            rates = {json.dumps(s): self.theirs(s, 2) for s in self.settings()}
            rates = {s: found["seconds"] for s, found in rates.items() if found}
            if not rates:
                workbench.fail(f"{key}: diffusers ran with none of its settings: see {self.bench.log('')}")
            self.bench.sweeps[key] = {"best": json.loads(min(rates, key=rates.get)), "rates": rates}
            workbench.save(self.bench.sweep_file, self.bench.sweeps)
        return self.bench.sweeps[key]["best"]

    def measured(self, side: str, command: list[str], steps_file: str | None, n: int, warm: int, threads: int) -> dict | None:
        env, count = workbench.environment(threads), counting.Count(warm, n - warm)
        log = self.bench.log(f"{self.case.name}.{side}")
        limit = COMPILE_LIMIT if "--compile" in command else processes.LONGEST_STEP
        run = counting.repeated(count, lambda: processes.run(command, steps_file, log, env, n, limit=limit))
        if run.error or not count.enough:
            few = f"{len(count.kept)} of {count.n} steps were undisturbed, too few"
            self.bench.note(f"{self.case.name} {self.case.precision}, {side}: {run.error or few}")
            return None
        each = [step["seconds"] for step in count.steps]
        workbench.say(f"  {self.case.name} {self.case.precision}, {side}: {' '.join(f'{s:.2f}' for s in each)} s, {run.node_mib:.0f} MiB")
        return {"seconds": median(each), "each": each, "node_mib": run.node_mib}

    def ours(self) -> dict | None:
        out = os.path.join(self.bench.work, "run")
        shutil.rmtree(out, ignore_errors=True)
        n = max(WARM, 2 * -(-max(N_PICTURES, self.batch) // self.batch)) + STEPS
        command = [*workbench.on_ranks(self.bench.cores), self.bench.program, "train", "--model", self.model]
        command += ["--data", self.data, "--out", out, "--resolution", str(self.case.side), "--batch-size", str(self.batch)]
        command += ["--micro-batch", str(self.case.each), "--steps", str(n), "--save-every", "1000000", "--precision", self.case.precision]
        if self.case.recompute:
            command.append("--recompute")
        return self.measured("ours", command, os.path.join(out, "metrics.jsonl"), n, n - STEPS, 1)

    def theirs(self, setting: dict, n: int) -> dict | None:
        command = [*workbench.by_python("diffusers_step.py"), "--model", self.model, "--data", self.data]
        command += ["--resolution", str(self.case.side), "--batch", str(self.batch), "--micro", str(self.batch // setting["processes"])]
        command += ["--steps", str(n), "--precision", self.case.precision]
        command += ["--processes", str(setting["processes"]), "--threads", str(setting["threads"])]
        command += [f"--{name}" for name in setting["options"]]
        if self.case.recompute:
            command.append("--recompute")
        said = f"{setting['processes']} × {setting['threads']} {' '.join(setting['options'])}".strip()
        return self.measured(said, command, None, n, 1, setting["threads"])

    def round(self, number: int):
        sides = [("ours", self.ours), ("theirs", lambda: self.theirs(self.setting, 1 + STEPS))]
        found = {name: run() for name, run in sides[:: -1 if number % 2 else 1]}
        if all(found.values()):
            self.rounds.append(found)

    def row(self) -> list[str]:
        s = self.setting
        name = f"{s['processes']} × {s['threads']} {' '.join(s['options'])}".strip()
        cells = [self.case.name, self.case.precision, name]
        if not self.rounds:
            return [*cells, *[""] * 6]
        ours, theirs = ([found[side] for found in self.rounds] for side in ("ours", "theirs"))
        ratio = median(t["seconds"] / o["seconds"] for o, t in zip(ours, theirs))
        seconds = [f"{median(x['seconds'] for x in side):.2f}" for side in (ours, theirs)]
        memory = [median(x["node_mib"] for x in side) for side in (ours, theirs)]
        return [*cells, f"**{ratio:.2f}**", *seconds, *(f"{m:,.0f}" for m in memory), f"{memory[0] / memory[1]:.0%}"]


class Drawing(Rounds):
    """A picture for each core by DDIM, guidance 7.5. What a step takes is the time of 12 steps less that of 2, a tenth of it."""

    def ours(self) -> dict | None:
        out = os.path.join(self.bench.work, "drawn")
        command = [*workbench.on_ranks(self.bench.cores), self.bench.program, "generate", "--model", self.model]
        command += ["--prompt", "a cat", "--images", str(self.batch), "--size", str(self.case.side), "--out", out]
        few, many = (self.whole("ours", [*command, "--steps", str(n)], 1) for n in (2, 12))
        return few and many and self.step("ours", few, many)

    def theirs(self, setting: dict, n: int) -> dict | None:
        command = [*workbench.by_python("diffusers_step.py"), "--model", self.model, "--data", self.data]
        command += ["--resolution", str(self.case.side), "--batch", str(self.batch), "--micro", str(self.batch // setting["processes"])]
        command += ["--processes", str(setting["processes"]), "--threads", str(setting["threads"]), "--precision", self.case.precision]
        command += [f"--{name}" for name in setting["options"]]
        few, many = (self.whole("theirs", [*command, "--draw", str(n)], setting["threads"]) for n in (2, 12))
        return few and many and self.step("theirs", few, many)

    def whole(self, side: str, command: list[str], threads: int) -> processes.Run | None:
        for _ in range(counting.ATTEMPTS):
            shutil.rmtree(os.path.join(self.bench.work, "drawn"), ignore_errors=True)
            run = processes.run_whole(command, self.bench.log(f"draw.{side}"), workbench.environment(threads))
            if run.error or run.others <= counting.LIMIT:
                return run
        self.bench.note(f"draw {self.case.precision}, {side}: others used the cores each time: not counted")
        return None

    def step(self, side: str, few: processes.Run, many: processes.Run) -> dict | None:
        for run in (few, many):
            if run.error:
                self.bench.note(f"draw {self.case.precision}, {side}: {run.error}")
                return None
        seconds = (many.seconds - few.seconds) / 10
        workbench.say(f"  draw {self.case.precision}, {side}: {seconds:.2f} s a step, {many.node_mib:.0f} MiB")
        return {"seconds": seconds, "each": [seconds], "node_mib": many.node_mib}


def render(measured: list[Rounds], machine: dict, notes: list[str], n_rounds: int) -> str:
    rows = table.aligned([list(COLUMNS), *(case.row() for case in measured)])
    return "\n".join([*rows, "", workbench.machine_line(machine, n_rounds), *(f"Note: {note}." for note in notes)])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--precisions", default="f32,bf16")
    workbench.add_options(parser, "pictures.json")
    parser.set_defaults(rounds=2)
    args = parser.parse_args()
    args.cases = workbench.chosen(parser, "--cases", args.cases, CASES)
    return args


def main():
    args = parse()
    bench = workbench.Bench(args)
    machine, out = workbench.machine(bench), args.out or os.path.join(bench.work, "pictures.json")
    precisions = args.precisions.split(",")
    if "bf16" in precisions and not bench.has_bf16():
        precisions.remove("bf16")
        bench.note("bf16: this processor has no AVX2, without which lora_dist refuses it")
    kinds = {"draw": Drawing}
    measured = [kinds.get(name, Rounds)(bench, Case(name, p)) for p in precisions for name in args.cases]
    for number in range(args.rounds):
        workbench.say(f"round {number + 1}")
        for case in measured:
            case.round(number)
        found = [{"case": c.case.name, "precision": c.case.precision, "setting": c.setting, "rounds": c.rounds} for c in measured]
        workbench.save(out, {"machine": machine, "cases": found, "notes": bench.notes})
    print(render(measured, machine, bench.notes, args.rounds))


if __name__ == "__main__":
    processes.guarded(main)
