"""Measures programs for the benchmarks, as ratios to a peer that runs in turn."""

import ctypes
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from support.imports import ROOT

BARE = [sys.executable, "-c", "pass"]
# Then the processes that a program leaves behind are counted too (Linux).
_PR_SET_CHILD_SUBREAPER = 36


class Spent(NamedTuple):
    """Seconds of a program: to its first line, to its end, and of CPU in all.

    The CPU time includes that of every process below it, also of detached ones: they
    are waited for.
    """

    first: float
    whole: float
    cpu: float


def command(name: str, *words: object) -> list[str]:
    """Build the command line of one of our commands, as a clone has it."""
    return [str(ROOT / "bin" / name), *map(str, words)]


def spent(words: Sequence[str], environment: Mapping[str, str]) -> Spent:
    """Run a program to its end."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before, began = _cpu(), time.perf_counter()
    with subprocess.Popen(
        words, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        first = time.perf_counter() - began
        process.stdout.read()
    whole = time.perf_counter() - began
    _wait_for_orphans()
    return Spent(first, whole, _cpu() - before)


def compare(
    ours: Sequence[str],
    environment: Mapping[str, str],
    rounds: int,
    peer: Sequence[str] = BARE,
) -> tuple[Spent, Spent]:
    """Return the medians of a program and of its peer, which take turns."""
    both: tuple[list[Spent], list[Spent]] = ([], [])
    for _ in range(rounds):
        both[1].append(spent(peer, environment))
        both[0].append(spent(ours, environment))
    mine, theirs = (Spent(*map(statistics.median, zip(*b, strict=True))) for b in both)
    return mine, theirs


def show(what: str, ours: float, peer: float | None = None) -> None:
    """Print a line: milliseconds, and how many times those of the peer."""
    ratio = "" if peer is None else f"{ours / peer:9.2f} x"
    print(f"{what:58} {ours * 1e3:10.1f} ms{ratio}", flush=True)


def show_value(what: str, value: float, unit: str) -> None:
    """Print a line with a value that has no peer."""
    print(f"{what:58} {value:10.2f} {unit}", flush=True)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wait_for_orphans() -> None:
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return
