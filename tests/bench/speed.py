#!/usr/bin/env python3
"""Measures lora_dist against transformers + PEFT + DistributedDataParallel on the same cores, and against the machine.

    python3 speed.py [--cases G,L,...] [--rounds 3] [--data DATA] [--work DIR] [--out FILE.json]

Builds the program, makes models and data, finds each side's best settings once, then runs both sides in turn and prints one table.
README.md beside this file says what the cases are and how things are measured.
"""

import argparse
import fcntl
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys

import cases
import floor
import processes
import shapes
import table

HERE = os.path.dirname(os.path.abspath(__file__))
MPI_ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} if os.getuid() == 0 else {}
NAMES = [case.name for case in cases.CASES] + list(cases.SPECIAL)


def say(text: str):
    print(text, file=sys.stderr, flush=True)


def fail(text: str):
    raise SystemExit(f"speed.py: {text}")


def save(path: str, value):
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
    os.rename(path + ".new", path)


def load(path: str) -> dict:
    return json.loads(processes.read(path) or "{}")


class Bench:
    """What all measurements need: the built program, the cores, where things lie, and what has been found so far."""

    def __init__(self, args):
        self.args, self.cores = args, args.cores
        self.work = os.path.abspath(args.work)
        os.makedirs(self.work, exist_ok=True)
        self.lock = open(os.path.join(self.work, "lock"), "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            fail(f"{self.work}: another benchmark runs there: wait, or give another --work")
        self.program = args.program or self.build("lora_dist")
        self.help = subprocess.run([self.program, "train", "--help"], capture_output=True, text=True).stdout
        self.sweep_file = os.path.join(self.work, "sweep.json")
        self.sweeps = {} if args.sweep else load(self.sweep_file)
        self.notes = []

    def build(self, target: str) -> str:
        folder = os.path.join(self.work, "build")
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        source = os.path.dirname(os.path.dirname(HERE))
        configure = ["cmake", "-S", source, "-B", folder, *generator, "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=ON"]
        for command in (configure, ["cmake", "--build", folder, "--parallel", "--target", target]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                fail(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return os.path.join(folder, "tests" if target == "bench_gemm" else "", target)

    def note(self, text: str):
        if text not in self.notes:
            self.notes.append(text)
            say(f"note: {text}")

    def batch(self, case: cases.Case) -> int:
        return case.batch * max(1, self.cores // 2)

    def layouts(self) -> list[tuple[int, int]]:
        """Processes and threads of each, for PyTorch: these two, and what lies between on larger machines."""
        found = [(self.cores, 1), (1, self.cores)]
        if self.cores >= 4 and self.cores % 2 == 0:
            found.insert(1, (2, self.cores // 2))
        return found[: 1 if self.cores == 1 else None]

    def model(self, case: cases.Case) -> str:
        return shapes.model_folder(self.work, case.model, self.args.data)

    def data(self, case: cases.Case) -> str:
        return shapes.data_file(self.work, case.data, self.args.data)

    def log(self, name: str) -> str:
        os.makedirs(os.path.join(self.work, "logs"), exist_ok=True)
        return os.path.join(self.work, "logs", name)

    def ours(self, case: cases.Case, micro: int, batch: int, steps: int, ranks: int, extra=(), watch=True) -> processes.Run:
        out = os.path.join(self.work, "run")
        shutil.rmtree(out, ignore_errors=True)
        command = ["mpirun", "--bind-to", "core", "-np", str(ranks), self.program, "train"]
        command += ["--model", self.model(case), "--data", self.data(case), "--out", out, "--target", case.target]
        command += ["--rank", str(case.rank), "--batch-size", str(batch), "--micro-batch", str(micro), "--steps", str(steps)]
        command += ["--no-shuffle", "--save-every", "1000000", *extra]
        if not case.images:
            command += ["--seq-len", str(case.seq_len)]
        if case.language:
            command.append("--no-pack")
        if case.target_len:
            command += ["--target-len", str(case.target_len)]
        if case.precision != "f32":
            command += ["--precision", case.precision]
        env = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **MPI_ENV}
        return processes.run(command, os.path.join(out, "metrics.jsonl"), self.log(f"{case.name}.ours"), env, steps, watch)

    def pytorch(self, case: cases.Case, opponent, setting: dict, batch: int, steps: int, watch=True) -> processes.Run:
        command = [sys.executable, "-B", os.path.join(HERE, "pytorch_step.py"), "--model", self.model(case), "--data", self.data(case)]
        command += ["--target", case.target, "--rank", str(case.rank), "--seq-len", str(case.seq_len), "--steps", str(steps)]
        command += ["--batch", str(batch), "--precision", case.precision, "--base", opponent.base]
        if case.target_len:
            command += ["--target-len", str(case.target_len)]
        for key, value in setting.items():
            command += [f"--{key}", str(value)]
        if opponent.grouped:
            command.append("--grouped")
        env = {"OMP_NUM_THREADS": str(setting["threads"])}
        return processes.run(command, None, self.log(f"{case.name}.pytorch"), env, steps, watch)


def rates(run: processes.Run, warm: int) -> dict:
    """Of the measured steps together."""
    steps = run.steps[warm:]
    seconds = sum(step["seconds"] for step in steps)
    return {
        "seconds": [step["seconds"] for step in steps],
        "tokens_per_second": sum(step["tokens"] for step in steps) / seconds,
        "targets_per_second": sum(step["target_tokens"] for step in steps) / seconds,
        "tokens": sum(step["tokens"] for step in steps),
        "losses": [step["loss"] for step in run.steps],
        "process_mib": run.process_mib,
        "node_mib": run.node_mib,
        "first_step_after": run.first_step_after,
    }


def described(setting: dict) -> str:
    if "processes" in setting:
        return f"{setting['processes']} × {setting['threads']}, micro-batch {setting['micro']}"
    return f"{setting['ranks']} ranks, micro-batch {setting['micro']}"


def climb(bench: Bench, name: str, settings: list[dict], attempt) -> dict:
    """Tries settings whose micro-batch rises, and stops where it no longer pays. Returns the rate of each that ran."""
    found, best = {}, 0.0
    for setting in settings:
        run = attempt(setting)
        if run.error:
            bench.note(f"{name}, {described(setting)}: {run.error}")
            break
        rate = rates(run, 1)["tokens_per_second"]
        found[json.dumps(setting)] = rate
        say(f"  {name}: {described(setting)}: {rate:.0f} per second")
        if rate < best * 0.95:
            break
        best = max(best, rate)
    return found


def sweep(bench: Bench, key: str, ladders: list[list[dict]], attempt) -> dict | None:
    """The fastest setting, from this sweep or an earlier one in the same folder."""
    if key not in bench.sweeps:
        found = {}
        for ladder in ladders:
            found.update(climb(bench, key, ladder, attempt))
        if not found:
            return None
        bench.sweeps[key] = {"best": json.loads(max(found, key=found.get)), "rates": found}
        save(bench.sweep_file, bench.sweeps)
    return bench.sweeps[key]["best"]


def sweep_batch(bench: Bench, case: cases.Case, n: int, micro: int) -> int:
    """One micro-batch for each of n is enough where all samples are of one length."""
    return bench.batch(case) if case.sweep_whole else min(bench.batch(case), n * micro)


def best_of_ours(bench: Bench, case: cases.Case) -> dict | None:
    ranks = bench.cores
    ladder = [{"ranks": ranks, "micro": m} for m in case.micros if m * ranks <= bench.batch(case)]

    def attempt(setting):
        return bench.ours(case, setting["micro"], sweep_batch(bench, case, ranks, setting["micro"]), 2, ranks, watch=False)

    return sweep(bench, f"{case.name} ours", [ladder], attempt)


def fits_memory(bench: Bench, case: cases.Case, n: int) -> bool:
    """Whether n processes that need much memory have room."""
    available = processes.kibibytes(processes.read("/proc/meminfo"), "MemAvailable:") / 2**20
    if not case.process_gib or n * case.process_gib <= available:
        return True
    bench.note(f"{case.name}: {n} processes of PyTorch need about {n * case.process_gib:.0f} GiB, {available:.0f} are free: not tried")
    return False


def best_of_pytorch(bench: Bench, case: cases.Case, opponent: cases.Opponent) -> dict | None:
    batch = bench.batch(case)

    def ladder(n: int, threads: int) -> list[dict]:
        micros = [batch // n] if opponent.whole else [m for m in (*case.micros, batch // n) if batch % (m * n) == 0]
        return [{"processes": n, "threads": threads, "micro": m} for m in sorted(set(micros))]

    def attempt(setting):
        size = sweep_batch(bench, case, setting["processes"], setting["micro"])
        return bench.pytorch(case, opponent, setting, size, 2, watch=False)

    ladders = [ladder(n, threads) for n, threads in bench.layouts() if fits_memory(bench, case, n)]
    return sweep(bench, f"{case.name} {opponent.name}", ladders, attempt)


def measure(bench: Bench, case: cases.Case, name: str, setting: dict, attempt) -> dict | None:
    run = attempt(setting, bench.batch(case), case.warm + case.steps)
    if run.error:
        bench.note(f"{case.name} {name}: {run.error}")
        return None
    found = {"setting": setting, **rates(run, case.warm)}
    usual, longest = statistics.median(found["seconds"]), max(found["seconds"])
    if longest > 3 * usual and not case.sweep_whole:  # kept: a stall is the program's until it is shown to be the machine's
        bench.note(f"{case.name} {name}: a step took {longest:.2f} s, the median {usual:.2f} s; it is counted")
    memory = f"{found['process_mib']:.0f} MiB a process, {found['node_mib']:.0f} in all"
    say(f"  {case.name} {name}: {described(setting)}: {found['tokens_per_second']:.1f} per second, {memory}")
    return found


class CaseRounds:
    """A case: its settings, found first, then a measurement of each side in each round."""

    def __init__(self, bench: Bench, case: cases.Case, last: dict):
        self.bench, self.case = bench, case
        self.rounds, self.last = [], last.get(case.name)
        say(f"{case.name}: settings")
        self.setting = best_of_ours(bench, case)
        self.opponents = {} if self.last else {o.name: (o, best_of_pytorch(bench, case, o)) for o in case.opponents}

    def sides(self) -> list:
        bench, case = self.bench, self.case

        def ours():
            return measure(bench, case, "ours", self.setting, lambda s, batch, n: bench.ours(case, s["micro"], batch, n, s["ranks"]))

        def theirs(opponent, setting):
            return measure(bench, case, opponent.name, setting, lambda s, batch, n: bench.pytorch(case, opponent, s, batch, n))

        found = [("ours", ours)] if self.setting else []
        for name, (opponent, setting) in self.opponents.items():
            if setting:
                found.append((name, lambda o=opponent, s=setting: theirs(o, s)))
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
            if name == "ours" or not ours or "grouped" in name:
                continue
            difference = abs(ours["losses"][0] / theirs["losses"][0] - 1)
            if difference > (1e-4 if self.case.precision == "f32" else 2e-2):
                self.bench.note(f"{self.case.name}: the first losses differ: {ours['losses'][0]} and {theirs['losses'][0]} ({name})")
            if ours["tokens"] != theirs["tokens"]:
                self.bench.note(f"{self.case.name}: {ours['tokens']} and {theirs['tokens']} tokens ({name})")

    def flops_per_token(self) -> float:
        """Of the samples that are measured."""
        case, batch = self.case, self.bench.batch(self.case)
        folder = self.bench.model(case)
        every = shapes.lengths_of(case.data, self.bench.data(case), folder, case.seq_len)
        chosen = [every[i % len(every)] for i in range(case.warm * batch, (case.warm + case.steps) * batch)]
        lengths = [n for n, _ in chosen]
        return floor.necessary_flops(folder, case.target, case.rank, lengths, [n for _, n in chosen]) / sum(lengths)

    def result(self) -> dict:
        bars = {o.name: o.bar for o in self.case.opponents}
        return {
            "rounds": self.rounds,
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
        theirs = {"processes": bench.cores, "threads": 1, "micro": micro}
        runs = {"ours": bench.ours(case, micro, bench.batch(case), 1, bench.cores)}
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

    def round(self, number: int):
        bench, case, found = self.bench, cases.START, {}
        batch, opponent = bench.batch(case), case.opponents[0]
        runs = {"ours": bench.ours(case, 1, batch, 1, bench.cores, watch=False)}
        for n, threads in bench.layouts():
            setting = {"processes": n, "threads": threads, "micro": 1}
            runs[f"{n} × {threads}"] = bench.pytorch(case, opponent, setting, batch, 1, watch=False)
        for name, run in runs.items():
            if run.error:
                bench.note(f"start, {name}: {run.error}")
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
            setting, batch = self.settings[case.name], bench.batch(case)
            for ranks in (1, bench.cores) if setting else ():
                run = bench.ours(case, setting["micro"], batch, case.warm + case.steps, ranks, watch=False)
                if run.error:
                    bench.note(f"scale, {case.name} on {ranks}: {run.error}")
                    continue
                found.setdefault(case.name, {})[str(ranks)] = rates(run, case.warm)["tokens_per_second"]
                say(f"  scale, {case.name} on {ranks}: {found[case.name][str(ranks)]:.1f} per second")
        self.rounds.append(found)

    def result(self) -> dict:
        return {"rounds": self.rounds, "bar": cases.SCALE_BAR, "cores": self.bench.cores}


def gemm_rates(bench: Bench) -> dict:
    """GFLOP/s of all cores together, the same product on each at the same time; the best library and shape for each precision."""
    program = bench.build("bench_gemm")
    cores = sorted(os.sched_getaffinity(0))[: bench.cores]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([program], stdout=subprocess.PIPE, text=True, env=env, preexec_fn=lambda c=core: os.sched_setaffinity(0, {c}))
        for core in cores
    ]
    sums = {}
    for process in running:
        for line in process.communicate()[0].splitlines():
            found = json.loads(line)
            key = f"{found['precision']} {found['library']} {found['M']}x{found['K']}x{found['N']}"
            sums[key] = sums.get(key, 0.0) + found["gflops"]
    best = {}
    for key, rate in sums.items():
        precision = key.split()[0]
        if rate > best.get(precision, {"gflops": 0})["gflops"]:
            best[precision] = {"gflops": rate, "of": key}
    if "f32" not in best:
        fail("bench_gemm measured nothing")
    best.setdefault("bf16", {"gflops": 2 * best["f32"]["gflops"], "of": "twice the f32 rate, no bf16 product measured"})
    return {"best": best, "all": sums}


def machine(bench: Bench) -> dict:
    model = [line.partition(":")[2].strip() for line in processes.read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    versions = {}
    for package in ("torch", "transformers", "peft"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            fail(f"{package} is not installed for {sys.executable}: README.md has the list")
    return {
        "cpu": model[0] if model else platform.machine(),
        "cores": bench.cores,
        "load_before": os.getloadavg()[0],
        "versions": {**versions, "python": platform.python_version()},
        "lora_dist": subprocess.run([bench.program, "--version"], capture_output=True, text=True).stdout.strip(),
    }


def possible(bench: Bench, case: cases.Case) -> bool:
    if case.precision not in bench.help[bench.help.find("--precision") :][:80]:
        bench.note(f"{case.name}: skipped, --precision {case.precision} is not in `lora_dist train --help`")
    elif (case.model in shapes.NEED_DATA or case.data in shapes.NEED_DATA) and not bench.args.data:
        bench.note(f"{case.name}: skipped, neither --data nor LORA_DIST_DATA names the folder with text/ and tokenizers/")
    else:
        return True
    return False


def profiles(bench: Bench, chosen: list[CaseRounds]) -> dict:
    """One more run of each case, with the operations timed."""
    if "--profile" not in bench.help:
        bench.note("--profile is not in `lora_dist train --help`")
        return {}
    found = {}
    for item in chosen:
        case, setting = item.case, item.setting
        run = bench.ours(case, setting["micro"], bench.batch(case), case.warm + case.steps, setting["ranks"], ["--profile"])
        path = os.path.join(bench.work, "run", "profile.json")
        if run.error or not os.path.exists(path):
            bench.note(f"{case.name}, --profile: {run.error or 'no profile.json'}")
        else:
            found[case.name] = load(path)
    return found


def parse() -> argparse.Namespace:
    available = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", default=",".join(NAMES), help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", default=os.environ.get("LORA_DIST_DATA"), help="folder with text/ and tokenizers/; case B needs it")
    parser.add_argument("--work", default="speed-work", help="builds, models, data and settings are kept here")
    parser.add_argument("--out", help="every number as JSON (default: speed.json in --work)")
    parser.add_argument("--cores", type=int, default=available, help=f"cores to use ({available})")
    parser.add_argument("--program", help="a built lora_dist, instead of building one")
    parser.add_argument("--sweep", action="store_true", help="find the settings again")
    parser.add_argument("--ours-only", action="store_true", help="leave PyTorch out: its numbers are those of the last full run in --work")
    parser.add_argument("--profile", action="store_true", help="print where our time goes, too")
    args = parser.parse_args()
    args.cases = args.cases.split(",")
    unknown = [name for name in args.cases if name not in NAMES]
    if unknown:
        parser.error(f"--cases: {', '.join(unknown)}: not one of {', '.join(NAMES)}")
    return args


def run_rounds(bench: Bench, parts: dict, results: dict, out: str):
    """Results are written after every round: what was measured survives whatever comes."""
    for number in range(bench.args.rounds):
        for name, part in parts.items():
            say(f"round {number + 1}, {name}")
            part.round(number)
            results["cases"][name] = part.result()
            results["notes"] = bench.notes
            save(out, results)


def main():
    args = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what runs is ended, too
    bench = Bench(args)
    out = args.out or os.path.join(bench.work, "speed.json")
    last_file = os.path.join(bench.work, "last.json")
    last = load(last_file)
    results = {"machine": machine(bench), "gemm": gemm_rates(bench), "cases": {}, "ours_only": args.ours_only}
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
    results["machine"]["load_after"] = statistics.median(os.getloadavg())
    save(out, results)
    if not args.ours_only:
        save(last_file, {**last, **results["cases"]})
    text = table.render(results)
    print(text)
    with open(os.path.splitext(out)[0] + ".md", "w", encoding="utf-8") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    main()
