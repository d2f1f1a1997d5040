"""Which part of a session is counted as a run's."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.runs import AT, PROCESS, run, settings

from runner import accounts
from runner.books import Books, Share
from runner.model import Running
from runner.store.ledger import Ledger

RUNNING = Running(supervisor=PROCESS, codex=PROCESS, started_at=AT)


@pytest.mark.parametrize("until", [None, AT + timedelta(seconds=70)])
def test_what_came_long_after_a_run_that_is_judged_late_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: datetime | None
) -> None:
    asked: list[Share] = []

    def open_books(_home: Path, _id: object, share: Share, _named: object) -> Books:
        asked.append(share)
        return Books()

    monkeypatch.setattr(accounts, "open_books", open_books)
    ours = settings(tmp_path)

    accounts.keep(
        run(RUNNING, log_dir=str(tmp_path)), Ledger(ours.state_home), ours, until
    )

    (share,) = asked
    assert share.until == until
    assert share.since == AT


def test_a_run_is_looked_for_in_the_home_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def open_books(home: Path, *_: object) -> Books:
        asked.append(home)
        return Books()

    monkeypatch.setattr(accounts, "open_books", open_books)
    ours = settings(tmp_path)
    other = tmp_path / "other"

    accounts.keep(
        run(RUNNING, log_dir=str(tmp_path), codex_home=str(other)),
        Ledger(ours.state_home),
        ours,
    )

    assert asked == [other]
