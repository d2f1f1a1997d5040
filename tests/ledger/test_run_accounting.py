"""Which part of a session is counted as a run's."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.runs import AT, PROCESS, run, settings

from runner.accounting.rollouts import RunRollouts, Slice
from runner.accounting.run import account_run
from runner.ledger.runs import Ledger
from runner.model import Running

RUNNING = Running(supervisor=PROCESS, codex=PROCESS, started_at=AT)


@pytest.mark.parametrize("until", [None, AT + timedelta(seconds=70)])
def test_what_came_long_after_a_run_that_is_judged_late_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: datetime | None
) -> None:
    asked: list[Slice] = []

    def read_rollouts(
        _home: Path, _id: object, share: Slice, _named: object
    ) -> RunRollouts:
        asked.append(share)
        return RunRollouts()

    monkeypatch.setattr(accounts, "read_rollouts", read_rollouts)
    ours = settings(tmp_path)

    account_run(
        run(RUNNING, log_dir=str(tmp_path)), Ledger(ours.state_home), ours, until
    )

    (share,) = asked
    assert share.until == until
    assert share.since == AT


def test_a_run_is_looked_for_in_the_home_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def read_rollouts(home: Path, *_: object) -> RunRollouts:
        asked.append(home)
        return RunRollouts()

    monkeypatch.setattr(accounts, "read_rollouts", read_rollouts)
    ours = settings(tmp_path)
    other = tmp_path / "other"

    account_run(
        run(RUNNING, log_dir=str(tmp_path), codex_home=str(other)),
        Ledger(ours.state_home),
        ours,
    )

    assert asked == [other]
