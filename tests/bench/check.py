#!/usr/bin/env python3
"""Checks what the measurements rely on, in half a minute: others are recognised, signals leave nothing, and which steps count.

    python3 check.py
"""

import os
import signal
import subprocess
import sys
import tempfile
import time

import counting
import processes
import watch

SECONDS = "86321"  # of sleeping: a number by which processes are found
FAMILY = f"sleep {SECONDS} & setsid sleep {SECONDS} & trap '' TERM; while :; do sleep {SECONDS}; done"
BUSY = "import time; end = time.monotonic() + 4\nwhile time.monotonic() < end: pass"


def share_beside(start) -> float:
    """Cores that others took while start() let something run."""
    with watch.Others() as others:
        start()
        begin = time.perf_counter()
        time.sleep(3)
        end = time.perf_counter()
    return others.share(begin, end)


def start_stranger():
    """A process that is not below this one: its parent is gone."""
    if not (child := os.fork()):
        subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True)
        os._exit(0)
    os.waitpid(child, 0)


def check_others():
    child = share_beside(lambda: subprocess.Popen([sys.executable, "-c", BUSY]))
    time.sleep(2)
    stranger = share_beside(start_stranger)
    print(f"others took {child:.2f} cores beside a child, and {stranger:.2f} with a stranger")
    assert stranger > counting.LIMIT and (stranger > child + 0.3 or child > 0.5), "a stranger was not recognised"


def sleepers() -> list[str]:
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if SECONDS in watch.read(f"/proc/{pid}/cmdline") and watch.status(pid)[:1] != ["Z"]]


def victim():
    """Runs a program that ignores SIGTERM, with children of which one has left its session."""
    with tempfile.TemporaryDirectory() as folder:
        processes.run(["sh", "-c", FAMILY], None, os.path.join(folder, "log"), {}, 1)


def check_signal(number: signal.Signals):
    process = subprocess.Popen([sys.executable, "-B", os.path.abspath(__file__), "--victim"])
    time.sleep(2)
    assert len(sleepers()) >= 3, "the program did not start"
    process.send_signal(number)
    code = process.wait(30)
    left = sleepers()
    print(f"{number.name}: status {code}, {len(left)} processes left")
    assert code == 128 + number and not left


def check_counting():
    def step(seconds: float, others: float) -> dict:
        return {"seconds": seconds, "others": others}

    count = counting.Count(warm=1, n=2)
    count.add([step(9, 0), step(1, 0), step(5, 1)])
    assert (len(count.kept), count.left_out, count.enough) == (1, 1, False)
    count.add([step(9, 0), step(2, 0), step(3, 0)])
    assert [s["seconds"] for s in count.steps] == [1, 3] and count.whole


def main():
    check_counting()
    check_others()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        check_signal(number)


if __name__ == "__main__":
    processes.guarded(victim) if sys.argv[1:] == ["--victim"] else main()
