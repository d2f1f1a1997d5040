"""An index that refuses leaves a mailbox, rows and files, as it was."""

import functools
import sqlite3
from pathlib import Path

import pytest
from support.runs import AT, SESSION, run

from runner import clock, files, session_files
from runner.errors import LedgerFault
from runner.ledger.queue import Mail
from runner.ledger.runs import Ledger
from runner.lifecycle import queue
from runner.model import Finished, Outcome, SessionId, Verdict
from runner.session_files import SessionFiles

FULL = "database or disk is full"
PROMPT = b"Pay the bill."


class Refusing(sqlite3.Connection):
    """An index whose next commits are refused, before or after they are done."""

    refused = 0
    is_done = False

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        if sql == "commit" and Refusing.refused:
            Refusing.refused -= 1
            if Refusing.is_done:
                super().execute(sql)
            raise sqlite3.OperationalError(FULL)
        return super().execute(sql, *values)  # type: ignore[arg-type]  # passed on


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> type[Refusing]:
    connect = functools.partial(sqlite3.connect, factory=Refusing)
    monkeypatch.setattr(sqlite3, "connect", connect)
    monkeypatch.setattr(Refusing, "refused", 0)
    monkeypatch.setattr(Refusing, "is_done", False)
    return Refusing


@pytest.fixture
def ledger(tmp_path: Path, refuse: type[Refusing]) -> Ledger:
    """Give an index that knows one session at rest."""
    assert not refuse.refused
    ledger = Ledger(tmp_path)
    verdict = Verdict(outcome=Outcome.SUCCEEDED, exit_code=0)
    over = Finished(verdict=verdict, started_at=AT, ended_at=AT)
    ledger.prepare(run(over, resume_session=SessionId(SESSION), log_dir=str(tmp_path)))
    return ledger


@pytest.fixture
def files(tmp_path: Path) -> SessionFiles:
    return session_files.active(tmp_path, SESSION)


def put(ledger: Ledger, home: Path) -> int:
    return queue.put(SESSION, PROMPT, ledger, home)


def names(paths: SessionFiles) -> list[str]:
    return sorted(path.name for path in paths.mailbox.iterdir())


def states(ledger: Ledger) -> list[str]:
    return [mail.state for mail in ledger.mail.of_session(SESSION)]


def test_of_a_prompt_that_is_refused_nothing_is_left(
    tmp_path: Path, ledger: Ledger, refuse: type[Refusing], paths: SessionFiles
) -> None:
    refuse.refused = 2

    with pytest.raises(LedgerFault):
        put(ledger, tmp_path)

    assert names(paths) == []
    assert put(ledger, tmp_path) == 1
    assert paths.mail(1).read_bytes() == PROMPT


def test_a_prompt_that_is_queued_all_the_same_is_not_told_to_be_refused(
    tmp_path: Path, ledger: Ledger, refuse: type[Refusing], paths: SessionFiles
) -> None:
    refuse.refused, refuse.is_done = 1, True

    assert put(ledger, tmp_path) == 1

    assert states(ledger) == ["waiting"]
    assert paths.mail(1).read_bytes() == PROMPT


def test_the_file_of_another_prompt_that_has_got_the_number_stays(
    tmp_path: Path,
    ledger: Ledger,
    refuse: type[Refusing],
    paths: SessionFiles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = ledger.mail.find

    def meanwhile(mail_id: int) -> Mail | None:
        files.replace(paths.mail(mail_id), b"Another.")
        ledger.database.rows(
            "insert into mail values (?, ?, ?, 'waiting', 'Another.', null, 0)",
            *(mail_id, SESSION, clock.iso(AT)),
        )
        return real(mail_id)

    refuse.refused = 1
    monkeypatch.setattr(ledger.mail, "find", meanwhile)

    with pytest.raises(LedgerFault):
        put(ledger, tmp_path)

    assert paths.mail(1).read_bytes() == b"Another."


def test_what_could_not_be_skipped_can_be_delivered(
    tmp_path: Path, ledger: Ledger, refuse: type[Refusing], paths: SessionFiles
) -> None:
    put(ledger, tmp_path)
    refuse.refused = 2

    with pytest.raises(LedgerFault):
        queue.skip(SESSION, ledger, tmp_path)

    assert states(ledger) == ["waiting"]
    assert names(paths) == ["00000001.prompt"]


def test_what_is_skipped_all_the_same_keeps_its_mark(
    tmp_path: Path, ledger: Ledger, refuse: type[Refusing], paths: SessionFiles
) -> None:
    put(ledger, tmp_path)
    refuse.refused, refuse.is_done = 1, True

    with pytest.raises(LedgerFault):
        queue.skip(SESSION, ledger, tmp_path)

    assert states(ledger) == ["skipped"]
    assert names(paths) == ["00000001.skipped"]
