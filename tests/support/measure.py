"""Measures the CPU time of programs, for the benchmarks."""

import resource
import subprocess
from collections.abc import Mapping, Sequence


def cpu(words: Sequence[str], environment: Mapping[str, str]) -> float:
    """Return the seconds of CPU that a program and its children use."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        words, env=environment, check=False, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
