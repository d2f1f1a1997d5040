"""The growth of a run's files is signalled, whoever else writes beside them."""

import subprocess
import sys
from pathlib import Path

# In a process of one thread: another thread could get the signal.
SCRIPT = """
import signal, sys
from pathlib import Path
from runner.process import growth
from runner.process.growth import GrowthSignal

ours, others = Path(sys.argv[1], "ours"), Path(sys.argv[1], "others")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])

def refuse(*_):
    raise OSError("inotify_init1 fails")

def append(path):
    with path.open("a") as file:
        file.write("a line")

def is_signalled(seconds=10):
    return signal.sigtimedwait([signal.SIGIO], seconds) is not None

append(ours)
"""


def play(directory: Path, *lines: str) -> None:
    """Let a process run these lines."""
    argv = [sys.executable, "-c", "\n".join([SCRIPT, *lines]), str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


EACH_IS_SIGNALLED = """
for _ in range(3):
    append(ours)
    assert is_signalled()
    watch.renew(has_grown=True)
    assert watch.is_on
"""


def test_in_a_directory_of_its_own_each_growth_is_signalled(tmp_path: Path) -> None:
    watch = "watch = GrowthSignal(ours.parent, [ours], is_own=True)"
    play(tmp_path, watch, EACH_IS_SIGNALLED)


SHARED = "watch = GrowthSignal(ours.parent, [ours], is_own=False)"
NO_INSTANCE_LEFT = "growth.call = refuse"


def test_in_a_shared_one_only_that_of_its_own_files_is(tmp_path: Path) -> None:
    foreign = "append(others); assert not is_signalled(0.05); assert watch.is_on"
    play(tmp_path, SHARED, EACH_IS_SIGNALLED, foreign)


def test_without_inotify_a_shared_directory_is_watched(tmp_path: Path) -> None:
    play(tmp_path, NO_INSTANCE_LEFT, SHARED, EACH_IS_SIGNALLED)


NEIGHBOUR = """
append(others)
assert is_signalled()
watch.renew(has_grown=False)
assert not watch.is_on, "its files are looked at after a second"
append(others)
assert not is_signalled(0.05)
watch.renew(has_grown=False)
assert watch.is_on
append(ours)
assert is_signalled()
"""


def test_then_a_busy_neighbour_costs_one_signal_in_two_pauses(tmp_path: Path) -> None:
    play(tmp_path, NO_INSTANCE_LEFT, SHARED, NEIGHBOUR)


def test_what_is_written_below_the_directory_is_not_signalled(tmp_path: Path) -> None:
    (tmp_path / "times").mkdir()
    watch = "watch = GrowthSignal(ours.parent, [ours], is_own=True)"
    below = "append(ours.parent / 'times' / 'lines'); assert not is_signalled(0.05)"
    play(tmp_path, watch, below, "assert watch.is_exact")


def test_only_a_signal_for_each_growth_makes_times_exact(tmp_path: Path) -> None:
    exact = f"{SHARED}; assert watch.is_exact"
    play(tmp_path, exact)
    play(tmp_path, NO_INSTANCE_LEFT, SHARED, "assert not watch.is_exact")
