"""Whatever the machine refuses is one line for people and an exit code for scripts."""

import errno
import os
import sys
from typing import NoReturn

import pytest

from runner.cli import main, output
from runner.cli.command import enter
from runner.cli.output import note
from runner.config import Config

FULL = OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/proc")
NO_ROOM = ImportError("libz.so.1: failed to map segment from shared object")


def refusing(error: BaseException) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory"),
        (NO_ROOM, str(NO_ROOM)),
        (FULL, "/proc: Too many open files"),
    ],
)
def test_what_a_command_lacks_is_one_line(
    capfd: pytest.CaptureFixture[str], error: BaseException, said: str
) -> None:
    def command(_: Config) -> int:
        refusing(error)

    assert enter(command) == 1
    assert capfd.readouterr().err.partition(": ")[2] == f"{said}\n"


def test_it_is_told_too_when_not_even_that_can_be_loaded(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "visible", lambda _: refusing(FULL))

    note("no room\x07")

    assert capfd.readouterr().err.partition(": ")[2] == "no room\\x07\n"


@pytest.mark.parametrize("error", [MemoryError(), NO_ROOM, FULL])
def test_a_command_that_cannot_be_loaded_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/codex-runner", "codex-tasks"])
    monkeypatch.setattr(main, "__import__", lambda _: refusing(error), raising=False)

    with pytest.raises(SystemExit, match=r"^codex-tasks: cannot be loaded: .+$"):
        main.start()


def test_the_script_of_pip_names_the_commands(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["codex-runner", "status"])

    with pytest.raises(SystemExit, match="2"):
        main.start()

    usage = f"usage: codex-runner {{{','.join(main.COMMANDS)}}} ...\n"
    assert capfd.readouterr() == ("", usage)
