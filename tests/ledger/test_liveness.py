"""Who keeps a run alive is a question to the kernel, about its own files first."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest
from support.runs import run

from runner import files
from runner.errors import FileFault
from runner.ledger import record
from runner.lifecycle.liveness import Life, life_of
from runner.locks import lock
from runner.model import Launching, Prepared, Run
from runner.process.table import child


@pytest.fixture
def handed_over(tmp_path: Path) -> Run:
    """Give a run whose launcher lives on, as one does that waits for a hook."""
    return run(Prepared(launcher=child(os.getppid())), log_dir=str(tmp_path))


def test_a_launcher_that_lives_on_keeps_no_run_alive(handed_over: Run) -> None:
    files.create(record.files_of(handed_over.spec).events, b"")

    assert life_of(handed_over) is Life.NONE


def test_a_run_whose_file_is_locked_is_in_charge_of_somebody(handed_over: Run) -> None:
    events = record.files_of(handed_over.spec).events
    files.create(events, b"")
    guard = lock(events)
    assert guard is not None

    assert life_of(handed_over) is Life.SUPERVISOR
    os.close(guard)


def test_who_has_no_descriptor_left_to_look_with_declares_no_run_dead(
    handed_over: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = record.files_of(handed_over.spec).events
    files.create(events, b"")

    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(artifacts, "open_regular", refuse)

    with pytest.raises(FileFault, match=str(events)):
        life_of(handed_over)


@pytest.mark.parametrize("state", [Prepared, Launching])
def test_without_the_file_the_process_tells(
    state: type[Prepared | Launching], tmp_path: Path
) -> None:
    parent = child(os.getppid())
    field = "launcher" if state is Prepared else "supervisor"

    assert life_of(run(state(**{field: parent}), log_dir=str(tmp_path))) is (
        Life.SUPERVISOR
    )
