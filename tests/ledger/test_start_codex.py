"""What is said of a Codex that cannot be started."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest
from support.runs import run, settings

from runner import files
from runner.model import Verdict
from runner.process.start import Launch
from runner.run_files import files_of
from runner.supervisor import start_codex as starting
from runner.supervisor.start_codex import start_codex


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE])
def test_a_machine_that_has_no_room_for_codex_is_not_taken_for_a_wrong_binary(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Launch) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(starting, "start_program", refuse)
    one = run(directory=str(tmp_path))
    paths = files_of(one.spec)
    for path in (paths.prompt, paths.events, paths.stderr):
        files.replace(path, b"")
    events = os.open(paths.events, os.O_WRONLY | os.O_APPEND)

    verdict = start_codex(one, events, settings(tmp_path))
    os.close(events)

    assert isinstance(verdict, Verdict)
    assert verdict.exit_code == 1
    assert verdict.error == f"cannot start Codex: {os.strerror(number)}"
