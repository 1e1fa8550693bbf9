"""Runs a program to its end, reads the steps that it reports, and watches the memory of all its processes."""

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field

LONGEST_STEP = 1200.0  # seconds without a step after which a run counts as hung


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def tree(root: int) -> list[int]:
    """The process and all below it."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = read(f"/proc/{name}/stat").rpartition(")")[2].split()
            if len(fields) > 1:
                children.setdefault(int(fields[1]), []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def kibibytes(text: str, key: str) -> int:
    for line in text.splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


class Memory(threading.Thread):
    """The largest sum of proportional set sizes over the tree (a page that n processes share counts 1/n in each, so once in all), and
    the largest resident set of any one process. Ten times a second until `settle`, when the first step is over and has touched all
    that a step touches; then seldom, since walking the page tables takes time from what is measured. Of processes so large that a look
    takes long, it never takes more than a twentieth of the time."""

    def __init__(self, root: int):
        super().__init__(daemon=True)
        self.root, self.node, self.process = root, 0, 0
        self.period, self.ended = 0.1, threading.Event()

    def settle(self):
        self.period = 2.0

    def run(self):
        looked = 0.0
        while not self.ended.wait(max(self.period, 20 * looked)):
            begin, pids = time.perf_counter(), tree(self.root)
            self.node = max(self.node, sum(kibibytes(read(f"/proc/{pid}/smaps_rollup"), "Pss:") for pid in pids))
            self.process = max([self.process, *(kibibytes(read(f"/proc/{pid}/status"), "VmHWM:") for pid in pids)])
            looked = time.perf_counter() - begin

    def stop(self):
        self.ended.set()
        self.join()


@dataclass
class Run:
    command: list[str]
    steps: list[dict] = field(default_factory=list)
    first_step_after: float = 0.0  # seconds from launch
    seconds: float = 0.0  # from launch to end
    node_mib: float = 0.0
    process_mib: float = 0.0
    error: str | None = None


def read_steps(path: str) -> list[dict]:
    """The last line may not be whole yet."""
    return [json.loads(line) for line in read(path).split("\n")[:-1] if line.startswith('{"event": "step"')]


def run(command: list[str], steps_file: str | None, log: str, env: dict, expected: int, watch: bool = True) -> Run:
    """Steps are read from `steps_file`, or (None) from what it prints; another number of them than `expected` is an error."""
    result = Run(command)
    steps_file = steps_file or log
    with open(log, "w", encoding="utf-8") as out, open(log + ".err", "w", encoding="utf-8") as errors:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=errors, env={**os.environ, **env}, stdin=subprocess.DEVNULL)
    memory = Memory(process.pid)
    if watch:
        memory.start()
    try:
        n_steps, last = 0, begin
        while process.poll() is None and time.perf_counter() - last < LONGEST_STEP:
            time.sleep(0.2 if n_steps else 0.01)
            if len(read_steps(steps_file)) > n_steps:
                n_steps, last = len(read_steps(steps_file)), time.perf_counter()
            if n_steps and not result.first_step_after:
                result.first_step_after = last - begin
                memory.settle()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        if watch:
            memory.stop()
    result.steps = read_steps(steps_file)
    result.node_mib, result.process_mib = memory.node / 1024, memory.process / 1024
    if process.returncode or not result.steps:
        said = (read(log + ".err") or read(log)).strip().splitlines()
        result.error = f"status {process.returncode}: " + next((line for line in said if "rror: " in line), " / ".join(said[-3:]))
    elif len(result.steps) != expected:
        result.error = f"reported {len(result.steps)} steps, not {expected}"
    return result


def run_whole(command: list[str], log: str, env: dict) -> Run:
    """A program that reports no steps: how long it takes, and its memory."""
    result = Run(command)
    with open(log, "w", encoding="utf-8") as out, open(log + ".err", "w", encoding="utf-8") as errors:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=errors, env={**os.environ, **env}, stdin=subprocess.DEVNULL)
    memory = Memory(process.pid)
    memory.period = 1.0
    memory.start()
    try:
        status = process.wait()
        result.seconds = time.perf_counter() - begin
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        memory.stop()
    result.node_mib, result.process_mib = memory.node / 1024, memory.process / 1024
    if status:
        said = (read(log + ".err") or read(log)).strip().splitlines()
        result.error = f"status {status}: " + " / ".join(said[-3:])
    return result
