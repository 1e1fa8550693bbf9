"""Runs a program to its end, reads the steps that it reports, and leaves nothing of it behind."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

from watch import Memory, Others, read, status, tree

LONGEST_STEP = 1200.0  # seconds without a step after which a run counts as hung
HUNG = "did not finish"
GRACE = 10.0  # seconds from asking a process to end to killing it
PR_SET_CHILD_SUBREAPER = 36
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def send(pid: int, number: signal.Signals):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def running_below() -> dict[int, int]:
    """The processes below this one that have not ended, and their parents."""
    fields = {pid: status(pid) for pid in tree(os.getpid())[1:]}
    return {pid: int(f[1]) for pid, f in fields.items() if f and f[0] != "Z"}


def end_all():
    """Ends what runs below this program. Its children are asked to; mpirun then tells its ranks. Who loses its parent becomes a child
    of this program (see `guarded`), and is asked, too. What is left after a while is killed."""
    begin, asked = time.monotonic(), set()
    while alive := running_below():
        if time.monotonic() - begin > GRACE:
            for pid in alive:
                send(pid, signal.SIGKILL)
        for pid in {pid for pid, parent in alive.items() if parent == os.getpid()} - asked:
            asked.add(pid)
            send(pid, signal.SIGTERM)
        time.sleep(0.02)


def leave(number: int, _):
    """Once: what follows while all is being ended is ignored."""
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def guarded(main):
    """Runs main(). However that ends, by SIGTERM or Ctrl-C too, nothing that it started is left."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in ENDING:
        signal.signal(number, leave)
    try:
        main()
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        end_all()


@dataclass
class Run:
    command: list[str]
    steps: list[dict] = field(default_factory=list)
    first_step_after: float = 0.0  # seconds from launch
    seconds: float = 0.0  # from launch to end
    others: float = 0.0  # cores that others took until the first step, or until the end where there are no steps
    node_mib: float = 0.0
    process_mib: float = 0.0
    error: str | None = None


def read_steps(path: str) -> list[dict]:
    """The last line may not be whole yet."""
    return [json.loads(line) for line in read(path).split("\n")[:-1] if line.startswith('{"event": "step"')]


@contextlib.contextmanager
def started(command: list[str], log: str, env: dict):
    """In a session of its own, so that Ctrl-C reaches this program alone."""
    env = {**os.environ, **env}
    with open(log, "w", encoding="utf-8") as out, open(log + ".err", "w", encoding="utf-8") as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=env, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        end_all()
        process.wait()


@contextlib.contextmanager
def watched(process: subprocess.Popen, result: Run, watch: bool):
    memory = Memory(process.pid)
    if watch:
        memory.start()
    try:
        yield memory
    finally:
        if watch:
            memory.stop()
        result.node_mib, result.process_mib = memory.node / 1024, memory.process / 1024


def last_words(log: str) -> str:
    said = (read(log + ".err") or read(log)).strip().splitlines()
    return next((line for line in said if "rror: " in line), " / ".join(said[-3:]))


def judge(steps: list[dict], ends: list[float], others: Others):
    """How many cores others took in each step. Of steps that were noticed together, each ended when the next one began."""
    for i in range(len(steps) - 2, -1, -1):
        ends[i] = min(ends[i], ends[i + 1] - steps[i + 1]["seconds"])
    for step, end in zip(steps, ends):
        step["others"] = others.share(end - step["seconds"], end)


def follow(process: subprocess.Popen, steps_file: str, limit: float, on_first) -> tuple[list[float], bool]:
    """The moments when steps were noticed, and whether it ended by itself before `limit` seconds passed without one."""
    ends, size, last = [], 0, time.perf_counter()
    while process.poll() is None:
        time.sleep(0.05 if ends else 0.01)
        now, n = time.perf_counter(), len(ends)
        if os.path.exists(steps_file) and os.path.getsize(steps_file) > size:
            size = os.path.getsize(steps_file)
            ends += [now] * (len(read_steps(steps_file)) - n)
        if len(ends) > n:
            last = now
            if not n:
                on_first(now)
        if now - last > limit:
            return ends, False
    ends += [time.perf_counter()] * (len(read_steps(steps_file)) - len(ends))
    return ends, True


def run(command: list[str], steps_file: str | None, log: str, env: dict, expected: int, watch=True, limit=LONGEST_STEP) -> Run:
    """Steps are read from `steps_file`, or (None) from what it prints; another number of them than `expected` is an error, as is
    none for `limit` seconds."""
    result, steps_file = Run(command), steps_file or log

    def on_first(now: float):
        result.first_step_after = now - begin
        memory.settle()

    with Others() as others:
        begin = time.perf_counter()
        with started(command, log, env) as process, watched(process, result, watch) as memory:
            ends, ended = follow(process, steps_file, limit, on_first)
    result.steps = read_steps(steps_file)[: len(ends)]
    judge(result.steps, ends, others)
    result.others = others.share(begin, begin + result.first_step_after)
    if not ended:
        result.error = f"{HUNG}: no step for {limit:.0f} s"
    elif process.returncode or not result.steps:
        result.error = f"status {process.returncode}: {last_words(log)}"
    elif len(result.steps) != expected:
        result.error = f"reported {len(result.steps)} steps, not {expected}"
    return result


def run_whole(command: list[str], log: str, env: dict, watch=True) -> Run:
    """A program that reports no steps: how long it takes, and its memory. What it prints is in `log`."""
    result = Run(command)
    with Others() as others:
        begin = time.perf_counter()
        with started(command, log, env) as process, watched(process, result, watch) as memory:
            memory.period = 1.0
            code = process.wait()
            end = time.perf_counter()
    result.seconds, result.others = end - begin, others.share(begin, end)
    if code:
        result.error = f"status {code}: {last_words(log)}"
    return result
