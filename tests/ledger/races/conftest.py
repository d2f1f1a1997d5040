"""A state directory of the test's own, and runs that live although nobody attends."""

from pathlib import Path

import pytest
import runner.settle
from support.runs import settings as settings_of

from runner.config import Config
from runner.ledger.runs import Ledger
from runner.service import send, status, stop


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
