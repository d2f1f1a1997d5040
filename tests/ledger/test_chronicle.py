"""The files of a session follow its runs, and a fault in them costs a warning."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.runs import SESSION, run

from parsers.struct import replace
from runner import files, session_files
from runner.errors import LedgerFault
from runner.exports.task_files import Chronicle
from runner.ledger.runs import Ledger, write_meta
from runner.ledger.sessions import Row
from runner.model import SessionId
from runner.session_files import SessionFiles


def test_an_index_that_cannot_be_read_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    warnings: list[str] = []
    chronicle = Chronicle(ledger, tmp_path, warnings.append)

    def find(_id: str) -> Row | None:
        raise LedgerFault(tmp_path, "disk I/O error")

    monkeypatch.setattr(ledger.sessions, "find", find)
    elsewhere = run(log_dir=str(tmp_path / "logs"))
    chronicle.began(elsewhere)
    chronicle.wrote(elsewhere, [b"{}\n"])
    chronicle.ended(elsewhere, "An answer.")

    assert warnings
    assert all("disk I/O error" in each for each in warnings)


def test_nobody_queues_a_prompt_while_a_session_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    unnamed = session_files.pending(tmp_path, run().run_id)
    one = run(log_dir=str(unnamed.runs))
    files.make_directory(unnamed.runs)
    ledger.prepare(one)
    refused: list[str] = []

    def move(was: SessionFiles, now: SessionFiles) -> None:
        with (
            closing(sqlite3.connect(ledger.database.path, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError) as caught,
        ):
            other.execute("begin immediate")
        refused.append(str(caught.value))
        was.directory.rename(now.directory)

    monkeypatch.setattr(session_files, "move", move)
    named = Chronicle(ledger, tmp_path, print).name(one, SessionId(SESSION))

    assert refused == ["database is locked"]
    assert named is not None
    assert Path(named.spec.log_dir).is_dir()


def test_a_run_whose_directory_has_a_name_that_no_record_knows_is_found(
    tmp_path: Path,
) -> None:
    recorded = session_files.pending(tmp_path, run().run_id)
    one = run(log_dir=str(recorded.runs))
    named = session_files.active(tmp_path, SESSION)
    lying = session_files.moved(one, named)
    files.make_directory(named.runs)
    write_meta(lying)

    assert session_files.located(tmp_path, one) == lying


def test_a_session_is_never_found_under_its_name_with_another_one_in_its_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    unnamed = session_files.pending(tmp_path, run().run_id)
    one = run(log_dir=str(unnamed.runs))
    files.make_directory(unnamed.runs)
    ledger.prepare(one)
    chronicle = Chronicle(ledger, tmp_path, print)
    chronicle.began(one)
    told: list[object] = []
    move = session_files.move

    def moves(was: SessionFiles, now: SessionFiles) -> None:
        move(was, now)
        told.append(files.read_json(now.json))

    monkeypatch.setattr(session_files, "move", moves)
    chronicle.name(
        ledger.store(one, replace(one, session_id=SessionId(SESSION))),
        SessionId(SESSION),
    )

    (at_once,) = told
    assert isinstance(at_once, dict)
    assert at_once["id"] == SESSION
