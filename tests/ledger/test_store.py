"""The index follows the runs: sessions, mailboxes, consumption, and older schemas."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.runs import AT, PROCESS, SESSION, run

from parsers.struct import replace
from runner import clock, session_files
from runner.errors import (
    AlreadyDeliveredError,
    ArchivedError,
    FileFault,
    LedgerFault,
    NoSuchTaskError,
    SessionBusyError,
)
from runner.ledger import record
from runner.ledger.runs import Ledger
from runner.ledger.usage import totals
from runner.model import (
    Claimed,
    Ended,
    Finished,
    Launched,
    Launching,
    Mode,
    Outcome,
    Run,
    RunId,
    SessionId,
    TaskState,
    Verdict,
)
from runner.session_files import SessionFiles

SCHEMA_1 = Path(record.__file__).parent / "store" / "schema_1.sql"
USAGE = {
    "input_tokens": 100,
    "cached_input_tokens": 40,
    "output_tokens": 10,
    "reasoning_output_tokens": 3,
    "total_tokens": 110,
}


@pytest.fixture
def logs(tmp_path: Path) -> str:
    (tmp_path / "logs").mkdir()
    return str(tmp_path / "logs")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state")


def over(one: Run, outcome: Outcome = Outcome.SUCCEEDED, **accounts: object) -> Run:
    verdict = Verdict(outcome=outcome, exit_code=0)
    return one.advanced(Ended(verdict=verdict, at=AT, accounts=accounts))


@contextmanager
def noting(moved: list[str]) -> Iterator[None]:
    moved.append("moved")
    yield


def finished(one: Run, **accounts: object) -> Run:
    state = Finished(
        verdict=Verdict(outcome=Outcome.SUCCEEDED, exit_code=0),
        started_at=AT,
        ended_at=AT,
        accounts=accounts,
    )
    return replace(one, state=state)


def test_a_session_is_the_run_itself_until_codex_names_the_thread(
    ledger: Ledger, logs: str
) -> None:
    one = run(log_dir=logs)
    ledger.prepare(one, title="a title")
    before = ledger.sessions.find(one.run_id)

    ledger.store(one, replace(one, session_id=SessionId(SESSION)))

    after = ledger.sessions.find(SESSION)
    assert before is not None
    assert after is not None
    assert (before.title, after.title) == ("a title", "a title")
    assert ledger.sessions.find(one.run_id) is None
    assert [each.run_id for each in ledger.of_session(SESSION)] == [one.run_id]


def test_mail_follows_the_session_to_its_name(ledger: Ledger, logs: str) -> None:
    one = run(log_dir=logs)
    ledger.prepare(one)
    ledger.mail.put(one.run_id, "Next.", AT, lambda _: None)

    ledger.store(one, replace(one, session_id=SessionId(SESSION)))

    assert [mail.task for mail in ledger.mail.waiting(SESSION)] == ["Next."]


def test_the_last_run_tells_the_outcome_even_when_an_older_one_ends_later(
    ledger: Ledger, logs: str
) -> None:
    old = run(log_dir=logs, resume_session=SessionId(SESSION))
    new = run(
        log_dir=logs,
        resume_session=SessionId(SESSION),
        run_id=RunId("20261120-111201-512345-00000000"),
    )
    ledger.prepare(old)
    ledger.prepare(new)
    ledger.store(new, over(new, Outcome.FAILED))
    ledger.store(old, over(old))

    row = ledger.sessions.find(SESSION)

    assert row is not None
    assert (row.last_run, row.outcome) == (new.run_id, "failed")


def first(ledger: Ledger, logs: str) -> Run:
    """Put a run on record that has made the session."""
    one = run(
        log_dir=logs,
        resume_session=SessionId(SESSION),
        run_id=RunId("20261120-091201-512345-00000000"),
    )
    ledger.prepare(one)
    return one


def delivering(ledger: Ledger, logs: str) -> Run:
    first(ledger, logs)
    mail_id = ledger.mail.put(SESSION, "Next.", AT, lambda _: None)
    return run(log_dir=logs, resume_session=SessionId(SESSION), mail_id=mail_id)


def test_a_prompt_is_given_to_one_run_only(ledger: Ledger, logs: str) -> None:
    one = delivering(ledger, logs)
    other = replace(one, spec=replace(one.spec, run_id=RunId("other")))
    ledger.prepare(one)

    with pytest.raises(AlreadyDeliveredError):
        ledger.prepare(other)

    assert ledger.ids_of(SESSION)[1:] == [one.run_id]
    assert ledger.mail.waiting(SESSION) == []


def test_the_prompt_of_a_run_that_never_started_waits_again_at_its_place(
    ledger: Ledger, logs: str
) -> None:
    one = delivering(ledger, logs)
    ledger.mail.put(SESSION, "Later.", AT, lambda _: None)
    ledger.prepare(one)

    ledger.store(one, over(one, Outcome.NOT_STARTED))

    waiting = ledger.mail.waiting(SESSION)
    assert [mail.task for mail in waiting] == ["Next.", "Later."]
    assert [mail.attempts for mail in waiting] == [1, 0]


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.NOT_STARTED}))
def test_a_prompt_that_codex_was_started_for_never_waits_again(
    ledger: Ledger, logs: str, outcome: Outcome
) -> None:
    one = delivering(ledger, logs)
    ledger.prepare(one)

    ledger.store(one, over(one, outcome))

    assert ledger.mail.waiting(SESSION) == []


def test_nothing_is_queued_for_a_session_that_is_not_there(ledger: Ledger) -> None:
    with pytest.raises(NoSuchTaskError):
        ledger.mail.put(SESSION, "Next.", AT, lambda _: None)


def test_a_prompt_whose_file_cannot_be_written_is_not_queued(
    ledger: Ledger, logs: str
) -> None:
    first(ledger, logs)

    def refuse(_: int) -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - ours
        ledger.mail.put(SESSION, "Next.", AT, refuse)

    assert ledger.mail.of_session(SESSION) == []


def test_nothing_is_queued_for_an_archived_session(ledger: Ledger, logs: str) -> None:
    one = run(log_dir=logs, resume_session=SessionId(SESSION))
    ledger.prepare(one)
    ledger.sessions.archive(SESSION, "archive/2026/11/20/x", "2026-11-20T00:00:00.000Z")

    with pytest.raises(ArchivedError):
        ledger.mail.put(SESSION, "Next.", AT, lambda _: None)


def test_a_session_with_waiting_mail_is_not_moved(ledger: Ledger, logs: str) -> None:
    one = first(ledger, logs)
    ledger.store(one, over(one))
    ledger.mail.put(SESSION, "Next.", AT, lambda _: None)
    moved: list[str] = []

    waiting = ledger.move(SESSION, "archive/x", [], noting(moved))

    row = ledger.sessions.find(SESSION)
    assert (waiting, moved) == (1, [])
    assert row is not None
    assert row.archived_in is None


def test_a_move_that_fails_leaves_the_index_as_it_was(
    ledger: Ledger, logs: str
) -> None:
    one = first(ledger, logs)
    ledger.store(one, over(one))

    moving = session_files.moving(SessionFiles(Path("/no/x")), SessionFiles(Path("/y")))

    with pytest.raises(FileFault):
        ledger.move(SESSION, "archive/x", [], moving)

    row = ledger.sessions.find(SESSION)
    assert row is not None
    assert row.archived_in is None


def test_states_are_told_by_the_index_given_who_is_at_work(
    ledger: Ledger, logs: str
) -> None:
    sessions = [f"01a1f000-0000-7000-8000-00000000000{n}" for n in range(5)]
    ends = (Outcome.SUCCEEDED, Outcome.STOPPED, Outcome.FAILED, None, None)
    for number, (session, end) in enumerate(zip(sessions, ends, strict=True)):
        one = run(
            log_dir=logs,
            resume_session=SessionId(session),
            run_id=RunId(f"20261120-10120{number}-512345-00000000"),
        )
        ledger.prepare(one)
        if end is not None:
            ledger.store(one, over(one, end))
    ledger.sessions.archive(sessions[0], "archive/x", "2026-11-20T10:12:01.512Z")
    working = {sessions[3]}

    found = {
        state: {row.session_id for row in ledger.sessions.newest([state], working)}
        for state in TaskState
    }

    assert found == {
        TaskState.ARCHIVED: {sessions[0]},
        TaskState.STOPPED: {sessions[1]},
        # No end of the last one is on record: its run must be asked.
        TaskState.DIED: {sessions[2], sessions[4]},
        TaskState.RUNNING: {sessions[3], sessions[4]},
    }


def test_of_two_first_commands_one_waits_for_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    other.execute("begin immediate")
    waited: list[float] = []

    def come_to_an_end(seconds: float) -> None:
        waited.append(seconds)
        other.rollback()

    monkeypatch.setattr(clock, "sleep", come_to_an_end)

    assert Ledger(tmp_path).known() == {}
    assert len(waited) == 1


def test_a_second_look_at_the_index_costs_the_first_none_of_its_locks(
    tmp_path: Path,
) -> None:
    first = Ledger(tmp_path)
    with first.database.transaction():
        pass  # from now on it holds a lock on the file

    locks = own_locks(first.database.path)
    Ledger(tmp_path).close()

    assert locks
    assert own_locks(first.database.path) == locks


def own_locks(path: Path) -> set[str]:
    """List this process's locks on a file, as the kernel counts them."""
    inode = path.stat().st_ino
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    mine = (line.split() for line in lines)
    return {
        " ".join(words[1:])
        for words in mine
        if words[4] == str(os.getpid()) and words[5].endswith(f":{inode}")
    }


def index_of_schema_1(state_home: Path, *runs: Run) -> None:
    state_home.mkdir()
    with sqlite3.connect(state_home / "runs.db") as db:
        for statement in SCHEMA_1.read_text().split(";\n"):
            db.execute(statement)
        for each in runs:
            db.execute(
                "insert into runs values (?, 'finished', ?, ?, ?, ?, ?, ?)",
                (
                    each.run_id,
                    each.session,
                    each.spec.repo,
                    "2026-11-20T10:12:01.512Z",
                    "2026-11-20T10:13:01.512Z",
                    str(each.outcome),
                    json.dumps(record.to_json(each)),
                ),
            )
        db.execute("pragma user_version = 1")
    db.close()


def test_an_index_of_the_first_schema_is_brought_up_with_all_that_it_holds(
    tmp_path: Path,
) -> None:
    cost = {"usd": 0.25, "model": "gpt-5", "parts": None}
    one = finished(run(), model="gpt-5", token_usage=USAGE, cost=cost)
    named = replace(one, session_id=SessionId(SESSION))
    lost = over(run(run_id=RunId("20261120-111201-512345-1")), Outcome.NOT_STARTED)
    index_of_schema_1(tmp_path / "state", named, lost)

    ledger = Ledger(tmp_path / "state")

    rows = {row.session_id: row for row in ledger.sessions.newest()}
    assert rows.keys() == {SESSION, lost.run_id}
    assert rows[SESSION].outcome == "succeeded"
    assert [each.run_id for each in ledger.of_session(SESSION)] == [named.run_id]
    (total,) = totals(ledger.database, "model")
    assert (total.key, total.runs, total.total_tokens) == ("gpt-5", 1, 110)
    assert total.usd == pytest.approx(0.25)


def test_sub_agents_and_models_of_an_older_index_are_counted_as_those_of_a_new_one(
    tmp_path: Path,
) -> None:
    other = {**USAGE, "input_tokens": 50, "total_tokens": 60}
    usage = {**USAGE, "subagents": [other], "by_model": {"gpt-5": USAGE, "o9": other}}
    cost = {"usd": 0.25, "model": "gpt-5", "parts": {"o9": {"input": 0.2}}}
    one = finished(run(), model="gpt-5", token_usage=usage, cost=cost)
    damaged = finished(run(run_id=RunId("20261120-111201-512345-1")))
    index_of_schema_1(tmp_path / "older", one, damaged)
    with sqlite3.connect(tmp_path / "older" / "runs.db") as db:
        text = "update runs set record = '{}' where run_id = ?"
        db.execute(text, (damaged.run_id,))
    db.close()

    older, new = Ledger(tmp_path / "older"), Ledger(tmp_path / "new")
    new.adopt(replace(one, spec=replace(one.spec, log_dir=str(tmp_path))))

    counted = totals(older.database, "model")
    assert counted == totals(new.database, "model")
    assert {total.key: total.total_tokens for total in counted} == {
        "gpt-5": 110,
        "o9": 60,
    }


def test_a_run_that_has_been_launched_is_counted_once_it_is_over(
    ledger: Ledger, logs: str
) -> None:
    one = run(Launching(supervisor=PROCESS), log_dir=logs)
    ledger.adopt(one)
    done = finished(one, model="gpt-5", token_usage=USAGE, cost={"usd": 1.0})
    ledger.store(one, done)
    ledger.store(done, done)

    (total,) = totals(ledger.database, "session")

    assert (total.key, total.runs, total.input_tokens) == (one.run_id, 1, 100)


def test_a_number_of_another_session_s_mailbox_is_not_delivered(
    ledger: Ledger, logs: str
) -> None:
    one = delivering(ledger, logs)
    elsewhere = run(
        Launching(supervisor=PROCESS),
        log_dir=logs,
        run_id=RunId("20261120-081201-512345-00000000"),
        resume_session=SessionId(SESSION[:-1] + "9"),
        mail_id=one.spec.mail_id,
    )

    ledger.adopt(elsewhere)

    assert len(ledger.mail.waiting(SESSION)) == 1


@pytest.mark.parametrize("verb", ["move", "remove"])
def test_a_session_is_not_put_away_while_a_run_on_it_is_not_over(
    ledger: Ledger, logs: str, verb: str
) -> None:
    first(ledger, logs)
    moved: list[str] = []

    def put_away() -> int:
        if verb == "remove":
            return ledger.remove(SESSION, noting(moved))
        return ledger.move(SESSION, "archive/x", [], noting(moved))

    with pytest.raises(SessionBusyError):
        put_away()

    assert moved == []
    assert ledger.sessions.find(SESSION) is not None


def test_a_supervisor_of_the_version_before_keeps_the_index_true(
    ledger: Ledger, logs: str
) -> None:
    one = run(Launching(supervisor=PROCESS), log_dir=logs)
    ledger.adopt(one)
    done = replace(
        finished(one, model="gpt-5", token_usage=USAGE, cost={"usd": 0.5}),
        session_id=SessionId(SESSION),
    )
    old = "update runs set state = ?, session_id = ?, outcome = ?, record = ?"
    with ledger.database.transaction() as db:
        named = replace(one, session_id=SessionId(SESSION))
        for state, each, session in (
            ("launching", one, None),
            ("launching", named, SESSION),
            ("finished", done, SESSION),
        ):
            text = json.dumps(record.to_json(each))
            values = (state, session, each.outcome, text, one.run_id)
            db.execute(f"{old} where run_id = ?", values)

    row = ledger.sessions.find(SESSION)
    assert row is not None
    assert (row.last_run, row.outcome) == (one.run_id, "succeeded")
    assert ledger.sessions.ids() == {SESSION}
    (total,) = totals(ledger.database, "session")
    assert (total.key, total.total_tokens) == (SESSION, 110)


def test_a_number_that_a_run_has_delivered_is_not_used_again(
    ledger: Ledger, logs: str
) -> None:
    ledger.adopt(
        run(
            Launching(supervisor=PROCESS),
            log_dir=logs,
            resume_session=SessionId(SESSION),
            mail_id=7,
        )
    )

    assert ledger.mail.put(SESSION, "Next.", AT, lambda _: None) == 8


def test_a_transaction_that_is_over_already_hides_no_cause(ledger: Ledger) -> None:
    cause = FileFault("write", Path("meta"), OSError("full"))

    def write() -> None:
        with ledger.database.transaction() as db:
            db.execute("rollback")  # as SQLite does itself on a full disk
            raise cause

    with pytest.raises(FileFault) as raised:
        write()

    assert raised.value is cause
    with ledger.database.transaction() as db:
        assert db.in_transaction


def test_a_full_disk_is_called_that(ledger: Ledger) -> None:
    ledger.database.rows("pragma max_page_count = 1")

    def write() -> None:
        with ledger.database.transaction() as db:
            db.execute("create table more (content)")
            db.execute("insert into more values (zeroblob(10000000))")

    with pytest.raises(LedgerFault, match="full"):
        write()


def on_session(number: int, **changes: Any) -> Run:  # noqa: ANN401  # any field
    run_id = RunId(f"20261120-10120{number}-000000-0000000{number}")
    session = SessionId(SESSION)
    return run(run_id=run_id, resume_session=session, mode=Mode.RESUME, **changes)


def launched(one: Run, at: datetime) -> Run:
    return (one.advanced(Claimed(supervisor=PROCESS))).advanced(
        Launched(codex=PROCESS, at=at)
    )


def test_a_run_that_only_waited_is_not_its_sessions_last(
    ledger: Ledger, logs: str
) -> None:
    first = on_session(1, log_dir=logs)
    waiter = on_session(2, log_dir=logs, wait_for_session=True)
    ledger.prepare(first)
    ledger.prepare(waiter)
    ledger.store(waiter, over(waiter, Outcome.TIMED_OUT))
    ledger.store(first, over(first))

    row = ledger.sessions.find(SESSION)
    assert row is not None
    assert (row.last_run, row.outcome) == (first.run_id, Outcome.SUCCEEDED)
    ledger.recount(SESSION)
    assert ledger.sessions.find(SESSION) == row


def test_a_run_that_waited_comes_when_it_has_the_session(
    ledger: Ledger, logs: str
) -> None:
    waiter = on_session(1, log_dir=logs, wait_for_session=True)
    other = on_session(2, log_dir=logs)
    ledger.prepare(waiter)
    ledger.prepare(other)
    ledger.store(other, over(other))
    at = AT + timedelta(hours=1)
    ledger.store(waiter, launched(waiter, at))

    row = ledger.sessions.find(SESSION)
    assert row is not None
    assert (row.last_run, row.outcome) == (waiter.run_id, None)
    assert [each.run_id for each in ledger.of_session(SESSION)] == [
        other.run_id,
        waiter.run_id,
    ]


def test_who_waits_alone_is_last_until_another_comes(ledger: Ledger, logs: str) -> None:
    waiter = on_session(2, log_dir=logs, wait_for_session=True)
    ledger.prepare(waiter)
    assert ledger.last_of(SESSION) == waiter

    ledger.prepare(on_session(1, log_dir=logs))

    last = ledger.last_of(SESSION)
    assert last is not None
    assert last.run_id == on_session(1).run_id


def test_a_row_that_is_made_anew_keeps_when_something_last_happened(
    ledger: Ledger, logs: str
) -> None:
    one = first(ledger, logs)
    ledger.store(one, over(one))
    later = "2030-01-01T00:00:00.000Z"
    ledger.sessions.archive(SESSION, None, later)

    ledger.recount(SESSION)

    row = ledger.sessions.find(SESSION)
    assert row is not None
    assert row.updated_at == later
