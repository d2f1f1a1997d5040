"""Sessions: a key and a short id that never change, and what is kept of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import ledgers
from support.runs import SESSION

from runner import files
from runner.errors import NoSuchTaskError, SessionBusyError
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.ledger.sessions import Session
from runner.model import Outcome, Run, SessionId, TaskState
from runner.process.table import this_process
from runner.run_files import files_of
from runner.service import archive

OTHER = SessionId(SESSION[:-1] + "9")


def session(ledger: Ledger, run: Run) -> Session:
    return ledger.sessions.get(run.session)


def test_key_and_short_id_stay_when_codex_names_the_thread(ledger: Ledger) -> None:
    run = ledgers.launch(ledger, ledgers.prepare(ledger, title="a title"))
    before = session(ledger, run)
    assert (before.thread, before.name) == (None, run.run_id)

    ledgers.name(ledger, run)

    after = session(ledger, run)
    assert (after.key, after.short_id) == (before.key, before.short_id)
    assert (after.thread, after.name, after.title) == (SESSION, SESSION, "a title")
    for text in (SESSION, run.run_id, after.short_id):
        assert [each.key for each in ledger.sessions.named(text)] == [before.key]


def test_a_short_id_has_eight_digits_of_its_own(ledger: Ledger) -> None:
    found = set()
    with ledger.transaction():
        for _ in range(200):
            key = ledger.sessions.open("2026-11-20T10:12:01.000Z")
            found.add(ledger.sessions.get(key).short_id)

    assert len(found) == 200
    assert all(len(each) == 8 and each[0] != "0" for each in found)
    assert all(set(each) <= set("0123456789abcdef") for each in found)


def test_a_thread_belongs_to_one_session(ledger: Ledger) -> None:
    first = ledgers.session_of(ledger)
    second = ledgers.launch(ledger, ledgers.prepare(ledger, 2))

    assert not ledger.runs.set_thread(second, SessionId(SESSION), None)

    assert session(ledger, second).thread is None
    assert ledger.sessions.of_thread(SESSION) == first.session


def test_a_resumed_run_does_not_change_the_thread_of_its_session(
    ledger: Ledger,
) -> None:
    first = ledgers.session_of(ledger)
    second = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))

    assert ledger.runs.set_thread(second, SessionId(SESSION), None)
    assert not ledger.runs.set_thread(second, OTHER, None)

    assert session(ledger, first).thread == SESSION
    assert ledger.runs.find(second.run_id).thread == OTHER


def test_the_next_run_has_the_settings_of_the_last_one_that_was_launched(
    ledger: Ledger,
) -> None:
    first = ledgers.session_of(ledger, repo="/first", umask=0o027)
    never = ledgers.resume(ledger, first, 2, repo="/never")
    ledgers.end(ledger, never, Outcome.NOT_STARTED)

    settings = session(ledger, first).settings

    assert settings is not None
    assert (settings.repo, settings.umask) == ("/first", 0o027)


def test_a_session_begins_with_the_settings_of_its_first_run(ledger: Ledger) -> None:
    """It may end before Codex is launched; a prompt can be queued for it before."""
    settings = session(ledger, ledgers.prepare(ledger, repo="/first")).settings

    assert settings is not None
    assert settings.repo == "/first"


def test_a_session_that_was_opened_without_a_run_has_no_settings(
    ledger: Ledger,
) -> None:
    with ledger.transaction():
        key = ledger.sessions.open("2026-11-20T10:12:01.000Z")

    assert ledger.sessions.get(key).settings is None


def test_a_damaged_record_costs_what_only_it_has(ledger: Ledger) -> None:
    run = ledgers.session_of(ledger, Outcome.FAILED)
    ledgers.execute(ledger, "update records set record = x'00'")

    found = ledger.runs.find(run.run_id)

    assert (found.outcome, found.thread, found.has_begun) == ("failed", SESSION, True)
    assert found.spec.directory == run.spec.directory
    assert "is damaged" in str(record.to_json(found)["warnings"])


@pytest.mark.parametrize("verb", [archive.archive, archive.remove])
def test_a_session_in_which_something_runs_is_not_put_away(
    ledger: Ledger, verb: Callable[[Session, Ledger], object]
) -> None:
    first = ledgers.session_of(ledger)
    second = ledgers.resume(ledger, first, 2)

    with pytest.raises(SessionBusyError, match=second.run_id):
        verb(session(ledger, first), ledger)

    assert session(ledger, first).state is TaskState.RUNNING


@pytest.mark.parametrize("verb", [archive.archive, archive.remove])
def test_a_session_for_which_prompts_wait_is_not_put_away(
    ledger: Ledger, verb: Callable[[Session, Ledger], object]
) -> None:
    first = ledgers.session_of(ledger)
    ledgers.queue(ledger, first.session)

    with pytest.raises(SessionBusyError, match=r"prompts waiting \(1\)"):
        verb(session(ledger, first), ledger)

    assert session(ledger, first).waiting == 1


def with_files(ledger: Ledger, run: Run) -> Path:
    """Write files of a run and of its session; give the directory of the latter."""
    files.make_directory(Path(run.spec.directory))
    files.create(files_of(run.spec).events, b"{}\n")
    place = session(ledger, run).exports_in(ledger.home)
    assert place is not None
    files.make_directory(place)
    for name in ("task.json", "task.log", "notes.txt"):
        files.create(place / name, name.encode())
    return place


def test_archiving_moves_the_exports_and_nothing_else(ledger: Ledger) -> None:
    run = ledgers.session_of(ledger)
    place = with_files(ledger, run)

    moved = archive.archive(session(ledger, run), ledger)

    assert moved.directory is not None
    there = Path(moved.directory)
    assert there.parent.parent.parent.parent == ledger.home / "archive"
    assert (there / "task.log").read_bytes() == b"task.log"
    assert [path.name for path in place.iterdir()] == ["notes.txt"]
    assert ledger.runs.find(run.run_id).spec.directory == run.spec.directory
    assert files_of(run.spec).events.exists()

    back = archive.unarchive(session(ledger, run), ledger)

    assert back.directory == str(place)
    assert (place / "task.log").exists()
    assert session(ledger, run).state is TaskState.STOPPED


def test_archiving_twice_changes_nothing(ledger: Ledger) -> None:
    run = ledgers.session_of(ledger)
    with_files(ledger, run)
    moved = archive.archive(session(ledger, run), ledger)
    before = session(ledger, run)

    again = archive.archive(before, ledger)

    assert (again.directory, again.is_new) == (moved.directory, False)
    assert session(ledger, run) == before


def test_removing_leaves_what_was_used_and_nothing_else(ledger: Ledger) -> None:
    figures = {"input_tokens": 5, "total_tokens": 5}
    told: dict[str, object] = {"token_usage": figures, "model": "gpt-5"}
    run = ledgers.session_of(ledger, accounts=told)
    place = with_files(ledger, run)

    removed = archive.remove(session(ledger, run), ledger)

    assert removed.left == ()
    assert not place.exists()
    assert not Path(run.spec.directory).exists()
    with pytest.raises(NoSuchTaskError):
        ledger.sessions.get(run.session)
    # No import takes the thread again.
    assert ledger.usage.known_ids() == {run.run_id, SESSION}
    (total,) = ledger.usage.totals("session")
    assert (total.key, total.total_tokens) == (SESSION, 5)
    assert ledger.sessions.of_thread(SESSION) is None
    assert ledger.faults() == []


def test_removing_finds_the_exports_of_a_session_that_was_archived_meanwhile(
    ledger: Ledger,
) -> None:
    run = ledgers.session_of(ledger)
    with_files(ledger, run)
    read = session(ledger, run)
    moved = archive.archive(read, ledger).directory
    assert moved is not None

    archive.remove(read, ledger)

    assert not Path(moved).exists()


def test_a_session_that_has_changed_since_it_was_listed_is_not_removed(
    ledger: Ledger,
) -> None:
    run = ledgers.session_of(ledger)
    listed = session(ledger, run)
    ledgers.end(ledger, ledgers.launch(ledger, ledgers.resume(ledger, run, 2)))

    with pytest.raises(SessionBusyError, match="has changed"):
        archive.remove(listed, ledger, if_unchanged=True)

    archive.remove(listed, ledger)


def test_a_session_whose_run_has_left_processes_running_is_not_removed(
    ledger: Ledger,
) -> None:
    here = this_process()
    left = {"pid": here.pid, "start_time": here.start_time, "name": "server"}
    run = ledgers.session_of(ledger, accounts={"left_running": [left]})
    place = with_files(ledger, run)

    for is_dry in (True, False):
        with pytest.raises(SessionBusyError, match=r"server.*codex-tasks stop") as told:
            archive.remove(session(ledger, run), ledger, is_dry=is_dry)
        assert told.value.exit_code == 75

    assert place.exists()
    assert ledger.runs.find(run.run_id) == run


def test_processes_that_a_run_had_left_and_that_are_gone_keep_nothing(
    ledger: Ledger,
) -> None:
    left = {"pid": this_process().pid, "start_time": 1, "name": "server"}
    run = ledgers.session_of(ledger, accounts={"left_running": [left]})

    would_be = archive.remove(session(ledger, run), ledger, is_dry=True)

    assert ledger.runs.find(run.run_id) == run
    assert archive.remove(session(ledger, run), ledger) == would_be


def age(path: Path) -> None:
    ledgers.touch(path, hours=-2)


def test_a_directory_that_no_run_has_is_found_after_an_hour(ledger: Ledger) -> None:
    run = ledgers.session_of(ledger)
    files.make_directory(Path(run.spec.directory))
    fresh, stale, told = (ledger.home / "runs" / ledgers.run_id(n) for n in (7, 8, 9))
    foreign = ledger.home / "runs" / "precious"
    for place in (fresh, stale, told, foreign):
        files.make_directory(place)
    (told / "meta.json").touch()
    for place in (Path(run.spec.directory), stale, told, foreign):
        age(place)

    found = dict(archive.strays(ledger))
    assert found == {stale: True, told: False, foreign: False}


def leaves_a_directory_that_can_go(ledger: Ledger, run: Run) -> None:
    """Remove a session as a command does that is killed before it removes files."""
    place = Path(run.spec.directory)
    files.make_directory(place)
    (place / "meta.json").touch()
    age(place)

    ledger.sessions.remove(session(ledger, run))

    assert list(archive.strays(ledger)) == [(place, True)]


def test_what_is_left_of_a_removed_run_that_has_used_nothing_can_go_too(
    ledger: Ledger,
) -> None:
    run = ledgers.prepare(ledger)
    ledgers.end(ledger, run, Outcome.NOT_STARTED)

    leaves_a_directory_that_can_go(ledger, run)


def test_what_a_removal_could_not_remove_can_go_later(ledger: Ledger) -> None:
    leaves_a_directory_that_can_go(ledger, ledgers.session_of(ledger))


def test_a_directory_whose_owner_is_locked_belongs_to_a_run_that_is_made(
    ledger: Ledger,
) -> None:
    place = ledger.home / "runs" / ledgers.run_id(8)
    files.make_directory(place)
    with ledgers.locked(place / "owner"):
        age(place)
        assert list(archive.strays(ledger)) == []
    assert list(archive.strays(ledger)) == [(place, True)]
