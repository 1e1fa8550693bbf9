#!/usr/bin/env python3
"""Measures lora_dist against transformers + PEFT + DistributedDataParallel on the same cores, and against the machine.

    python3 speed.py [--cases G,L,...] [--rounds 3] [--data DATA] [--work DIR] [--out FILE.json]

Builds the program, makes models and data, finds each side's best settings once, then runs both sides in turn and prints one table.
README.md beside this file says what the cases are and how things are measured.
"""

import argparse
import json
import os
import shutil
import statistics

import cases
import counting
import floor
import processes
import shapes
import table
import watch
import workbench
from workbench import say

NAMES = [case.name for case in cases.CASES] + list(cases.SPECIAL)


class Bench(workbench.Bench):
    """Runs either side of a case."""

    def batch(self, case: cases.Case) -> int:
        return case.batch * max(1, self.cores // 2)

    def model(self, case: cases.Case) -> str:
        return shapes.model_folder(self.work, case.model, self.args.data)

    def data(self, case: cases.Case) -> str:
        return shapes.data_file(self.work, case.data, case.steps * self.batch(case), self.args.data)

    def ours(self, case: cases.Case, setting: dict, batch: int, steps: int, extra=(), watch=True) -> processes.Run:
        out = os.path.join(self.work, "run")
        shutil.rmtree(out, ignore_errors=True)
        command = [*workbench.on_ranks(setting["ranks"]), self.program, "train"]
        command += ["--model", self.model(case), "--data", self.data(case), "--out", out, "--target", case.target]
        command += ["--rank", str(case.rank), "--batch-size", str(batch), "--micro-batch", str(setting["micro"]), "--steps", str(steps)]
        command += ["--no-shuffle", "--reuse", "no", "--save-every", "1000000", *extra]
        if not case.images:
            command += ["--seq-len", str(case.seq_len)]
        if case.language:
            command.append("--no-pack")
        if case.target_len:
            command += ["--target-len", str(case.target_len)]
        if case.precision != "f32":
            command += ["--precision", case.precision]
        log, metrics = self.log(f"{case.name}.ours"), os.path.join(out, "metrics.jsonl")
        return processes.run(command, metrics, log, workbench.environment(1), steps, watch)

    def pytorch(self, case: cases.Case, opponent, setting: dict, batch: int, steps: int, watch=True) -> processes.Run:
        command = [*workbench.by_python("pytorch_step.py"), "--model", self.model(case), "--data", self.data(case)]
        command += ["--target", case.target, "--rank", str(case.rank), "--seq-len", str(case.seq_len), "--steps", str(steps)]
        command += ["--batch", str(batch), "--precision", case.theirs, "--base", opponent.base, *cases.FORMS[setting["form"]]]
        if case.target_len:
            command += ["--target-len", str(case.target_len)]
        for key in ("processes", "threads", "micro"):
            command += [f"--{key}", str(setting[key])]
        if opponent.grouped:
            command.append("--grouped")
        env = {"OMP_NUM_THREADS": str(setting["threads"]), "TORCHINDUCTOR_CACHE_DIR": os.path.join(self.work, "compiled")}
        limit = cases.COMPILE_LIMIT if "compiled" in setting["form"] else processes.LONGEST_STEP
        return processes.run(command, None, self.log(f"{case.name}.pytorch"), env, steps, watch, limit)


def rates(steps: list[dict]) -> dict:
    """Of these steps together."""
    seconds = sum(step["seconds"] for step in steps)
    found = {"seconds": [step["seconds"] for step in steps], "tokens": sum(step["tokens"] for step in steps)}
    targets = sum(step["target_tokens"] for step in steps)
    return {**found, "tokens_per_second": found["tokens"] / seconds, "targets_per_second": targets / seconds}


class Search:
    """The fastest setting of a side, and how fast the others were. A setting whose steps others disturbed too often is taken by its
    fastest step."""

    def __init__(self, bench: Bench, name: str, case: cases.Case, attempt):
        self.bench, self.name, self.case, self.attempt = bench, name, case, attempt
        self.rates, self.failed, self.disturbed = {}, {}, False

    def rate(self, setting: dict) -> float | None:
        """Per second; None where it failed."""
        count = counting.Count(self.case.warm_steps(setting.get("form", ""), search=True), self.case.sweep_steps)
        run = counting.repeated(count, lambda: self.attempt(setting, count.warm + count.n))
        if run.error:
            self.bench.note(f"{self.name}, {table.setting_text(setting)}: {run.error}")
            self.failed[json.dumps(setting)] = run.error
            return None
        if not count.enough:
            self.disturbed = True
            self.bench.note(f"{self.name}, {table.setting_text(setting)}: others disturbed the search")
        rate = rates(count.steps or [min(run.steps[count.warm :], key=lambda step: step["seconds"])])["tokens_per_second"]
        say(f"  {self.name}: {table.setting_text(setting)}: {rate:.0f} per second")
        self.rates[json.dumps(setting)] = rate
        return rate

    def climb(self, settings: list[dict]) -> dict | None:
        """Tries settings whose micro-batch rises, and stops where it no longer pays. Returns the fastest of these."""
        found, best = {}, 0.0
        for i, setting in enumerate(settings):
            found[i] = self.rate(setting) or 0.0
            if not found[i] or found[i] < best * 0.95:
                break
            best = max(best, found[i])
        return settings[max(found, key=found.get)] if best else None

    def hung(self, form: str) -> bool:
        return any(json.loads(s)["form"] == form and error.startswith(processes.HUNG) for s, error in self.failed.items())

    def result(self) -> dict:
        best = json.loads(max(self.rates, key=self.rates.get)) if self.rates else None
        return {"best": best, "rates": self.rates, "failed": self.failed, "disturbed": self.disturbed}


def searched(bench: Bench, key: str, search) -> dict:
    """What search() finds, or found undisturbed in an earlier run in the same folder."""
    if key not in bench.sweeps:
        bench.sweeps[key] = search()
        workbench.save(bench.sweep_file, {k: found for k, found in bench.sweeps.items() if not found.get("disturbed")})
    return bench.sweeps[key]


def sweep_batch(bench: Bench, case: cases.Case, n: int, micro: int) -> int:
    """One micro-batch for each of n is enough where all samples are of one length."""
    return bench.batch(case) if case.epoch else min(bench.batch(case), n * micro)


def best_of_ours(bench: Bench, case: cases.Case) -> dict | None:
    ranks, name = bench.cores, f"{case.name} ours"
    ladder = [{"ranks": ranks, "micro": m} for m in case.micros if m * ranks <= bench.batch(case)]

    def attempt(setting, steps):
        return bench.ours(case, setting, sweep_batch(bench, case, ranks, setting["micro"]), steps, watch=False)

    def search():
        found = Search(bench, name, case, attempt)
        found.climb(ladder)
        return found.result()

    return searched(bench, name, search)["best"]


def fits_memory(bench: Bench, case: cases.Case, n: int) -> bool:
    """Whether n processes that need much memory have room."""
    available = watch.kibibytes(watch.read("/proc/meminfo"), "MemAvailable:") / 2**20
    if not case.process_gib or n * case.process_gib <= available:
        return True
    bench.note(f"{case.name}: {n} processes of PyTorch need about {n * case.process_gib:.0f} GiB, {available:.0f} are free: not tried")
    return False


def search_pytorch(bench: Bench, case: cases.Case, opponent: cases.Opponent) -> dict:
    """The first form climbs in each layout; the other forms take the best setting of each."""
    batch = bench.batch(case)

    def attempt(setting, steps):
        size = sweep_batch(bench, case, setting["processes"], setting["micro"])
        return bench.pytorch(case, opponent, setting, size, steps, watch=False)

    found = Search(bench, f"{case.name} {opponent.name}", case, attempt)
    layouts = [layout for layout in bench.layouts() if fits_memory(bench, case, layout[0])]
    for n, threads in layouts:
        micros = [batch // n] if opponent.whole else [m for m in (*case.micros, batch // n) if batch % (m * n) == 0]
        ladder = [{"form": opponent.forms[0], "processes": n, "threads": threads, "micro": m} for m in sorted(set(micros))]
        best = found.climb(ladder)
        for form in opponent.forms[1:] if best else ():
            if not found.hung(form):
                found.rate({**best, "form": form})
    return found.result()


def measure(bench: Bench, case: cases.Case, name: str, setting: dict, attempt) -> dict | None:
    count = counting.Count(case.warm_steps(setting.get("form", "")), case.steps)
    run = counting.repeated(count, lambda: attempt(setting, bench.batch(case), count.warm + count.n))
    if run.error:
        bench.note(f"{case.name} {name}: {run.error}")
        return None
    found = {"setting": setting, "left_out": count.left_out, "kept": len(count.kept), "asked": count.n, "enough": count.enough}
    found |= {"losses": [step["loss"] for step in run.steps], "process_mib": run.process_mib, "node_mib": run.node_mib}
    memory = f"{run.process_mib:.0f} MiB a process, {run.node_mib:.0f} in all"
    if not count.enough:
        say(f"  {case.name} {name}: {table.setting_text(setting)}: too few steps without others, {table.kept_text(found)}; {memory}")
        return found
    found |= rates(count.steps)
    usual, longest = statistics.median(found["seconds"]), max(found["seconds"])
    if longest > 3 * usual and not case.epoch:  # kept: a stall is the program's until it is shown to be the machine's
        bench.note(f"{case.name} {name}: a step took {longest:.2f} s, the median {usual:.2f} s; it is counted")
    rate = f"{found['tokens_per_second']:.1f} per second, {count.left_out} steps left out"
    say(f"  {case.name} {name}: {table.setting_text(setting)}: {rate}; {memory}")
    return found


class CaseRounds:
    """A case: its settings, found first, then a measurement of each side in each round."""

    def __init__(self, bench: Bench, case: cases.Case, last: dict):
        self.bench, self.case = bench, case
        self.rounds, self.last = [], last.get(case.name)
        say(f"{case.name}: settings")
        self.setting = best_of_ours(bench, case)
        self.searches = {} if self.last else {o.name: self.search(o) for o in case.opponents}

    def search(self, opponent: cases.Opponent) -> dict:
        return searched(self.bench, f"{self.case.name} {opponent.name}", lambda: search_pytorch(self.bench, self.case, opponent))

    def sides(self) -> list:
        bench, case = self.bench, self.case

        def ours():
            return measure(bench, case, "ours", self.setting, lambda s, batch, n: bench.ours(case, s, batch, n))

        def theirs(opponent, setting):
            return measure(bench, case, opponent.name, setting, lambda s, batch, n: bench.pytorch(case, opponent, s, batch, n))

        found = [("ours", ours)] if self.setting else []
        for opponent in case.opponents:
            setting = self.searches.get(opponent.name, {}).get("best")
            if setting:
                found.append((opponent.name, lambda o=opponent, s=setting: theirs(o, s)))
        return found

    def round(self, number: int):
        """Every second round goes the other way, so that what drifts falls on both."""
        found = {name: run() for name, run in self.sides()[:: -1 if number % 2 else 1]}
        if self.last:
            found.update({name: value for name, value in self.last["rounds"][-1].items() if name != "ours"})
        self.rounds.append({name: value for name, value in found.items() if value})
        self.check(self.rounds[-1])

    def check(self, found: dict):
        """Both sides start from the same weights on the same samples: the first loss and the numbers of tokens must agree."""
        ours = found.get("ours")
        for name, theirs in found.items():
            if name == "ours" or not ours:
                continue
            difference = 0 if "grouped" in name else abs(ours["losses"][0] / theirs["losses"][0] - 1)
            if difference > (1e-4 if self.case.precision == "f32" else 2e-2):
                self.bench.note(f"{self.case.name}: the first losses differ: {ours['losses'][0]} and {theirs['losses'][0]} ({name})")
            if all(side["kept"] == side["asked"] for side in (ours, theirs)) and ours["tokens"] != theirs["tokens"]:
                self.bench.note(f"{self.case.name}: {ours['tokens']} and {theirs['tokens']} tokens ({name})")

    def flops_per_token(self) -> float:
        """Of the samples of the data, which are all measured."""
        case, folder = self.case, self.bench.model(self.case)
        every = shapes.lengths_of(case.data, self.bench.data(case), folder, case.seq_len)
        lengths, targets = [n for n, _ in every], [n for _, n in every]
        return floor.necessary_flops(folder, case.target, case.rank, lengths, targets) / sum(lengths)

    def result(self) -> dict:
        bars = {o.name: o.bar for o in self.case.opponents}
        return {
            "rounds": self.rounds,
            "searches": self.searches or self.last.get("searches", {}),
            "flops_per_token": self.flops_per_token(),
            "bars": bars,
            "floor_bar": self.case.floor_bar,
            "precision": self.case.precision,
            "unit": "images" if self.case.images else "tokens",
        }


class MemoryRounds:
    """Case G with a rank or a process on each core and the same micro-batch, one step."""

    def __init__(self, bench: Bench):
        self.bench, self.rounds = bench, []
        self.setting = best_of_ours(bench, cases.G)

    def round(self, number: int):
        if number or not self.setting:
            return
        bench, case, micro = self.bench, cases.G, self.setting["micro"]
        theirs = {"form": "eager", "processes": bench.cores, "threads": 1, "micro": micro}
        runs = {"ours": bench.ours(case, self.setting, bench.batch(case), 1)}
        runs["PyTorch"] = bench.pytorch(case, case.opponents[0], theirs, bench.batch(case), 1)
        for name, run in runs.items():
            if run.error:
                bench.note(f"memory, {name}: {run.error}")
            say(f"  memory, {name}: {run.process_mib:.0f} MiB a process, {run.node_mib:.0f} in all")
        found = {name: {"node_mib": run.node_mib, "process_mib": run.process_mib} for name, run in runs.items() if not run.error}
        self.rounds.append(found)

    def result(self) -> dict:
        return {"rounds": self.rounds, "bar": cases.MEMORY_BAR, "micro": self.setting and self.setting["micro"]}


class StartRounds:
    """From launch to the end of the first step."""

    def __init__(self, bench: Bench):
        self.bench, self.rounds = bench, []

    @staticmethod
    def undisturbed(attempt) -> processes.Run:
        for _ in range(counting.ATTEMPTS):
            run = attempt()
            if run.error or run.others <= counting.LIMIT:
                break
        return run

    def round(self, number: int):
        bench, case, found = self.bench, cases.START, {}
        batch, opponent = bench.batch(case), case.opponents[0]
        runs = {"ours": self.undisturbed(lambda: bench.ours(case, {"ranks": bench.cores, "micro": 1}, batch, 1, watch=False))}
        for n, threads in bench.layouts():
            setting = {"form": "eager", "processes": n, "threads": threads, "micro": 1}
            runs[f"{n} × {threads}"] = self.undisturbed(lambda s=setting: bench.pytorch(case, opponent, s, batch, 1, watch=False))
        for name, run in runs.items():
            if run.error:
                bench.note(f"start, {name}: {run.error}")
            elif run.others > counting.LIMIT:
                bench.note(f"start, {name}: others used the cores each time: not counted")
            else:
                found[name] = {"seconds": run.first_step_after, "step_seconds": run.steps[0]["seconds"]}
                say(f"  start, {name}: {run.first_step_after:.2f} s, of which the step {run.steps[0]['seconds']:.2f} s")
        self.rounds.append(found)

    def result(self) -> dict:
        return {"rounds": self.rounds, "bar": cases.START_BAR}


class ScaleRounds:
    """All cores against one, a rank on each, the same batch."""

    def __init__(self, bench: Bench):
        self.bench, self.rounds = bench, []
        self.cases = [case for case in cases.CASES if case.name in cases.SCALED]
        self.settings = {case.name: best_of_ours(bench, case) for case in self.cases}

    def round(self, number: int):
        bench, found = self.bench, {}
        for case in self.cases:
            for ranks in (1, bench.cores) if self.settings[case.name] else ():
                setting = {**self.settings[case.name], "ranks": ranks}
                side = measure(bench, case, "scale", setting, lambda s, batch, n: bench.ours(case, s, batch, n, watch=False))
                if side and side["enough"]:
                    found.setdefault(case.name, {})[str(ranks)] = side["tokens_per_second"]
        self.rounds.append(found)

    def result(self) -> dict:
        return {"rounds": self.rounds, "bar": cases.SCALE_BAR, "cores": self.bench.cores}


def gemm_rates(bench: Bench) -> dict:
    """GFLOP/s of all cores together, the same product on each at the same time; the best library and shape for each precision."""
    sums, best = {}, {}
    for found in bench.on_each_core(bench.build("bench_gemm"), bench.cores):
        key = f"{found['precision']} {found['library']} {found['M']}x{found['K']}x{found['N']}"
        sums[key] = sums.get(key, 0.0) + found["gflops"]
    for key, rate in sums.items():
        precision = key.split()[0]
        if rate > best.get(precision, {"gflops": 0})["gflops"]:
            best[precision] = {"gflops": rate, "of": key}
    if "f32" not in best:
        workbench.fail("bench_gemm measured nothing")
    best.setdefault("bf16", {"gflops": 2 * best["f32"]["gflops"], "of": "twice the f32 rate, no bf16 product measured"})
    best["bf16-amx"] = max(best.get("bf16-amx", best["bf16"]), best["bf16"], key=lambda found: found["gflops"])
    return {"best": best, "all": sums}


def possible(bench: Bench, case: cases.Case) -> bool:
    if case.precision != "f32" and not bench.has_bf16():
        bench.note(f"{case.name}: skipped, this processor has no AVX2, without which lora_dist refuses bf16")
    elif case.precision == "bf16-amx" and not bench.has_amx():
        bench.note(f"{case.name}: skipped, this processor has no AMX for bfloat16, and the model of it is slower than f32")
    elif (case.model in shapes.NEED_DATA or case.data in shapes.NEED_DATA) and not bench.args.data:
        bench.note(f"{case.name}: skipped, neither --data nor LORA_DIST_DATA names the folder with text/ and tokenizers/")
    else:
        return True
    return False


def profiles(bench: Bench, chosen: list[CaseRounds]) -> dict:
    """One more run of each case, with the operations timed."""
    found = {}
    for item in chosen:
        case, setting = item.case, item.setting
        run = bench.ours(case, setting, bench.batch(case), case.warm + case.steps, ["--profile"])
        path = os.path.join(bench.work, "run", "profile.json")
        if run.error or not os.path.exists(path):
            bench.note(f"{case.name}, --profile: {run.error or 'no profile.json'}")
        else:
            found[case.name] = workbench.load(path)
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", default=",".join(NAMES), help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--data", default=os.environ.get("LORA_DIST_DATA"), help="folder with text/ and tokenizers/; case B needs it")
    workbench.add_options(parser, "speed.json")
    parser.add_argument("--ours-only", action="store_true", help="leave PyTorch out: its numbers are those of the last full run in --work")
    parser.add_argument("--profile", action="store_true", help="print where our time goes, too")
    args = parser.parse_args()
    args.cases = workbench.chosen(parser, "--cases", args.cases, NAMES)
    return args


def run_rounds(bench: Bench, parts: dict, results: dict, out: str):
    """Results are written after every round: what was measured survives whatever comes."""
    for number in range(bench.args.rounds):
        for name, part in parts.items():
            say(f"round {number + 1}, {name}")
            part.round(number)
            results["cases"][name] = part.result()
            results["notes"] = bench.notes
            workbench.save(out, results)


def main():
    args = parse()
    bench = Bench(args)
    out = args.out or os.path.join(bench.work, "speed.json")
    last_file = os.path.join(bench.work, "pytorch.json")
    last = workbench.load(last_file)
    results = {"machine": workbench.machine(bench), "gemm": gemm_rates(bench), "cases": {}, "ours_only": args.ours_only}
    for precision, best in results["gemm"]["best"].items():
        say(f"{precision}: {best['gflops']:.0f} GFLOP/s on {bench.cores} cores ({best['of']})")
    chosen = [c for c in cases.CASES if c.name in args.cases and possible(bench, c)]
    parts = {case.name: CaseRounds(bench, case, last if args.ours_only else {}) for case in chosen}
    if "memory" in args.cases and not args.ours_only:
        parts["memory"] = MemoryRounds(bench)
    if "start" in args.cases and not args.ours_only:
        parts["start"] = StartRounds(bench)
    if "scale" in args.cases:
        parts["scale"] = ScaleRounds(bench)
    run_rounds(bench, parts, results, out)
    if args.profile:
        results["profiles"] = profiles(bench, [part for part in parts.values() if isinstance(part, CaseRounds)])
    workbench.save(out, results)
    if not args.ours_only:
        workbench.save(last_file, {**last, **results["cases"]})
    text = table.render(results)
    print(text)
    with open(os.path.splitext(out)[0] + ".md", "w", encoding="utf-8") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    processes.guarded(main)
