"""The guard over tests with processes finds what they leave behind."""

import os
import subprocess
from pathlib import Path

import pytest
from support.guard import MARKER, no_process_left
from support.processes import (
    is_alive,
    kill,
    processes_below,
    start_time,
    wait_until,
)
from support.stand_in import make_stand_in, spawn

pytestmark = pytest.mark.core


def marked() -> dict[str, str]:
    return {**os.environ, MARKER: "guard-test"}


def test_an_escaped_process_fails_the_test_and_is_ended(tmp_path: Path) -> None:
    stand_in = make_stand_in(tmp_path, spawn(double_fork=True, ignoring=["TERM"]))
    with (
        pytest.raises(pytest.fail.Exception, match="left behind"),
        no_process_left("guard-test", grace=0.05),
    ):
        subprocess.run([stand_in.path], env=marked(), input=b"", check=True)

    assert not is_alive(stand_in.children[0])


def test_a_process_that_is_just_ending_is_waited_for() -> None:
    with no_process_left("guard-test"):
        subprocess.run(["sleep", "0.05"], env=marked(), check=True)  # noqa: S607  # any sleep


def test_a_reused_pid_is_not_taken_for_the_process() -> None:
    own = os.getpid()
    started = start_time(own)

    assert started is not None
    assert is_alive(own, started)
    assert not is_alive(own, started + 1)


def test_descendants_are_found_by_parent(tmp_path: Path) -> None:
    stand_in = make_stand_in(tmp_path, spawn(), {"do": "hang"})
    with subprocess.Popen([stand_in.path], stdin=subprocess.DEVNULL) as process:
        wait_until(lambda: stand_in.children)
        below = processes_below(process.pid)
        for pid in [*below, process.pid]:
            kill(pid)

    assert below == stand_in.children
    wait_until(lambda: not is_alive(below[0]))
