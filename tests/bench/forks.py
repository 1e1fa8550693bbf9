"""Runs the processes of an opponent."""

import ctypes
import multiprocessing
import os
import signal
import tempfile

PR_SET_PDEATHSIG = 1


def end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run(args, work):
    """Calls work(rank, args, meeting) in args.processes processes; `meeting` is a path where they can find each other. The others are
    forks: they share what is imported, and start at once. What was measured is printed by then, so all end without taking down gloo's
    threads, which at times wait for each other."""
    with tempfile.TemporaryDirectory() as folder:
        context, meeting = multiprocessing.get_context("fork"), os.path.join(folder, "meeting")
        others = [context.Process(target=follow, args=(work, rank, args, meeting)) for rank in range(1, args.processes)]
        for process in others:
            process.start()
        work(0, args, meeting)
        for process in others:
            process.join()
    os._exit(0)


def follow(work, rank: int, args, meeting: str):
    end_with_parent()
    work(rank, args, meeting)
    os._exit(0)
