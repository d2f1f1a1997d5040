"""Which process keeps a run alive is asked of the kernel, its locks first."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest
from support import ledgers
from support.runs import AT, run

from parsers.struct import replace
from runner import locks
from runner.errors import FileFault
from runner.lifecycle import liveness
from runner.lifecycle.liveness import Life, life_of, place_of
from runner.model import Launching, Prepared, ProcessId, Run, Running
from runner.process.table import child
from runner.run_files import files_of, owner_of


def own() -> ProcessId:
    """Name a living process."""
    return child(os.getppid())


def in_state(
    state: type[Launching | Running], supervisor: ProcessId
) -> Launching | Running:
    if state is Launching:
        return Launching(supervisor=supervisor)
    return Running(supervisor=supervisor, codex=ledgers.gone(), started_at=AT)


@pytest.fixture
def left(tmp_path: Path) -> Run:
    """Give a run with all its files whose supervisor and Codex are gone."""
    found = run(in_state(Running, ledgers.gone()), directory=str(tmp_path))
    owner = owner_of(tmp_path, found.run_id)
    owner.parent.mkdir(parents=True)
    owner.touch()
    files_of(found.spec).events.touch()
    return found


def test_a_run_with_both_locks_free_is_gone(left: Run, tmp_path: Path) -> None:
    assert life_of(left, tmp_path) is Life.NONE


def test_a_supervisor_that_holds_its_lock_keeps_its_run_alive(
    left: Run, tmp_path: Path
) -> None:
    owned = replace(left, state=in_state(Running, own()))

    with ledgers.locked(owner_of(tmp_path, left.run_id)):
        assert life_of(owned, tmp_path) is Life.SUPERVISOR


def test_the_command_that_prepares_a_run_keeps_it_alive(
    left: Run, tmp_path: Path
) -> None:
    prepared = replace(left, state=Prepared())

    with ledgers.locked(owner_of(tmp_path, left.run_id)):
        assert life_of(prepared, tmp_path) is Life.SUPERVISOR
    assert life_of(prepared, tmp_path) is Life.NONE


def test_a_command_that_judges_a_run_does_not_keep_it_alive(
    left: Run, tmp_path: Path
) -> None:
    """It holds the lock of the owner while it works; the supervisor is gone."""
    with ledgers.locked(owner_of(tmp_path, left.run_id)):
        assert life_of(left, tmp_path) is Life.NONE


def test_a_supervisor_that_lives_without_its_lock_keeps_no_run_alive(
    left: Run, tmp_path: Path
) -> None:
    """Its pid is on record, but it has let the run go: a hook may hold it up."""
    freed = replace(left, state=in_state(Running, own()))

    assert life_of(freed, tmp_path) is Life.NONE


@pytest.mark.parametrize("state", [Launching, Running])
def test_without_the_lock_file_the_process_decides(
    state: type[Launching | Running], tmp_path: Path
) -> None:
    alive = run(in_state(state, own()), directory=str(tmp_path))
    gone = run(in_state(state, ledgers.gone()), directory=str(tmp_path))

    assert life_of(alive, tmp_path) is Life.SUPERVISOR
    assert life_of(gone, tmp_path) is Life.NONE


def test_a_reader_without_a_descriptor_left_declares_no_run_dead(
    left: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", refuse)

    with pytest.raises(FileFault, match=str(owner_of(tmp_path, left.run_id))):
        life_of(left, tmp_path)


def in_another_namespace(left: Run, **changes: str) -> Run:
    theirs = replace(own(), **{"namespace": "4026531999", **changes})
    return replace(left, state=in_state(Running, theirs))


def test_in_another_pid_namespace_the_locks_decide(left: Run, tmp_path: Path) -> None:
    theirs = in_another_namespace(left)
    assert not place_of(theirs).is_here
    assert life_of(theirs, tmp_path) is Life.NONE

    guard = locks.take(files_of(theirs.spec).events)
    assert guard is not None
    assert life_of(theirs, tmp_path) is Life.CODEX
    os.close(guard)


def test_in_another_pid_namespace_a_lock_that_is_gone_decides_nothing(
    left: Run, tmp_path: Path
) -> None:
    theirs = in_another_namespace(left)
    owner_of(tmp_path, left.run_id).unlink()

    assert life_of(theirs, tmp_path) is Life.UNKNOWN


def test_before_the_last_boot_of_this_machine_a_run_is_gone(
    left: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        liveness,
        "here",
        lambda: {"boot_id": "now", "namespace": "1", "machine_id": "m"},
    )
    theirs = in_another_namespace(left, boot_id="before", machine_id="m")
    elsewhere = in_another_namespace(left, boot_id="before", machine_id="other")
    guard = locks.take(owner_of(tmp_path, left.run_id))
    assert guard is not None

    assert life_of(theirs, tmp_path) is Life.NONE
    assert life_of(elsewhere, tmp_path) is Life.UNKNOWN
    assert place_of(elsewhere).reason == "it was started on machine other"
    os.close(guard)
