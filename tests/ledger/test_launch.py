"""A launch that fails leaves a run that says so, and holds nothing."""

import errno
import os
from pathlib import Path

import pytest
from support.runs import settings, spec

from runner.config import Config
from runner.errors import LedgerFault
from runner.ledger.runs import Ledger
from runner.lifecycle import queue
from runner.lifecycle.launch import Commission, SupervisorFault, prepare_run
from runner.locks import lock
from runner.model import Outcome


@pytest.fixture
def ours(tmp_path: Path) -> Config:
    return settings(tmp_path)


@pytest.fixture
def ledger(ours: Config) -> Ledger:
    return Ledger(ours.state_home)


@pytest.fixture
def commission(tmp_path: Path) -> Commission:
    return Commission(spec=spec(log_dir=str(tmp_path / "logs")), prompt=b"Do it.")


@pytest.fixture
def locks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Keep the descriptors of all locks that are taken."""
    taken: list[int] = []
    held = lock

    def noted(path: Path) -> int | None:
        descriptor = held(path)
        taken.extend([] if descriptor is None else [descriptor])
        return descriptor

    monkeypatch.setattr(artifacts, "lock", noted)
    return taken


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_run_that_the_index_refuses_keeps_no_lock(
    commission: Commission,
    ledger: Ledger,
    ours: Config,
    locks: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise LedgerFault(ours.state_home, "the disk is full")

    monkeypatch.setattr(ledger, "prepare", refuse)

    with pytest.raises(LedgerFault):
        prepare_run(commission, ledger, ours)

    assert [is_open(held) for held in locks] == [False]


def test_a_run_is_given_up_when_there_is_no_pipe_to_its_supervisor(
    commission: Commission,
    ledger: Ledger,
    ours: Config,
    locks: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", refuse)

    with pytest.raises(SupervisorFault, match="Too many open files"):
        queue.start(commission, ledger, ours)

    given_up = ledger.find(commission.spec.run_id)
    assert given_up.outcome is Outcome.NOT_STARTED
    assert [is_open(held) for held in locks] == [False]
