"""Watches what runs: the memory of a process and all below it, and the CPU time that others take meanwhile."""

import os
import threading
import time

import numpy as np

TICKS = os.sysconf("SC_CLK_TCK")
SHORTEST = 2.0  # seconds over which others are judged: the kernel counts in ticks, of which a shorter stretch has too few


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def status(pid: int | str) -> list[str]:
    """The fields of /proc/PID/stat from the third on: state, parent, ...; none of a process that is gone."""
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """The process and all below it."""
    children = {}
    for name in os.listdir("/proc"):
        fields = status(name) if name.isdigit() else []
        if fields:
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


def busy_seconds(cores: set[str]) -> tuple[float, float]:
    """How long these cores have worked, and how long the host kept them from it (steal)."""
    lines = [line.split() for line in read("/proc/stat").splitlines() if line.startswith("cpu")]
    mine = [list(map(int, fields[1:9])) for fields in lines if fields[0].removeprefix("cpu") in cores]
    worked = sum(user + nice + system + irq + softirq for user, nice, system, _, _, irq, softirq, _ in mine)
    return worked / TICKS, sum(fields[7] for fields in mine) / TICKS


def used_seconds(pids: list[int]) -> float:
    """CPU time of these processes and of those of their children that have ended."""
    return sum(sum(map(int, status(pid)[11:15])) for pid in pids) / TICKS


class Others(threading.Thread):
    """The CPU time that others take on the cores that this program may use: what the cores were busy, less what this program and all
    below it used, and what the host took away. Where a stolen tick counts as used, too, the first difference falls below zero."""

    def __init__(self):
        super().__init__(daemon=True)
        self.cores = {str(core) for core in os.sched_getaffinity(0)}
        self.samples, self.pids, self.walked = [], [], 0.0
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(0.1):
            self.sample()

    def sample(self):
        now = time.perf_counter()
        if now - self.walked > 1:
            self.pids, self.walked = tree(os.getpid()), now
        worked, stolen = busy_seconds(self.cores)
        self.samples.append((now, worked - used_seconds(self.pids), stolen))

    def __enter__(self):
        self.sample()
        self.start()
        return self

    def __exit__(self, *_):
        """What has ended counts for its parent only then: the last sample is taken after it."""
        self.ended.set()
        self.join()
        self.walked = 0.0
        self.sample()

    def share(self, begin: float, end: float) -> float:
        """Cores that others took between two moments of time.perf_counter, on the average."""
        slack = max(0.0, SHORTEST - (end - begin)) / 2
        times, others, stolen = zip(*self.samples)
        begin, end = max(begin - slack, times[0]), min(end + slack, times[-1])
        of_others, of_host = (float(np.diff(np.interp((begin, end), times, series))[0]) for series in (others, stolen))
        return (max(0.0, of_others) + of_host) / max(end - begin, 1e-9)
