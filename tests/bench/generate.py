#!/usr/bin/env python3
"""Measures `lora_dist predict`, which writes a text for each record, against `generate` of transformers on the same cores.

    python3 generate.py [--models t5,bart,gpt2] [--rounds 3] [--work DIR] [--out FILE.json]

Builds the program, makes models and data, runs both sides in turn, and prints one table. README.md beside this file says how things
are measured.
"""

import argparse
import json
import os
from statistics import median

import counting
import processes
import shapes
import table
import watch
import workbench

# name: the model folder of shapes.py
MODELS = {"t5": "t5", "bart": "bart", "gpt2": "gpt2-writes"}
COLUMNS = ("model", "cores", "beams", "against", "ratio", "ours, tokens per second", "theirs", "the same texts")


def write_data(path: str, pairs: str, n: int, decoder: bool):
    """The first documents. A decoder continues them."""
    with open(pairs, encoding="utf-8") as file:
        records = [json.loads(next(file)) for _ in range(n)]
    shapes.write_lines(path, [{"prompt": r["document"], "completion": r["summary"]} for r in records] if decoder else records)


class Pair:
    """A model with a number of beams on a number of cores: ours is a rank on each, theirs a process with all of them, or one on each."""

    def __init__(self, bench, name: str, cores: int, beams: int):
        self.bench, self.name, self.cores, self.beams = bench, name, cores, beams
        self.model = shapes.model_folder(bench.work, MODELS[name], None)
        self.data, self.short = self.make_data(bench.batch * bench.cores), self.make_data(1)
        self.layouts = [(1, cores), (cores, 1)] if cores > 1 else [(1, 1)]
        self.rounds = []

    def make_data(self, n: int) -> str:
        pairs = shapes.data_file(self.bench.work, "summaries", 256, None)
        path = os.path.join(self.bench.work, "data", f"write-{self.name}-{n}.jsonl")
        return shapes.make(path, lambda beside: write_data(beside, pairs, n, decoder=self.name == "gpt2"))

    def command(self, data: str, n_tokens: int) -> list[str]:
        command = [*workbench.on_ranks(self.cores), self.bench.program, "predict"]
        command += ["--model", self.model, "--data", data, "--micro-batch", str(self.bench.batch), "--beams", str(self.beams)]
        return command + ["--max-tokens", str(n_tokens), "--min-tokens", str(n_tokens), "--temperature", "0", "--seq-len", "512"]

    def run(self, command: list[str], threads: int) -> tuple[float, list[str]]:
        """Seconds from launch to end, and the lines that it prints."""
        log = self.bench.log(f"generate.{self.name}")
        return self.bench.whole(command, log, threads).seconds, watch.read(log).splitlines()

    def ours(self) -> dict:
        """Without what it takes to start and to write one token for one record."""
        start, _ = self.run(self.command(self.short, 1), 1)
        whole, lines = self.run(self.command(self.data, self.bench.tokens), 1)
        return {"seconds": whole - start, "start": start, "texts": [json.loads(line)["prediction"] for line in lines]}

    def theirs(self, processes: int, threads: int) -> dict:
        command = [*workbench.by_python("pytorch_generate.py"), "--model", self.model, "--data", self.data]
        command += ["--tokens", str(self.bench.tokens), "--beams", str(self.beams), "--batch", str(self.bench.batch)]
        command += ["--processes", str(processes), "--threads", str(threads)]
        return json.loads(self.run(command, threads)[1][-1])

    def round(self, number: int):
        """Every second round goes the other way, so that what drifts falls on both."""
        sides = [("ours", self.ours)]
        sides += [(f"{p} × {t}", lambda p=p, t=t: self.theirs(p, t)) for p, t in self.layouts]
        found = {}
        for side, run in sides[:: -1 if number % 2 else 1]:
            said = f"{self.name}, {self.cores} cores, {self.beams} beams, {side}"
            try:
                found[side] = run()
                workbench.say(f"  {said}: {found[side]['seconds']:.2f} s")
            except counting.Disturbed:
                self.bench.note(f"{said}: others used the cores each time: not counted")
        self.rounds.append(found)

    def rate(self, found: dict) -> float:
        return self.bench.batch * self.bench.cores * self.bench.tokens / found["seconds"]

    def rows(self) -> list[list[str]]:
        rows = []
        for n, threads in self.layouts:
            side = f"{n} × {threads}"
            cells = [self.name, str(self.cores), str(self.beams), side]
            both = [(found["ours"], found[side]) for found in self.rounds if {"ours", side} <= set(found)]
            rows.append(cells + (self.results(both) if both else ["too few runs", "", "", ""]))
        return rows

    def results(self, both: list[tuple[dict, dict]]) -> list[str]:
        ratio = median(theirs["seconds"] / ours["seconds"] for ours, theirs in both)
        texts = [found["texts"] for found in both[0]]
        same = sum(ours == theirs for ours, theirs in zip(*texts, strict=True))
        rates = [table.number(median(map(self.rate, found))) for found in zip(*both)]
        return [f"**{ratio:.2f}**", *rates, f"{same} of {len(texts[0])}"]


def render(pairs: list[Pair], machine: dict, notes: list[str], n_rounds: int) -> str:
    rows = [list(COLUMNS)]
    for pair in pairs:
        rows += pair.rows()
    return "\n".join([*table.aligned(rows), "", workbench.machine_line(machine, n_rounds), *(f"Note: {note}." for note in notes)])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--beams", default="1,4", help="numbers of beams (1,4)")
    parser.add_argument("--batch", type=int, default=8, help="texts written together, of which each core writes so many (8)")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each text (64)")
    workbench.add_options(parser, "generate.json")
    args = parser.parse_args()
    args.models = workbench.chosen(parser, "--models", args.models, MODELS)
    return args


def main():
    args = parse()
    bench = workbench.Bench(args)
    bench.batch, bench.tokens = args.batch, args.tokens
    machine, beams = workbench.machine(bench), [int(n) for n in args.beams.split(",")]
    pairs = [Pair(bench, name, n, b) for name in args.models for n in sorted({1, args.cores}) for b in beams]
    out = args.out or os.path.join(bench.work, "generate.json")
    for number in range(args.rounds):
        workbench.say(f"round {number + 1}")
        for pair in pairs:
            pair.round(number)
        found = [{"model": p.name, "cores": p.cores, "beams": p.beams, "rounds": p.rounds} for p in pairs]
        workbench.save(out, {"machine": machine, "pairs": found})
    print(render(pairs, machine, bench.notes, args.rounds))


if __name__ == "__main__":
    processes.guarded(main)
