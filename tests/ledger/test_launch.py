"""A launch that fails before the run is recorded leaves nothing, and says why."""

import errno
import json
import os
from pathlib import Path
from typing import NoReturn

import pytest
from support import ledgers
from support.runs import settings

from runner import locks
from runner.config import Config
from runner.errors import (
    FileFault,
    LedgerFault,
    RunnerError,
    SessionBusyError,
    UsageError,
)
from runner.ledger.ledger import Ledger
from runner.ledger.sessions import PromptsWaitError
from runner.lifecycle import launch
from runner.lifecycle.handoff import as_message
from runner.lifecycle.launch import Started, SupervisorFault, prepare_run, start_run
from runner.locks import Lock, look
from runner.model import RunRequest
from runner.run_files import files_of, owner_of


@pytest.fixture
def ours(tmp_path: Path) -> Config:
    return settings(tmp_path)


@pytest.fixture
def ledger(ours: Config) -> Ledger:
    return Ledger(ours.state_home)


@pytest.fixture(params=["own directory", "--log-dir"])
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> RunRequest:
    is_flat = request.param == "--log-dir"
    log_dir = str(tmp_path / "logs") if is_flat else None
    return ledgers.request(repo=str(tmp_path), cwd=str(tmp_path), log_dir=log_dir)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Keep the descriptors of all locks that are taken."""
    found: list[int] = []
    real = locks.take_open

    def take_open(descriptor: int) -> bool:
        found.append(descriptor)
        return real(descriptor)

    monkeypatch.setattr(locks, "take_open", take_open)
    return found


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_run_is_on_record_with_its_files_and_both_locks(
    asked: RunRequest, ledger: Ledger, ours: Config
) -> None:
    prepared = prepare_run(asked, ledger, ours)

    found = ledger.runs.find(prepared.run.run_id)
    paths = files_of(found.spec)
    assert paths.prompt.read_bytes() == asked.prompt
    assert paths.meta.exists()
    assert look(owner_of(ours.state_home, found.run_id)) is Lock.HELD
    assert look(paths.events) is Lock.HELD
    prepared.close()
    assert look(paths.events) is Lock.FREE


def test_a_run_that_the_ledger_refuses_leaves_nothing(
    asked: RunRequest,
    ledger: Ledger,
    ours: Config,
    taken: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise LedgerFault(ours.state_home, "the disk is full")

    monkeypatch.setattr(ledger.queue, "prepare", refuse)

    with pytest.raises(LedgerFault):
        prepare_run(asked, ledger, ours)

    assert [is_open(each) for each in taken] == [False, False]
    below = [*ours.state_home.glob("runs/*"), *Path(asked.cwd).glob("logs/*")]
    assert below == []


def test_a_run_whose_files_cannot_be_made_leaves_nothing(
    asked: RunRequest, ledger: Ledger, ours: Config
) -> None:
    (ours.state_home / "runs").touch()

    with pytest.raises(FileFault, match="runs"):
        prepare_run(asked, ledger, ours)

    assert ledger.sessions.all() == []
    assert [*Path(asked.cwd).glob("logs/*")] == []


def test_a_run_without_a_pipe_to_its_supervisor_leaves_nothing(
    asked: RunRequest,
    ledger: Ledger,
    ours: Config,
    taken: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", refuse)

    with pytest.raises(SupervisorFault, match="Too many open files"):
        start_run(lambda _: asked, ledger, ours)

    assert taken == []
    assert ledger.sessions.all() == []
    below = [*ours.state_home.glob("runs/*"), *Path(asked.cwd).glob("logs/*")]
    assert below == []


def test_a_supervisor_that_cannot_be_forked_leaves_no_pipe(
    asked: RunRequest, ledger: Ledger, ours: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    pipe = os.pipe

    def note() -> tuple[int, int]:
        made.extend(pipe())
        return made[0], made[1]

    def refuse() -> NoReturn:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "pipe", note)
    monkeypatch.setattr(os, "fork", refuse)

    with pytest.raises(SupervisorFault, match="temporarily unavailable"):
        start_run(lambda _: asked, ledger, ours)

    assert [is_open(each) for each in made] == [False, False]
    assert ledger.sessions.all() == []


def test_a_supervisor_that_cannot_be_looked_at_costs_one_error(
    asked: RunRequest, ledger: Ledger, ours: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(writer)

    def refuse(_: int) -> NoReturn:
        raise FileFault("read", "/proc/1/stat", OSError(errno.ENFILE, "full"))

    monkeypatch.setattr(launch, "detach", lambda _: (os.getpid(), reader))
    monkeypatch.setattr(launch, "child", refuse)

    with pytest.raises(FileFault, match="full"):
        start_run(lambda _: asked, ledger, ours)

    assert not is_open(reader)


def said_by_a_supervisor(
    message: bytes, request: RunRequest, ours: Config, monkeypatch: pytest.MonkeyPatch
) -> Started:
    """Start a run whose supervisor says this and is gone."""
    reader, writer = os.pipe()
    os.write(writer, message)
    os.close(writer)
    monkeypatch.setattr(launch, "detach", lambda _: (os.getpid(), reader))
    try:
        return start_run(lambda _: request, None, ours)
    except RunnerError:
        assert not is_open(reader)
        raise


def test_a_supervisor_that_says_nothing_was_killed(
    asked: RunRequest, ours: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SupervisorFault, match="killed before it recorded the run"):
        said_by_a_supervisor(b"", asked, ours, monkeypatch)


@pytest.mark.parametrize(
    "error",
    [
        SessionBusyError("0a1b2c", "20261120-1", "--queue", pid=7),
        LedgerFault(Path("/state"), "the disk is full"),
        FileFault("create", "/state", OSError(errno.ENOSPC, "No space left")),
        UsageError("--repo DIR is required"),
        PromptsWaitError("0a1b2c", 3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_a_supervisor_is_raised_in_the_command(
    error: RunnerError, asked: RunRequest, ours: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = json.dumps({"refused": as_message(error)}).encode() + b"\n"

    with pytest.raises(type(error)) as raised:
        said_by_a_supervisor(message, asked, ours, monkeypatch)

    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error)
    assert raised.value.exit_code == error.exit_code
    assert getattr(raised.value, "pid", None) == getattr(error, "pid", None)


def test_an_error_of_the_system_is_raised_in_the_command(
    asked: RunRequest, ours: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/state")
    message = json.dumps({"refused": as_message(error)}).encode() + b"\n"

    with pytest.raises(PermissionError) as raised:
        said_by_a_supervisor(message, asked, ours, monkeypatch)

    assert str(raised.value) == str(error)
