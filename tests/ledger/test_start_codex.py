"""What is said of a Codex that cannot be started."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest
from support.runs import run, settings

from runner import files
from runner.ledger import record
from runner.model import Verdict
from runner.process.start import Launch
from runner.supervisor.start_codex import start_codex


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE])
def test_a_machine_that_has_no_room_for_codex_is_not_taken_for_a_wrong_binary(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Launch) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(process, "start", refuse)
    one = run(log_dir=str(tmp_path))
    paths = record.files_of(one.spec)
    for path in (paths.prompt, paths.events, paths.stderr):
        files.replace(path, b"")

    verdict = start_codex(one, settings(tmp_path))

    assert isinstance(verdict, Verdict)
    assert verdict.exit_code == 1
    assert verdict.error == f"cannot start Codex: {os.strerror(number)}"
