"""What the measurements share: the built program, the cores, where things lie, what has been found so far, and the machine."""

import fcntl
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys

import counting
import processes
from watch import Others, read

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
MPI_ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} if os.getuid() == 0 else {}


def say(text: str):
    print(text, file=sys.stderr, flush=True)


def fail(text: str):
    raise SystemExit(f"{os.path.basename(sys.argv[0])}: {text}")


def save(path: str, value):
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
    os.rename(path + ".new", path)


def load(path: str) -> dict:
    return json.loads(read(path) or "{}")


def environment(threads: int) -> dict:
    return {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": str(threads), **MPI_ENV}


def on_ranks(ranks: int) -> list[str]:
    return ["mpirun", "--bind-to", "core", "-np", str(ranks)]


def by_python(script: str) -> list[str]:
    return [sys.executable, "-B", os.path.join(HERE, script)]


class Bench:
    """`args` has work, cores, program and sweep."""

    def __init__(self, args):
        self.args, self.cores = args, args.cores
        self.work = os.path.abspath(args.work)
        os.makedirs(os.path.join(self.work, "logs"), exist_ok=True)
        self.lock = open(os.path.join(self.work, "lock"), "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            fail(f"{self.work}: another benchmark runs there: wait, or give another --work")
        self.program = os.path.abspath(args.program) if args.program else self.build("lora_dist")
        self.help = subprocess.run([self.program, "train", "--help"], capture_output=True, text=True).stdout
        self.sweep_file = os.path.join(self.work, "settings.json")
        self.sweeps = {} if args.sweep else load(self.sweep_file)
        self.notes = []

    def build(self, target: str) -> str:
        folder = os.path.join(self.work, "build")
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        configure = ["cmake", "-S", SOURCE, "-B", folder, *generator, "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=ON"]
        for command in (configure, ["cmake", "--build", folder, "--parallel", "--target", target]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                fail(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return os.path.join(folder, "tests" if target.startswith("bench_") else "", target)

    def note(self, text: str):
        if text not in self.notes:
            self.notes.append(text)
            say(f"note: {text}")

    def layouts(self) -> list[tuple[int, int]]:
        """Processes and threads of each, for PyTorch: these two, and what lies between on larger machines."""
        found = [(self.cores, 1), (1, self.cores)]
        if self.cores >= 4 and self.cores % 2 == 0:
            found.insert(1, (2, self.cores // 2))
        return found[: 1 if self.cores == 1 else None]

    def log(self, name: str) -> str:
        return os.path.join(self.work, "logs", name)

    def has_bf16(self) -> bool:
        """Ours refuses it without AVX2."""
        command = [self.program, "train", "--dry-run", "--precision", "bf16", "--model", "none", "--data", "none", "--out", "none"]
        return "no fused multiply-adds" not in subprocess.run(command, capture_output=True, text=True).stderr

    def has_amx(self) -> bool:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return any(line.startswith("flags") and "amx_bf16" in line.split() for line in lines)

    def whole(self, command: list[str], log: str, threads: int, watch_memory=False) -> processes.Run:
        """A run as a whole that nobody disturbed."""
        for _ in range(counting.ATTEMPTS):
            run = processes.run_whole(command, log, environment(threads), watch_memory)
            if run.error:
                fail(f"{' '.join(command)}: {run.error}")
            if run.others <= counting.LIMIT:
                return run
        raise counting.Disturbed

    def on_each_core(self, program: str, n: int) -> list[dict]:
        """What the program prints on each of n cores at the same time, again where others disturbed it."""
        for _ in range(counting.ATTEMPTS):
            with Others() as others:
                found = on_each_core_once(program, n)
            if others.share(others.samples[0][0], others.samples[-1][0]) <= counting.LIMIT:
                return found
        self.note(f"others used the cores while {os.path.basename(program)} ran")
        return found


def on_each_core_once(program: str, n: int) -> list[dict]:
    cores = sorted(os.sched_getaffinity(0))[:n]
    env = {**os.environ, **environment(1)}
    running = [
        subprocess.Popen([program], stdout=subprocess.PIPE, text=True, env=env, preexec_fn=lambda c=core: os.sched_setaffinity(0, {c}))
        for core in cores
    ]
    return [json.loads(line) for process in running for line in process.communicate()[0].splitlines()]


def machine(bench: Bench, packages=("torch", "transformers", "peft")) -> dict:
    model = [line.partition(":")[2].strip() for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    versions = {}
    for package in packages:
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


def machine_line(found: dict, n_rounds: int) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{found['cpu']}, {found['cores']} cores; {versions}; medians of {n_rounds} rounds; "
        f"load average {found['load_before']:.1f} before and {os.getloadavg()[0]:.1f} after."
    )


def add_options(parser, output: str):
    """Options of all measurements."""
    available = len(os.sched_getaffinity(0))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", default="speed-work", help="builds, models, data and settings are kept here")
    parser.add_argument("--out", help=f"every number as JSON (default: {output} in --work)")
    parser.add_argument("--cores", type=int, default=available, help=f"cores to use ({available})")
    parser.add_argument("--program", help="a built lora_dist, instead of building one")
    parser.add_argument("--sweep", action="store_true", help="find the settings again")


def chosen(parser, option: str, value: str, names) -> list[str]:
    """The names of a list with commas."""
    found = value.split(",")
    unknown = [name for name in found if name not in names]
    if unknown:
        parser.error(f"{option}: {', '.join(unknown)}: not one of {', '.join(names)}")
    return found
