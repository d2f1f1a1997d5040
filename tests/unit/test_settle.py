"""A run that was left behind is judged by whoever looks first."""

from pathlib import Path

import pytest
from support.runs import AT, PROCESS, run, settings

from runner import settle
from runner.errors import FileFault
from runner.model import Outcome, Running
from runner.store.ledger import Ledger


def test_a_session_that_cannot_be_told_costs_the_verdict_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = settings(tmp_path)
    ledger = Ledger(ours.state_home)
    running = Running(supervisor=PROCESS, codex=PROCESS, started_at=AT)
    left = run(running, log_dir=str(tmp_path))
    ledger.prepare(left)

    def refuse(*_: object, **__: object) -> None:
        raise FileFault("lock", tmp_path, OSError("full"))

    monkeypatch.setattr(settle, "_tell_session", refuse)
    settled = settle.settle(left, ledger, ours)

    assert settled.verdict is not None
    assert settled.verdict.outcome is Outcome.LOST
    assert ledger.find(left.run_id).verdict == settled.verdict
