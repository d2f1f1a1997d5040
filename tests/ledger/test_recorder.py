"""A record that the ledger refuses costs a warning; the verdict lands where it can."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ledgers, worked
from support.runs import AT, SESSION, settings

from parsers.struct import replace
from runner import clock, files
from runner.errors import LedgerFault
from runner.exports import run_exports
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.lifecycle import recover
from runner.lifecycle.handoff import StatusPipe
from runner.model import Claimed, Launched, Outcome
from runner.run_files import files_of, owner_of
from runner.supervisor.recorder import RunRecorder


@pytest.fixture
def pipe() -> Iterator[StatusPipe]:
    reader, writer = os.pipe()
    yield StatusPipe(writer)
    os.close(reader)
    os.close(writer)


@pytest.fixture
def recorder(ledger: Ledger, pipe: StatusPipe) -> RunRecorder:
    """Record a run that Codex works on."""
    prepared = ledgers.prepare(ledger)
    files.make_directory(Path(prepared.spec.directory))
    recorder = RunRecorder(prepared, ledger, pipe)
    recorder.claim(Claimed(supervisor=ledgers.gone()))
    recorder.advance(Launched(codex=ledgers.gone(), at=AT))
    return recorder


@pytest.fixture
def full(
    recorder: RunRecorder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """Refuse every change of the ledger until it is undone."""
    ledger = recorder.ledger

    def refuse(*_: object, **__: object) -> None:
        raise LedgerFault(ledger.path, "the disk is full")

    with monkeypatch.context() as refusing:
        refusing.setattr(ledger, "change", refuse)
        yield refusing


def test_what_the_ledger_refuses_is_written_later_in_its_order(
    recorder: RunRecorder, ledger: Ledger, full: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    recorder.set_thread(SESSION, lambda run: begun.append(run.run_id))
    recorder.begin_turn()
    assert begun == []
    full.undo()

    recorder.finish(ledgers.over(recorder.run))

    found = ledger.runs.find(recorder.run.run_id)
    assert (found.thread, found.has_begun, found.outcome) == (
        SESSION,
        True,
        Outcome.SUCCEEDED,
    )
    assert ledger.sessions.get(found.session).thread == SESSION
    assert begun == [found.run_id]
    assert [text for text in recorder.warnings if "the disk is full" in text]


@pytest.mark.usefixtures("full")
def test_a_verdict_that_the_ledger_refuses_is_in_the_meta_file(
    recorder: RunRecorder,
) -> None:
    over = ledgers.over(replace(recorder.run, thread=SESSION), has_begun=True)

    recorder.finish(over)

    data = files.read_json(files_of(over.spec).meta)
    assert isinstance(data, dict)
    found = record.from_json(data)
    assert (found.outcome, found.thread) == (Outcome.SUCCEEDED, SESSION)
    (warning,) = recorder.warnings
    assert "the disk is full" in warning


def test_the_next_reader_takes_the_verdict_from_the_meta_file(
    recorder: RunRecorder, ledger: Ledger, full: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    over = ledgers.over(replace(recorder.run, thread=SESSION), has_begun=True)
    recorder.finish(over)
    full.undo()
    owner = owner_of(ledger.home, over.run_id)
    owner.touch()

    recover.sweep(ledger, settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home)))

    found = ledger.runs.find(over.run_id)
    assert (found.outcome, found.thread) == (Outcome.SUCCEEDED, SESSION)


def test_the_next_reader_takes_the_verdict_from_a_summary_without_a_meta_file(
    recorder: RunRecorder, ledger: Ledger, tmp_path: Path
) -> None:
    """The disk had room for the shorter of the two."""
    told = ledgers.over(
        *(recorder.run, Outcome.TIMED_OUT),
        error="it took too long",
        error_class="timed_out",
    )
    paths = files_of(told.spec)
    files.export(paths.summary, run_exports.render_summary(told))
    owner_of(ledger.home, told.run_id).touch()

    recover.sweep(ledger, settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home)))

    assert ledger.runs.find(told.run_id).verdict == told.verdict


@pytest.mark.parametrize(
    "changes",
    [
        {"run_id": "another"},
        {"outcome": "unheard of"},
        {"outcome": ["succeeded"]},
        {"exit_code": 1 << 70},
        {"exit_code": None},
    ],
)
def test_a_verdict_in_a_summary_that_is_nonsense_is_not_taken(
    recorder: RunRecorder, ledger: Ledger, tmp_path: Path, changes: dict[str, object]
) -> None:
    run = ledger.runs.find(recorder.run.run_id)
    told = run_exports.summary_of(ledgers.over(run, has_begun=True))
    files.export(files_of(run.spec).summary, json.dumps({**told, **changes}).encode())
    owner_of(ledger.home, run.run_id).touch()

    recover.sweep(ledger, settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home)))

    assert ledger.runs.find(run.run_id).outcome is Outcome.LOST


@pytest.mark.parametrize(
    "changes",
    [
        {"token_usage": {"by_model": []}},
        {"cost": {"usd": "much"}, "token_usage": {"by_model": {"m": None}}},
        {"exit_code": 1 << 70},
        {"error_class": "\ud800"},
    ],
)
def test_a_verdict_in_the_meta_file_that_is_nonsense_is_not_taken(
    recorder: RunRecorder, ledger: Ledger, tmp_path: Path, changes: dict[str, object]
) -> None:
    run = ledger.runs.find(recorder.run.run_id)
    paths = files_of(run.spec)
    told = record.to_json(ledgers.over(run, has_begun=True))
    files.export(paths.meta, json.dumps({**told, **changes}).encode())
    owner_of(ledger.home, run.run_id).touch()

    swept = recover.sweep(
        ledger, settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))
    )

    assert swept.faults == ()
    assert ledger.runs.find(run.run_id).outcome is Outcome.LOST


def test_a_thread_that_belongs_to_another_session_is_a_warning_on_record(
    recorder: RunRecorder, ledger: Ledger
) -> None:
    other = ledgers.session_of(ledger, number=2)

    recorder.set_thread(SESSION, lambda _: None)
    recorder.finish(ledgers.over(recorder.run, warnings=recorder.warnings))

    found = ledger.runs.find(recorder.run.run_id)
    assert found.session != other.session
    (warning,) = recorder.warnings
    assert f"thread {SESSION} of this run belongs to another session" == warning


def test_a_reader_that_judges_a_run_warns_of_such_a_thread_too(
    ledger: Ledger, tmp_path: Path
) -> None:
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))
    worked.work(ledger, ours)
    prepared = worked.prepare(ledger, ours)
    run = ledgers.launch(ledger, ledger.runs.find(prepared.run.run_id))
    worked.write_events(run, worked.FIRST, "It is done.")
    prepared.close()

    recover.sweep(ledger, ours)

    warnings = ledger.runs.find(run.run_id).accounts["warnings"]
    assert f"thread {worked.FIRST} of this run belongs to another session" in str(
        warnings
    )


def test_a_run_that_was_removed_from_the_ledger_ends_without_a_fault(
    recorder: RunRecorder, ledger: Ledger
) -> None:
    """A person may have removed it by hand, or made the ledger anew."""
    with ledger.transaction():
        ledger.change("remove_session", session=recorder.run.session)

    recorder.finish(ledgers.over(recorder.run))

    assert recorder.run.outcome is Outcome.SUCCEEDED


def test_a_disk_that_takes_neither_is_asked_again_and_then_given_up(
    recorder: RunRecorder, full: pytest.MonkeyPatch
) -> None:
    passed = [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += seconds

    full.setattr(clock, "sleep", sleep)
    full.setattr(clock, "monotonic", lambda: passed[0])
    Path(recorder.run.spec.directory).rmdir()

    recorder.finish(ledgers.over(recorder.run))

    assert passed[0] >= 60
