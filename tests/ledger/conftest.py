"""Ledger tests use SQLite and files, and start no process."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.no_process import no_real_process
from support.runs import AT, SESSION

from runner import clock
from runner.ledger.ledger import Ledger

__all__ = ["no_real_process"]


@pytest.fixture(autouse=True)
def _umask_restored() -> Iterator[None]:
    """Undo what a command has set that ran in this process."""
    umask = os.umask(0o022)
    yield
    os.umask(umask)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Make a state directory with nothing in it."""
    with closing(Ledger(tmp_path / "state")) as made:
        yield made


@pytest.fixture
def session(ledger: Ledger) -> int:
    """Open a session with a thread."""
    with ledger.transaction():
        return ledger.sessions.open(clock.iso(AT), thread=SESSION, repo="/repo")


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds pass on the clock of instants."""
    real, passed = clock.now, [0.0]

    def now() -> datetime:
        return real() + timedelta(seconds=passed[0])

    def pass_time(seconds: float) -> None:
        passed[0] += seconds

    monkeypatch.setattr(clock, "now", now)
    return pass_time
