#!/usr/bin/env python3
"""Measures how fast lora_dist reads prompts and writes texts, against transformers (and llama.cpp), and against the memory.

    python3 decode.py [--models gpt2,gpt2-bf16,tinyllama-bf16] [--texts 1,8] [--rounds 3] [--llama-cpp] [--work DIR] [--out FILE.json]

Builds the program, makes models and prompts, runs all sides in turn, and prints two tables: the best of each side, and all ways that
were tried. README.md beside this file says how things are measured.
"""

import argparse
import importlib.util
import json
import math
import os
from dataclasses import dataclass
from statistics import median

import cases
import counting
import numpy as np
import processes
import shapes
import table
import watch
import workbench

# name: the model folder of shapes.py, and the type in which it is stored
MODELS = {"gpt2": ("gpt2-writes", "f32"), "gpt2-bf16": ("gpt2-writes-bf16", "bf16"), "tinyllama-bf16": ("tinyllama-writes", "bf16")}
SHORT = 8  # tokens of the prompts whose time is taken off
KEYS = ("decoding", "prompts")
LONGEST = 300.0  # seconds for writing the texts once
SLOW = 0.7  # of the best: a way that is slower is not measured again
WARM, TIMES = 1, 3  # of transformers in a process: what is not counted, and what is
COLUMNS = ("model", "cores", "texts", "against", "decoding", "prompts", "ours, tokens per second", "theirs", "of memory, ours", "theirs")
COLUMNS += ("prompts, ours, tokens per second", "theirs", "memory, GB/s", "ours ran as", "the same text")
WAY_COLUMNS = ("model", "cores", "texts", "way", "tokens per second", "prompts")


def streamed_bytes(name: str) -> int:
    """The weights that a token reads: all but the tables of which it takes a row."""
    config, tensors, dtype, _ = shapes.MODELS[name]
    looked_up = ["wpe.weight"] + ([] if config["tie_word_embeddings"] else ["embed_tokens.weight"])
    sizes = [math.prod(shape) for tensor, shape, _, _ in tensors(config).entries if not tensor.endswith(tuple(looked_up))]
    return sum(sizes) * {"F32": 4, "BF16": 2}[dtype]


def write_prompts(path: str, n: int, length: int):
    random = np.random.default_rng(6)
    shapes.write_lines(path, ({"prompt": shapes.random_text(random, length), "completion": "."} for _ in range(n)))


@dataclass(frozen=True)
class Way:
    """How a side runs: so many processes with so many threads each."""

    side: str
    form: str
    processes: int
    threads: int

    @property
    def name(self) -> str:
        return f"{self.side}, {self.form}{self.processes} × {self.threads}"


FORMS = {"": [], "float32, ": ["--dtype", "f32"], "compiled, ": ["--static"], "compiled, float32, ": ["--static", "--dtype", "f32"]}


class Case:
    """A model that writes so many texts on so many cores."""

    def __init__(self, bench, name: str, cores: int, texts: int):
        self.bench, self.name, self.cores, self.texts = bench, name, cores, texts
        self.folder, self.dtype = MODELS[name]
        self.model = shapes.model_folder(bench.work, self.folder, None)
        self.data, self.short = self.prompts(bench.args.prompt), self.prompts(SHORT)
        self.ways, self.failed, self.rounds = self.all_ways(), {}, []

    def prompts(self, length: int) -> str:
        os.makedirs(os.path.join(self.bench.work, "data"), exist_ok=True)
        path = os.path.join(self.bench.work, "data", f"prompts-{self.texts}-{length}.jsonl")
        return shapes.make(path, lambda beside: write_prompts(beside, self.texts, length))

    def all_ways(self) -> list[Way]:
        """One process with all cores, and one on each where there are texts for them."""
        layouts = [(1, self.cores)] + ([(self.cores, 1)] if 1 < self.cores <= self.texts else [])
        forms = [form for form in FORMS if self.dtype != "f32" or "float32" not in form]
        ways = [Way("ours", "", *layout) for layout in layouts]
        for form in forms:
            ways += [Way("transformers", form, *layout) for layout in (layouts[:1] if "compiled" in form else layouts)]
        if self.bench.args.llama_cpp and self.texts == 1:
            ways.append(Way("llama.cpp", "", 1, self.cores))
        return ways

    def ours_once(self, way: Way, data: str, n_tokens: int) -> tuple[float, list[str]]:
        command = workbench.on_ranks(way.processes) if way.processes > 1 else []
        command = [*command, self.bench.program, "predict", "--model", self.model, "--data", data, "--seq-len", "1024"]
        command += ["--micro-batch", str(-(-self.texts // way.processes)), "--threads", str(way.threads), "--temperature", "0"]
        command += ["--max-tokens", str(n_tokens), "--min-tokens", str(n_tokens)]
        log = self.bench.log(f"{self.name}.decode.ours")
        run = self.bench.whole(command, log, 1)
        return run.seconds, [json.loads(line)["prediction"] for line in watch.read(log).splitlines()]

    def ours(self, way: Way) -> dict:
        """From three commands: all tokens, one for each text, and one for each after a short prompt."""
        n, length = self.bench.args.tokens, self.bench.args.prompt
        whole, texts = self.ours_once(way, self.data, n)
        first, short = self.ours_once(way, self.data, 1)[0], self.ours_once(way, self.short, 1)[0]
        if not short < first < whole:
            raise counting.Disturbed
        return self.rates((first - short) * length / (length - SHORT), whole - first, texts[0])

    def theirs(self, way: Way) -> dict | None:
        script = "pytorch_decode.py" if way.side == "transformers" else "llama_decode.py"
        command = [*workbench.by_python(script), "--data", self.data, "--model", self.model, "--tokens", str(self.bench.args.tokens)]
        command += ["--times", str(WARM + TIMES), "--threads", str(way.threads)]
        if way.side == "transformers":
            command += ["--processes", str(way.processes), "--dtype", self.dtype, *FORMS[way.form]]
        else:
            command += ["--gguf", os.path.join(self.bench.work, "models", self.folder + ".gguf")]
        return self.followed(way, command)

    def followed(self, way: Way, command: list[str]) -> dict | None:
        env = {"OMP_NUM_THREADS": str(way.threads), "TORCHINDUCTOR_CACHE_DIR": os.path.join(self.bench.work, "compiled")}
        log, count = self.bench.log(f"{self.name}.decode.theirs"), counting.Count(WARM, TIMES)
        limit = cases.COMPILE_LIMIT if "compiled" in way.form else LONGEST

        def attempt():
            return processes.run(command, None, log, env, WARM + TIMES, watch=False, limit=limit)

        run = counting.repeated(count, attempt)
        if run.error:
            self.failed[way] = run.error
            return None
        if not count.enough:
            raise counting.Disturbed
        prompt, decode = (median(step[key] for step in count.steps) for key in ("prompt_seconds", "decode_seconds"))
        return self.rates(prompt, decode, run.steps[-1]["text"])

    def rates(self, prompt_seconds: float, decode_seconds: float, text: str) -> dict:
        prompts = self.texts * self.bench.args.prompt / prompt_seconds
        return {"prompts": prompts, "decoding": self.texts * (self.bench.args.tokens - 1) / decode_seconds, "text": text}

    def is_measured(self, way: Way) -> bool:
        return any(way.name in found for found in self.rounds)

    def slow(self, way: Way) -> bool:
        """Much slower than other ways of the same side, in both that is measured."""
        rates = [(self.middle(way, key), self.middle(self.best(way.side, key), key)) for key in KEYS if self.is_measured(way)]
        return bool(rates) and all(rate < SLOW * best for rate, best in rates)

    def attempt(self, way: Way) -> dict | None:
        said = f"{self.name}, {self.cores} cores, {self.texts} texts, {way.name}"
        try:
            rates = self.ours(way) if way.side == "ours" else self.theirs(way)
        except counting.Disturbed:
            self.bench.note(f"{said}: others used the cores each time: not counted")
            return None
        rate = f"{rates['decoding']:.1f} tokens per second, prompts {rates['prompts']:.0f}" if rates else self.failed[way]
        workbench.say(f"  {said}: {rate}")
        return rates

    def round(self, number: int, memory: float):
        """Every second round goes the other way. A way that failed or was slow is not tried again."""
        ways = [way for way in self.ways if way not in self.failed and not self.slow(way)]
        found = {way.name: self.attempt(way) for way in ways[:: -1 if number % 2 else 1]}
        self.rounds.append({"memory": memory, **{name: rates for name, rates in found.items() if rates}})

    def middle(self, way: Way, key: str) -> float:
        return median(found[way.name][key] for found in self.rounds if way.name in found)

    def best(self, side: str, key: str) -> Way | None:
        ways = [way for way in self.ways if way.side == side and self.is_measured(way)]
        return max(ways, key=lambda way: self.middle(way, key), default=None)

    def of_memory(self, way: Way) -> str:
        """Each process reads all weights for a token of each of its texts."""
        at_once = self.texts / way.processes
        size = streamed_bytes(self.folder) * (2 if "float32" in way.form else 1)
        shares = [size * found[way.name]["decoding"] / at_once / found["memory"] for found in self.rounds if way.name in found]
        return f"{median(shares):.0%}"

    def row(self, side: str) -> list[str]:
        """The best of each for decoding and, in what is said of prompts, for prompts."""
        ours, theirs = self.best("ours", "decoding"), self.best(side, "decoding")
        of_prompts = self.best("ours", "prompts"), self.best(side, "prompts")
        decoding = [self.middle(way, "decoding") for way in (ours, theirs)]
        prompts = [self.middle(way, "prompts") for way in of_prompts]
        cells = [self.name, str(self.cores), str(self.texts), theirs.name]
        cells += [f"**{decoding[0] / decoding[1]:.2f}**", f"{prompts[0] / prompts[1]:.2f}", *map(table.number, decoding)]
        cells += [self.of_memory(ours), self.of_memory(theirs), *map(table.number, prompts)]
        memory = median(found["memory"] for found in self.rounds) / 1e9
        return [*cells, f"{memory:.1f}", f"{ours.processes} × {ours.threads}", self.agreement(ours, theirs)]

    def agreement(self, ours: Way, theirs: Way) -> str:
        """How much of the first text is the same until both differ: the scores of two tokens may be as good as equal."""
        texts = [next(found[way.name]["text"] for found in self.rounds if way.name in found) for way in (ours, theirs)]
        return f"{len(os.path.commonprefix(texts)) / max(map(len, texts)):.0%}"

    def rows(self) -> list[list[str]]:
        sides = [side for side in ("transformers", "llama.cpp") if self.best(side, KEYS[0])]
        return [self.row(side) for side in sides if self.best("ours", KEYS[0])]

    def way_rows(self) -> list[list[str]]:
        first = [self.name, str(self.cores), str(self.texts)]
        return [[*first, way.name, *self.way_cells(way)] for way in self.ways]

    def way_cells(self, way: Way) -> list[str]:
        if self.is_measured(way):
            return [table.number(self.middle(way, key)) for key in KEYS]
        return [self.failed.get(way, "too few undisturbed runs"), ""]


def render(measured: list[Case], machine: dict, notes: list[str], n_rounds: int) -> str:
    rows = [row for case in measured for row in case.rows()]
    ways = [row for case in measured for row in case.way_rows()]
    lines = [*table.aligned([list(COLUMNS), *rows]), "", workbench.machine_line(machine, n_rounds), *(f"Note: {n}." for n in notes)]
    return "\n".join([*lines, "", "All ways:", "", *table.aligned([list(WAY_COLUMNS), *ways])])


def read_rates(bench) -> dict[int, float]:
    """Bytes a second that one core, and all that are used, read at the same time."""
    program = bench.build("bench_read")
    return {n: 1e9 * sum(found["gbytes"] for found in bench.on_each_core(program, n)) for n in {1, bench.cores}}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--texts", default="1,8", help="how many texts are written together (1,8)")
    parser.add_argument("--prompt", type=int, default=256, help="tokens of each prompt (256)")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each text (64)")
    parser.add_argument("--llama-cpp", action="store_true", help="llama.cpp, too; needs the package llama-cpp-python")
    workbench.add_options(parser, "decode.json")
    args = parser.parse_args()
    args.models = workbench.chosen(parser, "--models", args.models, MODELS)
    if args.llama_cpp and not importlib.util.find_spec("llama_cpp"):
        parser.error("--llama-cpp: the package llama-cpp-python is not installed")
    if args.prompt <= SHORT or args.tokens < 2:
        parser.error(f"--prompt must be above {SHORT}, and --tokens above 1")
    return args


def main():
    args = parse()
    bench = workbench.Bench(args)
    machine, texts = workbench.machine(bench, ("torch", "transformers")), [int(n) for n in args.texts.split(",")]
    measured = [Case(bench, name, cores, n) for name in args.models for cores in sorted({1, args.cores}) for n in texts]
    out = args.out or os.path.join(bench.work, "decode.json")
    for number in range(args.rounds):
        workbench.say(f"round {number + 1}")
        memory = read_rates(bench)
        for case in measured:
            case.round(number, memory[case.cores])
        found = [{"model": c.name, "cores": c.cores, "texts": c.texts, "rounds": c.rounds} for c in measured]
        workbench.save(out, {"machine": machine, "cases": found, "notes": bench.notes})
    print(render(measured, machine, bench.notes, args.rounds))


if __name__ == "__main__":
    processes.guarded(main)
