"""A state directory of the test's own, and runs that live although nobody attends."""

from pathlib import Path

import pytest
from support.runs import settings as settings_of

import runner.settle
from runner import mailbox
from runner.config import Config
from runner.service import send, status, stop, tasks
from runner.store.ledger import Ledger


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    return settings_of(tmp_path, CODEX_RUNNER_HOME=str(tmp_path / "state"))


@pytest.fixture
def ledger(settings: Config) -> Ledger:
    return Ledger(settings.state_home)


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run that is not over be taken for one that lives."""
    for module in (mailbox, send, status, stop, tasks, runner.settle):
        monkeypatch.setattr(module, "settle", lambda run, *_, **__: run)
