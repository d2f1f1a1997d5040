"""A launch that fails leaves a run that says so, and holds nothing."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest
from support import ledgers
from support.runs import settings

from parsers.struct import replace
from runner import locks
from runner.config import Config
from runner.errors import FileFault, LedgerFault, RunnerFault
from runner.ledger.ledger import Ledger
from runner.lifecycle import launch
from runner.lifecycle.launch import SupervisorFault, prepare_run, start_run
from runner.locks import Lock, look
from runner.model import Outcome, RunRequest
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


def test_a_run_is_ended_when_there_is_no_pipe_to_its_supervisor(
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
        start_run(asked, ledger, ours)

    (session,) = ledger.sessions.all()
    (ended,) = ledger.runs.of_session(session.key)
    assert ended.outcome is Outcome.NOT_STARTED
    assert ledger.runs.unexported() == []
    assert [is_open(each) for each in taken] == [False, False]


def test_a_waiting_run_without_a_supervisor_withdraws_its_prompt(
    asked: RunRequest, ledger: Ledger, ours: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ledgers.launch(ledger, ledgers.prepare(ledger))
    asked = replace(asked, session=first.session, wait_for_session=True)

    def refuse() -> tuple[int, int]:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "pipe", refuse)

    with pytest.raises(SupervisorFault):
        start_run(asked, ledger, ours)

    ended = ledger.runs.of_session(first.session)[-1]
    assert ended.outcome is Outcome.NOT_STARTED
    assert ledger.queue.waiting(first.session) == []
    row = ledgers.row(ledger, ended.spec.prompt_id or 0)
    assert (row["state"], row["reason"]) == ("failed", "not_started")
    assert list((ledger.home / "queue").iterdir()) == []


@pytest.mark.parametrize("step", ["start_program", "child"])
def test_a_supervisor_that_cannot_be_started_or_looked_at_costs_one_error(
    asked: RunRequest,
    ledger: Ledger,
    ours: Config,
    taken: list[int],
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: object) -> NoReturn:
        cause = OSError(errno.ENFILE, "full")
        raise cause if step == "start_program" else FileFault("read", "/proc", cause)

    pipe = os.pipe()
    monkeypatch.setattr(os, "pipe", lambda: pipe)
    monkeypatch.setattr(launch, "start_program", lambda _: os.getpid())
    monkeypatch.setattr(launch, step, refuse)

    with pytest.raises(RunnerFault, match="full"):
        start_run(asked, ledger, ours)

    assert [is_open(each) for each in (*taken, *pipe)] == [False] * 4
