"""What is to be told of a run is told once, whichever process does it."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support import ledgers, worked
from support.runs import settings

from runner import clock
from runner.exports import queue_files
from runner.ledger.database import NAME, queries
from runner.ledger.ledger import Ledger
from runner.lifecycle import recover
from runner.model import Outcome, Report, Run
from runner.notify import Notifier
from runner.run_files import files_of, owner_of


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def notifier(ledger: Ledger, tmp_path: Path) -> Notifier:
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))
    return Notifier(ledger, ours, pytest.fail)


def begun(ledger: Ledger, stream: Path) -> Run:
    report = Report(event_stream=str(stream))
    return ledgers.launch(ledger, ledgers.prepare(ledger, report=report))


def due(ledger: Ledger) -> list[str]:
    return [*{each.run_id: 0 for each in ledger.outbox.due() if each.run_id}]


def told(stream: Path) -> list[str]:
    """Give the events in the stream, in order."""
    lines = stream.read_text().splitlines() if stream.exists() else []
    return [json.loads(line)["event"] for line in lines]


def test_a_run_is_told_of_once_at_its_start_and_at_its_end(
    ledger: Ledger, stream: Path, notifier: Notifier
) -> None:
    run = begun(ledger, stream)
    for _ in range(2):
        notifier.tell(run.run_id)
    assert told(stream) == ["run_started"]

    ledgers.end(ledger, run)
    for _ in range(2):
        notifier.tell(run.run_id)

    assert told(stream) == ["run_started", "run_completed"]
    assert ledger.outbox.of_run(run.run_id) == []


def test_a_run_that_nobody_wants_to_hear_of_leaves_nothing_to_tell(
    ledger: Ledger,
) -> None:
    run = ledgers.session_of(ledger)

    assert ledger.outbox.of_run(run.run_id) == []


def test_of_two_processes_that_tell_at_once_one_does(
    ledger: Ledger, stream: Path, notifier: Notifier
) -> None:
    run = begun(ledger, stream)
    other = Ledger(ledger.home)
    seen_by_other = other.outbox.of_run(run.run_id)

    notifier.tell(run.run_id)

    assert not any(map(other.outbox.claim, seen_by_other))
    assert told(stream) == ["run_started"]


def test_a_supervisor_is_given_time_to_tell_of_its_run(
    ledger: Ledger, stream: Path, after: Callable[[float], None]
) -> None:
    run = begun(ledger, stream)
    ledgers.end(ledger, run)
    assert due(ledger) == []

    after(6)

    assert due(ledger) == [run.run_id]


def test_what_was_claimed_and_not_told_is_told_by_another_after_its_time(
    ledger: Ledger, stream: Path, notifier: Notifier, after: Callable[[float], None]
) -> None:
    """A supervisor claims it, and is killed before it has told."""
    run = begun(ledger, stream)
    (notice,) = ledger.outbox.of_run(run.run_id)
    assert ledger.outbox.claim(notice)
    after(59)
    assert due(ledger) == []

    after(2)
    assert due(ledger) == [run.run_id]
    notifier.tell(run.run_id)

    assert told(stream) == ["run_started"]
    assert due(ledger) == []


def test_the_end_of_a_run_that_a_reader_judges_is_due_at_once(
    ledger: Ledger,
    stream: Path,
    notifier: Notifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its supervisor was killed: whoever finds that lets a process tell it."""
    run = begun(ledger, stream)
    notifier.tell(run.run_id)
    owner = owner_of(ledger.home, run.run_id)
    owner.parent.mkdir(parents=True, exist_ok=True)
    owner.touch()
    started: list[bool] = []

    def start(*_: object) -> None:
        started.append(True)

    monkeypatch.setattr(recover, "_beside", start)
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))

    recover.sweep(ledger, ours)

    assert ledger.runs.find(run.run_id).outcome is Outcome.LOST
    assert started == [True]
    (run_id,) = due(ledger)
    notifier.tell(run_id)
    assert told(stream) == ["run_started", "run_completed"]
    recover.sweep(ledger, ours)
    assert started == [True], "there is nothing more to tell"


def test_what_cannot_be_told_is_a_warning_and_is_not_tried_for_ever(
    ledger: Ledger, tmp_path: Path
) -> None:
    place = tmp_path / "directory"
    place.mkdir()
    run = begun(ledger, place)
    warnings: list[str] = []
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))

    Notifier(ledger, ours, warnings.append).tell(run.run_id)

    assert str(place) in warnings[0]
    assert ledger.outbox.of_run(run.run_id) == []


def test_exports_are_left_to_the_supervisor_of_a_run_while_it_lives(
    ledger: Ledger, tmp_path: Path
) -> None:
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))
    prepared = worked.prepare(ledger, ours)
    run = ledgers.launch(ledger, ledger.runs.find(prepared.run.run_id))
    ledgers.end(ledger, run)

    recover.sweep(ledger, ours)
    assert not files_of(run.spec).summary.exists()
    assert ledger.runs.unexported() == [(run.run_id, run.session)]

    prepared.close()
    recover.sweep(ledger, ours)
    assert files_of(run.spec).summary.exists()
    assert ledger.runs.unexported() == []


def test_the_file_of_a_prompt_is_rendered_once_however_much_has_changed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ledgers.session_of(ledger)
    recover.sweep(ledger, settings(ledger.home), delivers=False)
    prompts = [ledgers.queue(ledger, run.session) for _ in range(5)]
    with ledger.transaction():
        for prompt in prompts:
            ledger.change("note_queue", prompt=prompt, at=clock.iso(clock.now()))
    rendered, render = [], queue_files.render

    def note(ledger: Ledger, prompt: int) -> bytes | None:
        rendered.append(prompt)
        return render(ledger, prompt)

    monkeypatch.setattr(queue_files, "render", note)

    recover.sweep(ledger, settings(ledger.home), delivers=False)

    assert sorted(rendered) == prompts
    assert ledger.runs.unexported() == []


@pytest.mark.parametrize(
    "name", ["notices_of_run", "due_notices", "unexported_runs", "note_exported"]
)
def test_what_was_sent_long_ago_is_not_read_again(ledger: Ledger, name: str) -> None:
    query = "explain query plan " + queries()[name]
    values = dict.fromkeys(("run_id", "at", "session", "is_webhook"), "x")

    with closing(sqlite3.connect(ledger.home / NAME)) as database:
        plan = [row[3] for row in database.execute(query, values)]

    assert "USING INDEX undelivered" in plan[0]


@pytest.mark.parametrize("kind", ["missing", "a directory"])
def test_exports_of_a_run_whose_lock_file_was_destroyed_are_written_once(
    ledger: Ledger, tmp_path: Path, kind: str
) -> None:
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))
    prepared = worked.prepare(ledger, ours)
    run = ledgers.launch(ledger, ledger.runs.find(prepared.run.run_id))
    ledgers.end(ledger, run)
    prepared.close()
    owner = owner_of(ledger.home, run.run_id)
    owner.unlink()
    if kind == "a directory":
        owner.mkdir()

    recover.sweep(ledger, ours)

    assert files_of(run.spec).summary.exists()
    assert ledger.runs.unexported() == []
