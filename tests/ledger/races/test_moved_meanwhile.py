"""A session is archived while a command reads what lies in it, or adds to it."""

import os
from pathlib import Path

import pytest
from support.moments import (
    afterwards,
    begun,
    end,
    first_of_all,
    look,
    over,
    put_away,
    said,
)

from runner.config import Config
from runner.ledger import record
from runner.ledger.runs import Ledger, read_meta
from runner.lifecycle.channel import StatusPipe
from runner.model import (
    Run,
)
from runner.service import log, reel, status, summarize
from runner.service.lookup import find_run
from runner.service.result import result_of
from runner.supervisor.recorder import RunRecorder


@pytest.fixture
def first(ledger: Ledger, settings: Config) -> Run:
    """Put a run of a session on record, on which Codex is at work."""
    return begun(ledger, settings)


def put_to_rest(first: Run, ledger: Ledger) -> None:
    """End a run that has asked for something and said three things."""
    files = record.files_of(first.spec)
    files.prompt.write_bytes(b"Do it, whatever it is.")
    files.events.write_bytes(b'{"type":"turn.started"}\n' + said("Done."))
    files.stderr.touch()
    end(first, ledger)


@pytest.mark.parametrize("last", [None, 1])
def test_a_log_is_read_although_its_session_is_archived_meanwhile(
    last: int | None, first: Run, ledger: Ledger, settings: Config
) -> None:
    put_to_rest(first, ledger)
    wish = log.Wish(last=last)
    task = look(ledger, settings)
    here = [*log.read(task, wish, ledger, settings)]
    put_away(ledger, settings)

    assert [*log.read(task, wish, ledger, settings)] == here


def test_a_prompt_is_read_although_its_session_is_archived_meanwhile(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_to_rest(first, ledger)
    task = look(ledger, settings)
    read = first_of_all(lambda: put_away(ledger, settings), reel.Reel.prompt)
    monkeypatch.setattr(reel.Reel, "prompt", read)

    pieces = [*log.read(task, log.Wish(), ledger, settings)]

    assert pieces[0] == reel.Prompt(text=b"Do it, whatever it is.")


def test_a_summary_is_found_although_its_session_is_archived_meanwhile(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_to_rest(first, ledger)
    record.files_of(first.spec).summary.write_text('{"final_message": "Done."}')
    late = afterwards(lambda: put_away(ledger, settings), find_run)
    monkeypatch.setattr(summarize, "find_run", late)

    found = summarize.summarize_run(first.run_id, settings.state_home, settings)

    assert found == {"final_message": "Done."}


def test_an_answer_is_found_although_its_session_is_archived_meanwhile(
    first: Run, ledger: Ledger, settings: Config
) -> None:
    events = record.files_of(first.spec).events
    events.write_bytes(said("Done."))
    checksum = record.checksum("Done.")
    end(first, ledger, has_answer=True, answer_checksum=checksum)
    task = look(ledger, settings)
    put_away(ledger, settings)

    told = result_of(task, settings.state_home)
    report = status.report(task, ledger, settings)

    assert told.answer == report["last_result"] == "Done."


def test_a_warning_that_comes_late_follows_its_run_into_the_archive(
    first: Run, ledger: Ledger, settings: Config
) -> None:
    reader, writer = os.pipe()
    keeper = RunRecorder(first, ledger, StatusPipe(writer))
    keeper.keep(over(first))
    put_away(ledger, settings)

    keeper.warn("the notify command has failed")
    keeper.note_late_warnings()

    known = ledger.find(first.run_id)
    assert Path(known.spec.log_dir).is_dir()
    assert known.accounts["warnings"] == {"the notify command has failed": 1}
    assert read_meta(record.files_of(known.spec).meta) == known
    os.close(reader)
    os.close(writer)


def test_what_is_noted_of_a_run_while_its_session_is_moved_stays_noted(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(first, ledger)

    def warn() -> None:
        ledger.add_warnings(first.run_id, ["the notify command has failed"])

    monkeypatch.setattr(ledger, "move", first_of_all(warn, ledger.move))
    put_away(ledger, settings)

    known = ledger.find(first.run_id)
    assert known.accounts["warnings"] == {"the notify command has failed": 1}
