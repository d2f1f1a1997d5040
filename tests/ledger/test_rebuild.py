"""A ledger that was destroyed comes back from its backup and from what was exported."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import ledgers, worked
from support.runs import settings
from support.worked import FIRST, OTHER

from parsers.struct import replace
from runner import clock
from runner.cli import codex_tasks
from runner.errors import LedgerFault
from runner.exports import queue_files, run_exports, task_files
from runner.ledger import database
from runner.ledger.database import BACKUP, NAME
from runner.ledger.ledger import Ledger
from runner.lifecycle import recover
from runner.model import Outcome, Run
from runner.run_files import files_of
from runner.service import rebuild
from runner.service.archive import archive, remove, unarchive
from runner.service.verify import Report, verify

REMOVED, ARCHIVED = OTHER[:-1] + "8", OTHER[:-1] + "7"
TEXTS = ("One.", "Two: größer?", "Three.\n", "Four.")
SESSIONS = (
    "select thread_id, title, exports, archived_at is not null, home"
    " from sessions order by thread_id"
)
RUNS = (
    "select r.run_id, s.thread_id, r.ordinal, r.state, r.outcome, r.exit_code, r.begun,"
    " r.directory, r.layout, r.prepared_at, r.launched_at, r.ended_at"
    " from runs r join sessions s on s.id = r.session order by 1"
)
PROMPTS = (
    "select p.id, p.place, s.thread_id, p.text, p.preview, p.digest, p.state, p.hold,"
    " p.settings, p.queued_at, p.run_id"
    " from prompts p join sessions s on s.id = p.session"
    " where p.ended_at is null order by 1"
)
USAGE = "select run_id, thread_id, model, input, total, usd from usage order by 1, 3"


class State:
    """A state directory with four sessions; in two of them prompts wait."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.settings = settings(place, CODEX_RUNNER_HOME=str(place / "state"))
        self.home = self.settings.state_home
        self.ledger = Ledger(self.home)
        used: dict[str, object] = {
            "token_usage": {"input_tokens": 5, "total_tokens": 6},
            "model": "gpt-5",
        }
        self.used = used
        self.run = self.work(title="first", codex=worked.OPTIONS)
        self.flat = self.work(OTHER, log_dir=str(place / "logs"))
        archived = self.work(ARCHIVED, title="put away", outcome=Outcome.FAILED)
        archive(self.ledger.sessions.get(archived.session), self.ledger)
        self.removed = self.work(REMOVED, title="removed")
        session = self.run.session
        self.prompts = [worked.queue(self.ledger, session, text) for text in TEXTS]
        self.own = worked.queue(self.ledger, self.flat.session, "Five.")
        ledgers.execute(
            self.ledger,
            "update prompts set settings = ?, hold = ? where id = ?",
            *('{"sandbox":"danger-full-access"}', "a person has to act", self.own),
        )
        queue_files.refresh(self.ledger, self.flat.session, [self.own])

    def work(self, thread: str = FIRST, **changes: Any) -> Run:  # noqa: ANN401  # passed on
        return worked.work(self.ledger, self.settings, thread, **changes)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.home / NAME)) as db:
            return db.execute(sql).fetchall()

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        named = {"sessions": SESSIONS, "runs": RUNS, "prompts": PROMPTS, "usage": USAGE}
        return {name: self.rows(sql) for name, sql in named.items()}

    def remove(self) -> None:
        """Remove a session, as `rm` does."""
        remove(self.ledger.sessions.get(self.removed.session), self.ledger)

    def destroy(self, how: Callable[[Path], None]) -> None:
        self.ledger.close()
        for path in self.home.glob(f"{NAME}-*"):
            path.unlink()
        how(self.home / NAME)

    def repair(self) -> Report:
        report = verify(self.settings, is_repairing=True)
        self.ledger = Ledger(self.home)
        return report


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path)
    yield made
    made.ledger.close()


def lose(path: Path) -> None:
    path.unlink()


def garble(path: Path) -> None:
    path.write_bytes(b"garbage " * 4096)


def garble_pages(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))


def replace_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_a_dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nowhere")


def empty(path: Path) -> None:
    os.truncate(path, 0)


DESTRUCTION = [
    *(lose, garble, garble_pages, empty),
    *(replace_by_a_directory, replace_by_a_dead_link),
]


@pytest.mark.parametrize("has_backup", [False, True])
@pytest.mark.parametrize("destroy", DESTRUCTION)
def test_a_destroyed_ledger_comes_back_with_all_but_what_was_removed(
    state: State, destroy: Callable[[Path], None], *, has_backup: bool
) -> None:
    if has_backup:
        state.ledger.back_up_daily()
    before = state.dump()
    state.remove()
    state.destroy(destroy)
    (found,) = verify(state.settings).differences
    assert (found.kind, found.fixed, found.is_repairable) == ("ledger", False, True)

    report = state.repair()

    assert report.differences[0].fixed
    assert report.is_good
    assert verify(state.settings).differences == ()
    after = state.dump()
    assert after["prompts"] == before["prompts"]
    assert len(after["prompts"]) == 5
    for table in ("sessions", "runs"):
        kept = [row for row in before[table] if REMOVED not in row]
        assert after[table] == kept
        assert len(kept) == 3
    removed = state.removed.run_id
    known = before["usage"] if has_backup else [
        row for row in before["usage"] if row[0] != removed
    ]  # fmt: skip
    assert after["usage"] == known


@pytest.mark.parametrize("destroy", DESTRUCTION)
def test_no_command_makes_an_empty_ledger_in_the_place_of_a_destroyed_one(
    state: State, destroy: Callable[[Path], None]
) -> None:
    state.destroy(destroy)

    with pytest.raises(LedgerFault):
        Ledger(state.home).sessions.all()
    assert not verify(state.settings).is_good


def test_what_is_damaged_is_kept(state: State) -> None:
    state.destroy(garble)

    state.repair()

    (aside,) = state.home.glob(f"{NAME}.damaged-*")
    assert aside.read_bytes().startswith(b"garbage")


def test_the_next_run_of_a_session_has_the_settings_that_it_had(state: State) -> None:
    before = state.ledger.sessions.get(state.run.session).settings
    state.destroy(lose)

    state.repair()

    (session,) = state.ledger.sessions.named(FIRST)
    assert session.settings == before
    assert session.settings is not None
    assert session.settings.codex == worked.OPTIONS
    assert not session.is_imported


def test_a_number_that_a_prompt_had_is_not_used_again(state: State) -> None:
    state.destroy(lose)

    state.repair()

    (session,) = state.ledger.sessions.named(FIRST)
    assert ledgers.queue(state.ledger, session.key) > state.own


def test_a_backup_of_another_day_is_brought_up_to_date(state: State) -> None:
    """What was delivered, finished or archived since has left its files."""
    state.ledger.back_up_daily()
    later = state.work(OTHER[:-1] + "6", title="later")
    one = state.prompts[0]
    text = ledgers.row(state.ledger, one)["text"]
    delivered = state.work(prompt=text, prompt_id=one)
    queue_files.refresh(state.ledger, state.run.session, [one])
    before = state.dump()
    state.destroy(lose)

    assert str(state.home / BACKUP) in state.repair().differences[0].detail

    assert state.dump() == before
    assert state.ledger.runs.find(later.run_id).outcome is Outcome.SUCCEEDED
    assert state.ledger.runs.find(delivered.run_id).spec.prompt_id == one
    assert ledgers.row(state.ledger, one)["ended_at"] is not None


def test_a_damaged_backup_is_not_used(state: State) -> None:
    before = state.dump()
    (state.home / BACKUP).write_bytes(b"garbage " * 4096)
    state.destroy(lose)

    report = state.repair()

    assert "rebuilt from the files alone" in report.differences[0].detail
    assert state.dump()["prompts"] == before["prompts"]


def test_a_run_that_works_is_taken_over_with_its_prompt(state: State) -> None:
    one = state.prompts[0]
    text = ledgers.row(state.ledger, one)["text"]
    prepared = worked.prepare(
        state.ledger,
        state.settings,
        session=state.run.session,
        thread=FIRST,
        prompt=text,
        prompt_id=one,
    )
    state.destroy(lose)

    state.repair()

    found = state.ledger.runs.find(prepared.run.run_id)
    assert not found.is_finished
    assert ledgers.row(state.ledger, one)["run_id"] == found.run_id
    prepared.close()
    recover.sweep(state.ledger, state.settings, delivers=False)
    assert state.ledger.runs.find(found.run_id).outcome is Outcome.NOT_STARTED
    head = state.ledger.queue.head(found.session)
    assert head is not None
    assert head.id == one, "Codex was never started for it: it waits again"


def test_the_prompt_of_a_run_that_works_keeps_its_number(state: State) -> None:
    # The run and its prompt are younger than the backup.
    state.ledger.back_up_daily()
    running = worked.prepare(state.ledger, state.settings)
    waiting = worked.queue(state.ledger, running.run.session, "Later.")
    flat = state.work(OTHER[:-1] + "5", log_dir=str(state.place / "logs"))
    state.destroy(lose)

    state.repair()

    found = state.ledger.runs.find(running.run.run_id)
    number = running.run.spec.prompt_id
    assert number is not None
    assert ledgers.row(state.ledger, number)["run_id"] == found.run_id
    assert ledgers.row(state.ledger, waiting)["session"] == found.session
    flat = state.ledger.runs.find(flat.run_id)
    assert flat.session != found.session, "the number of its prompt is its own"
    running.close()


def test_a_run_that_waits_for_its_session_goes_on_waiting(state: State) -> None:
    state.ledger.queue.stop([state.run.session])
    queue_files.refresh(state.ledger, state.run.session, state.prompts)
    busy = {"session": state.run.session, "thread": FIRST}
    running = worked.prepare(state.ledger, state.settings, **busy)
    waiting = worked.prepare(
        state.ledger, state.settings, wait_for_session=True, prompt=b"Mine.", **busy
    )
    state.destroy(lose)

    state.repair()

    found = state.ledger.runs.find(waiting.run.run_id)
    (prompt,) = state.ledger.queue.waiting(found.session)
    assert (prompt.text, prompt.run_id) == (b"Mine.", found.run_id)
    ledgers.end(state.ledger, running.run)
    assert state.ledger.queue.take(found) is not None
    running.close()
    waiting.close()


def test_a_prompt_whose_header_is_damaged_comes_back_held(state: State) -> None:
    path = queue_files.path_of(state.home, state.own)
    path.write_bytes(b"\0" + path.read_bytes())
    content = path.read_bytes()
    state.destroy(lose)

    report = state.repair()

    assert report.differences[0].fixed
    row = ledgers.row(state.ledger, state.own)
    assert row["text"] == content
    assert "damaged" in row["hold"]
    assert state.ledger.queue.to_stop(), "stop finds it"


@pytest.mark.parametrize(
    "changes",
    [
        {"place": 1},
        {"place": "--5"},
        {"place": 2**70},
        {"settings": 5},
        {"queued_at": None},
        {"thread": 5, "short_id": "no"},
        {"hold": ["x"]},
    ],
)
def test_a_header_with_wrong_values_loses_no_text(
    state: State, changes: dict[str, object]
) -> None:
    path = queue_files.path_of(state.home, state.prompts[1])
    head, _, text = path.read_bytes().partition(b"\n")
    told = json.loads(head)
    path.write_bytes(json.dumps({**told, **changes}).encode() + b"\n" + text)
    state.destroy(lose)

    assert state.repair().differences[0].fixed

    assert ledgers.row(state.ledger, state.prompts[1])["text"] == text
    assert len(state.ledger.all("free_prompts")) == 5


def test_a_session_of_which_only_a_prompt_is_left_is_listed_and_stopped(
    state: State, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = queue_files.path_of(state.home, state.own)
    path.write_bytes(b"\0" + path.read_bytes())
    state.destroy(lose)
    state.repair()
    (other,) = state.ledger.sessions.named(FIRST)
    state.ledger.queue.stop([other.key])
    row = ledgers.row(state.ledger, state.own)
    name = state.ledger.sessions.get(row["session"]).short_id
    monkeypatch.setenv("CODEX_RUNNER_HOME", str(state.home))

    def said(*words: str) -> str:
        codex_tasks.main([*words])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return out + err

    assert name in said("ls", "--all")
    assert "Last Prompt: <none>" in said("status", name)
    said("stop", name)
    assert state.ledger.queue.waiting(row["session"]) == []


WRONG: list[dict[str, object]] = [
    {"request": {"log_dir": 5}},
    {"request": []},
    {"run_id": 7},
    {"prepared_at": 1},
    {"processes": {"codex": 3}},
    {"rollout_offset": 2**70},
    {"session_id": [1]},
    {"state": "asleep"},
    {"accounts": 5},
    {"exit_code": "0"},
]


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_a_meta_file_with_a_value_of_a_wrong_type_costs_its_run_alone(
    state: State, changes: dict[str, object]
) -> None:
    path = files_of(state.run.spec).meta
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    before = state.dump()
    assert verify(state.settings).differences[0].subject == str(path)
    state.destroy(lose)

    report = state.repair()

    assert report.differences[0].fixed
    after = state.dump()
    others = [row for row in before["runs"] if row[0] != state.run.run_id]
    assert [row for row in after["runs"] if row[0] != state.run.run_id] == others
    assert len(after["prompts"]) == 5


def test_a_directory_of_runs_that_is_gone_costs_its_runs_alone(state: State) -> None:
    shutil.rmtree(state.place / "logs")
    state.destroy(lose)

    assert state.repair().differences[0].fixed

    assert len(state.rows(RUNS)) == 3
    assert len(state.rows(PROMPTS)) == 5


def test_of_a_record_that_others_can_write_only_history_is_taken(state: State) -> None:
    files_of(state.run.spec).meta.chmod(0o666)
    state.destroy(lose)

    state.repair()

    (session,) = state.ledger.sessions.named(FIRST)
    assert (session.settings, session.home) == (None, None)
    assert len(state.ledger.runs.of_session(session.key)) == 1


def test_of_a_copied_record_only_history_is_taken(state: State) -> None:
    """Its paths name another state directory."""
    meta = files_of(state.run.spec).meta
    data = json.loads(meta.read_bytes())
    data["request"]["directory"] = "/another/state/runs/" + state.run.run_id
    meta.write_text(json.dumps(data))
    state.destroy(lose)

    state.repair()

    (session,) = state.ledger.sessions.named(FIRST)
    assert (session.settings, session.home) == (None, None)
    assert len(state.ledger.runs.of_session(session.key)) == 1


def test_a_ledger_of_a_newer_version_is_not_made_anew(state: State) -> None:
    state.ledger.close()
    with closing(sqlite3.connect(state.home / NAME)) as db:
        db.execute("pragma user_version = 99")

    with pytest.raises(LedgerFault, match="newer version"):
        verify(state.settings, is_repairing=True)

    assert not list(state.home.glob("*.damaged-*"))


def test_a_ledger_that_cannot_be_read_just_now_is_not_made_anew(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise database.fault(path, sqlite3.OperationalError("unable to open"))

    monkeypatch.setattr(database, "connect", refuse)

    with pytest.raises(LedgerFault, match="unable to open"):
        verify(state.settings, is_repairing=True)
    assert not rebuild.is_needed(state.home, LedgerFault(state.home, "x"))


# From an older backup


def lines_of(report: Report) -> list[str]:
    return report.differences[0].detail.split("; ")[1:]


def test_one_repair_is_enough_with_an_older_backup(state: State) -> None:
    """What began before the backup and ended since is as its directory has it."""
    one = state.prompts[0]
    text = ledgers.row(state.ledger, one)["text"]
    going_on: dict[str, Any] = {"session": state.run.session, "thread": FIRST}
    prepared = worked.prepare(
        state.ledger, state.settings, prompt=text, prompt_id=one, **going_on
    )
    state.ledger.back_up_daily()
    run = ledgers.launch(state.ledger, prepared.run)
    ledgers.execute(state.ledger, "update runs set rollout_offset = 77")
    worked.write_events(run, FIRST, "Done.")
    state.ledger.runs.begin_turn(run.run_id)
    ended = ledgers.end(state.ledger, run, has_begun=True, has_answer=True)
    task_files.write_abandoned(ended, state.ledger)
    prepared.close()
    before, meta = state.dump(), files_of(run.spec).meta.read_bytes()
    state.destroy(lose)

    report = state.repair()

    assert [each.kind for each in report.differences] == ["ledger"]
    assert not queue_files.path_of(state.home, one).exists()
    assert verify(state.settings, is_repairing=True).differences == ()
    assert state.dump() == before
    assert files_of(run.spec).meta.read_bytes() == meta
    assert state.ledger.runs.find(run.run_id).rollout_offset == 77
    assert ledgers.row(state.ledger, one)["state"] == "done"
    made = clock.iso(clock.at((state.home / BACKUP).stat().st_mtime))
    assert f"of {made}, and what happened since from the files" in lines_of(report)[0]


def test_a_verdict_that_only_a_meta_file_has_is_told_with_its_launch(
    state: State,
) -> None:
    """A supervisor could not write the launch either, as its ledger was locked."""
    prepared = worked.prepare(state.ledger, state.settings)
    state.ledger.back_up_daily()
    run = ledgers.launch(state.ledger, prepared.run)
    ended = replace(ledgers.over(run), rollout_offset=78)
    ledgers.execute(
        state.ledger,
        "update runs set state = 'prepared', launched_at = null where run_id = ?",
        run.run_id,
    )
    run_exports.write_meta(ended)
    prepared.close()

    recover.sweep(state.ledger, state.settings, delivers=False)

    found = state.ledger.runs.find(run.run_id)
    assert found.launched_at is not None
    assert ended.launched_at is not None
    assert clock.iso(found.launched_at) == clock.iso(ended.launched_at)
    assert found.rollout_offset == 78


def test_a_run_that_works_has_the_processes_of_its_meta_file(state: State) -> None:
    prepared = worked.prepare(state.ledger, state.settings)
    state.ledger.back_up_daily()
    run = ledgers.launch(state.ledger, prepared.run, is_alive=True)
    run_exports.write_meta(run)
    session = state.ledger.sessions.get(run.session)
    state.destroy(lose)

    state.repair()

    found = state.ledger.runs.find(run.run_id)
    assert found.supervisor == run.supervisor
    assert state.ledger.sessions.get(found.session).short_id == session.short_id
    prepared.close()


def test_a_session_that_left_the_archive_since_is_not_archived(state: State) -> None:
    state.ledger.back_up_daily()
    (session,) = state.ledger.sessions.named(ARCHIVED)
    unarchive(session, state.ledger)
    state.destroy(lose)

    assert [each.kind for each in state.repair().differences] == ["ledger"]

    assert not state.ledger.sessions.named(ARCHIVED)[0].is_archived


def test_a_prompt_that_has_no_file_any_more_is_canceled_and_named(state: State) -> None:
    state.ledger.back_up_daily()
    queue_files.path_of(state.home, state.own).unlink()
    state.destroy(lose)

    report = state.repair()

    told = f"canceled, as it has no file any more: prompt {state.own}"
    assert told in lines_of(report)
    assert ledgers.row(state.ledger, state.own)["state"] == "canceled"


@pytest.mark.parametrize("has_backup", [False, True])
def test_the_prompt_of_a_waiting_run_without_a_file_is_in_the_run(
    state: State, *, has_backup: bool
) -> None:
    busy = {"session": state.run.session, "thread": FIRST}
    waiting = worked.prepare(
        state.ledger, state.settings, wait_for_session=True, prompt=b"Mine.", **busy
    )
    number = waiting.run.spec.prompt_id
    assert number is not None
    if has_backup:
        state.ledger.back_up_daily()
    queue_files.path_of(state.home, number).unlink()
    state.destroy(lose)

    report = state.repair()

    told = f"text from the directory of its waiting run: prompt {number}"
    assert told in lines_of(report)
    row = ledgers.row(state.ledger, number)
    assert (row["text"], row["state"]) == (b"Mine.", "queued")
    assert row["run_id"] == waiting.run.run_id
    assert verify(state.settings).differences == ()
    waiting.close()


def test_a_waiting_run_without_a_record_is_named_and_its_prompt_waits(
    state: State,
) -> None:
    busy = {"session": state.run.session, "thread": FIRST}
    waiting = worked.prepare(
        state.ledger, state.settings, wait_for_session=True, prompt=b"Mine.", **busy
    )
    files_of(waiting.run.spec).meta.unlink()
    state.destroy(lose)

    report = state.repair()

    told = f"its record cannot be read: run {waiting.run.run_id}"
    assert told in lines_of(report)
    row = ledgers.row(state.ledger, waiting.run.spec.prompt_id or 0)
    assert (row["text"], row["state"], row["run_id"]) == (b"Mine.", "queued", None)
    waiting.close()


def test_what_codex_wrote_is_kept_when_the_record_of_its_run_is_lost(
    state: State,
) -> None:
    files_of(state.run.spec).meta.unlink()
    place = files_of(state.run.spec).directory
    ledgers.touch(place, hours=-2)
    state.destroy(lose)

    report = state.repair()

    assert place.is_dir()
    assert str(place) in {each.subject for each in report.differences if not each.fixed}


# Ids


def test_a_printed_short_id_is_known_without_a_backup(state: State) -> None:
    prepared = worked.prepare(state.ledger, state.settings)
    before = state.rows("select short_id from sessions order by 1")
    state.remove()
    (gone,) = set(before) - set(state.rows("select short_id from sessions"))
    state.destroy(lose)

    state.repair()

    after = state.rows("select short_id from sessions order by 1")
    assert after == [row for row in before if row != gone]
    prepared.close()


def test_a_run_and_a_prompt_stay_in_one_session_without_a_thread(state: State) -> None:
    """Codex has not named the thread yet, so that only the short id is known."""
    first = worked.prepare(state.ledger, state.settings)
    session = state.ledger.sessions.get(first.run.session)
    number = worked.queue(state.ledger, session.key, "And then?")
    state.destroy(lose)

    state.repair()

    run = state.ledger.runs.find(first.run.run_id)
    assert ledgers.row(state.ledger, number)["session"] == run.session
    assert state.ledger.sessions.get(run.session).short_id == session.short_id
    first.close()


def test_a_number_that_a_run_names_is_not_used_again(state: State) -> None:
    later = state.work(OTHER[:-1] + "5")
    number = later.spec.prompt_id
    assert number is not None
    state.ledger.queue.stop(state.ledger.queue.to_stop())
    for path in queue_files.all_files(state.home):
        path.unlink()
    state.destroy(lose)

    state.repair()

    assert (
        ledgers.queue(state.ledger, state.ledger.sessions.named(FIRST)[0].key) > number
    )


# Log directories


def test_runs_of_another_state_directory_do_not_come_back_as_ours(state: State) -> None:
    theirs = settings(state.place, CODEX_RUNNER_HOME=str(state.place / "other"))
    with closing(Ledger(theirs.state_home)) as other:
        alien = worked.work(other, theirs, REMOVED, log_dir=str(state.place / "logs"))
    state.destroy(lose)

    report = state.repair()

    assert "of other state directories: runs 1" in lines_of(report)
    assert alien.run_id not in {row[0] for row in state.rows(RUNS)}
    assert state.flat.run_id in {row[0] for row in state.rows(RUNS)}
