"""What is said of a Codex that cannot be started."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest
from support.runs import run, settings

from runner import artifacts, process, record
from runner.model import Verdict
from runner.spawn import start_codex


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE])
def test_a_machine_that_has_no_room_for_codex_is_not_taken_for_a_wrong_binary(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: process.Launch) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(process, "start", refuse)
    one = run(log_dir=str(tmp_path))
    files = record.files_of(one.spec)
    for path in (files.prompt, files.events, files.stderr):
        artifacts.replace(path, b"")

    verdict = start_codex(one, settings(tmp_path))

    assert isinstance(verdict, Verdict)
    assert verdict.exit_code == 1
    assert verdict.error == f"cannot start Codex: {os.strerror(number)}"
