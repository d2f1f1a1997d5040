"""A command looks, then acts or tells, and in between the world changes."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import runner.settle
from support.moments import afterwards, begun, end, first_of_all
from support.runs import AT, PROCESS, SESSION, run
from support.runs import settings as settings_of

from parsers.struct import replace
from runner import clock, files, session_files, session_lock, whereabouts
from runner.cli import format
from runner.config import RUN_MARKER, Config
from runner.errors import RunnerFault, SessionBusyError
from runner.ledger import record
from runner.ledger.runs import Ledger
from runner.lifecycle import queue
from runner.lifecycle.recover import reconcile_run
from runner.locks import lock
from runner.model import (
    Claimed,
    Mode,
    Outcome,
    Run,
    RunId,
    SessionId,
    TaskState,
)
from runner.service import archive, send, sessions, stop, verify_tree
from runner.service.sessions import Now, listing, strangers

SECOND = RunId("20261120-101203-512345-9f3a1c07")
OTHER = RunId("20261120-101209-512345-9f3a1c07")
NOBODY = Now(running=frozenset())


@pytest.fixture
def ended(ledger: Ledger, settings: Config) -> Run:
    """Put a run of a session on record that is over."""
    return end(begun(ledger, settings), ledger)


@pytest.mark.usefixtures("alive")
def test_within_a_run_too_a_session_between_two_runs_of_its_queue_is_at_work(
    ended: Run, ledger: Ledger, settings: Config, tmp_path: Path
) -> None:
    inside = settings_of(
        tmp_path,
        CODEX_RUNNER_HOME=str(settings.state_home),
        **{RUN_MARKER: "20261120-101100-512345-9f3a1c07"},
    )
    queue.put(SESSION, b"Next.", ledger, settings.state_home)
    supervisor = lock(record.files_of(ended.spec).events)
    assert supervisor is not None

    assert sessions.is_at_work(SESSION, ledger, inside)

    os.close(supervisor)
    assert not sessions.is_at_work(SESSION, ledger, inside)


@pytest.mark.usefixtures("alive")
def test_what_is_sent_while_a_session_is_being_stopped_is_delivered_by_who_stops_it(
    ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, delivered = settings.state_home, list[bytes]()
    working = begun(ledger, settings)
    queue.put(SESSION, b"Before.", ledger, home)

    def order(*_: object) -> bool:
        queue.put(SESSION, b"Since.", ledger, home)
        end(working, ledger, Outcome.STOPPED)
        return True

    def start(commission: Any, *_: object) -> None:  # noqa: ANN401  # as mailbox.start
        delivered.append(commission.prompt)
        assert commission.lock is not None
        os.close(commission.lock)

    monkeypatch.setattr(stop, "stop", order)
    monkeypatch.setattr(mailbox, "start", start)

    stopped = stop.stop_session(SESSION, ledger, settings)

    assert (stopped.runs, stopped.skipped) == ((working.run_id,), 1)
    assert delivered == [b"Since."]


@pytest.mark.usefixtures("alive")
def test_a_session_that_is_removed_once_it_was_stopped_has_been_stopped(
    ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = begun(ledger, settings)

    def order(*_: object) -> bool:
        end(working, ledger, Outcome.STOPPED)
        ledger.sessions.remove(SESSION)
        return True

    monkeypatch.setattr(stop, "stop", order)

    assert stop.stop_session(SESSION, ledger, settings).runs == (working.run_id,)


def test_a_session_that_is_removed_while_it_is_being_stopped_is_not_at_work(
    ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(ledger, settings)
    remove = partial(ledger.sessions.remove, SESSION)
    monkeypatch.setattr(stop, "living", first_of_all(remove, runner.settle.living))

    assert stop.stop_session(SESSION, ledger, settings).runs == ()


@pytest.mark.usefixtures("ended", "alive")
def test_a_session_that_begins_to_work_takes_no_others_place_in_a_short_list(
    ledger: Ledger, settings: Config
) -> None:
    other = run(run_id=OTHER, log_dir=str(settings.state_home), prepared_at=AT)
    ledger.prepare(other)

    states = {TaskState.STOPPED, TaskState.DIED}
    newest = ledger.sessions.newest({TaskState.DIED, TaskState.STOPPED}, (), 1)
    assert [row.session_id for row in newest] == [OTHER]
    (found,) = listing(states, 1, NOBODY, ledger, settings)

    assert found.row.session_id == SESSION


@pytest.mark.usefixtures("ended")
def test_a_session_that_is_removed_while_all_are_listed_is_no_stranger(
    ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = settings.state_home / SESSION

    def remove() -> None:
        ledger.sessions.remove(SESSION)
        directory.rename(settings.state_home / ".removed")

    late = afterwards(remove, session_files.in_use)
    monkeypatch.setattr(session_files, "in_use", late)

    assert strangers(ledger, settings) == []


def test_the_files_of_a_session_that_has_just_been_moved_are_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = session_files.SessionFiles(tmp_path / SESSION)
    paths.directory.mkdir()
    late = first_of_all(paths.directory.rmdir, files.read_bytes)
    monkeypatch.setattr(artifacts, "read_bytes", late)

    assert format.damage(paths, SESSION, TaskState.STOPPED) == []


@pytest.mark.usefixtures("ended")
def test_a_directory_that_moves_while_the_tree_is_walked_is_not_closed(
    ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = session_files.active(settings.state_home, SESSION)

    def look(directory: Path) -> list[verify_tree.Entry]:
        if directory == was.directory:
            was.directory.rename(settings.state_home / "archive")
        return entries(directory)

    entries = verify_tree._entries
    monkeypatch.setattr(verify_tree, "_entries", look)
    found = [*verify_tree.Tree(settings.state_home, ledger).differences()]

    assert not [each for each in found if each.kind == "closed"]


@pytest.mark.usefixtures("alive")
def test_an_archived_session_that_another_door_carries_on_is_busy_not_unarchived(
    ended: Run, ledger: Ledger, settings: Config
) -> None:
    row = ledger.sessions.of(ended.key)
    assert row is not None
    archive.archive(row, ledger, settings)
    begun(ledger, settings, SECOND)

    with pytest.raises(SessionBusyError):
        archive.unarchive(row, ledger, settings)


@pytest.mark.usefixtures("ended", "alive")
def test_who_queues_is_not_told_that_a_prompt_waits_which_has_been_taken(
    ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ledger.sessions.of(SESSION)
    assert row is not None
    warnings: list[str] = []

    def lose(*_: object, **__: object) -> None:
        queue.skip(SESSION, ledger, settings.state_home)
        message = "run 1 was not started"
        raise RunnerFault(message)

    monkeypatch.setattr(mailbox, "deliver", lose)
    send.queue(row, b"Next.", ledger, settings, warnings.append)

    assert warnings == ["queued, but no longer waiting: run 1 was not started"]


def test_whoever_judges_a_run_tells_its_session_although_others_look_at_it_too(
    ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = begun(ledger, settings)
    home, paths = (
        settings.state_home,
        session_files.active(settings.state_home, SESSION),
    )
    paths.pid.write_text("4242")
    held = session_lock.take(home, ledger, SessionId(SESSION), OTHER)
    assert isinstance(held, session_lock.Held)
    monkeypatch.setattr(clock, "sleep", lambda _: os.close(held.descriptor))

    assert reconcile_run(left, ledger, settings).outcome is Outcome.LOST

    assert json.loads(paths.json.read_text())["state"] == "DIED"
    assert not paths.pid.exists()


@pytest.mark.usefixtures("ended")
def test_a_run_on_an_archived_session_that_was_left_behind_is_told_there(
    ledger: Ledger, settings: Config, tmp_path: Path
) -> None:
    row = ledger.sessions.of(SESSION)
    assert row is not None
    archive.archive(row, ledger, settings)
    another = run(
        run_id=SECOND,
        log_dir=str(tmp_path),
        mode=Mode.RESUME,
        resume_session=SessionId(SESSION),
    )
    ledger.prepare(replace(another, session_id=SessionId(SESSION)))
    left = ledger.advance(ledger.find(SECOND), Claimed(supervisor=PROCESS))
    paths = whereabouts.files_of(SESSION, ledger, settings.state_home)

    reconcile_run(left, ledger, settings)

    assert json.loads(paths.json.read_text())["outcome"] == "lost"
    assert paths.log.read_text().count("user_message") == len(ledger.known())


@pytest.mark.usefixtures("ended", "alive")
def test_a_session_that_comes_to_rest_while_all_are_listed_rests(
    ledger: Ledger, settings: Config
) -> None:
    now = Now(running=frozenset({SESSION}))

    (listed,) = listing(set(TaskState), None, now, ledger, settings)

    assert listed.state is TaskState.STOPPED


@pytest.mark.usefixtures("ended", "alive")
def test_a_session_whose_queue_goes_on_while_all_are_listed_is_at_work(
    ledger: Ledger, settings: Config
) -> None:
    now = Now(running=frozenset({SESSION}))
    queue.put(SESSION, b"Next.", ledger, settings.state_home)

    (listed,) = listing({TaskState.RUNNING}, None, now, ledger, settings)

    assert listed.state is TaskState.RUNNING
