"""Killed before any of its effects, no process loses a prompt or gives one twice.

Each sweep kills one kind of process before its first effect, before its second, and so
on until it survives. The long ones take every third effect, not all the same ones. What
a command starts is recorded by the supervisor, so most effects of a start are in that
one. What is left is looked at by `status --wait`, as anybody would.
"""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, groupby
from pathlib import Path
from typing import Any

import pytest
from support import stand_in as script
from support.commands import rows_of
from support.processes import wait_until
from support.sabotage import SUPERVISOR, TASKS, dies, dies_at_effect, sabotaged
from support.sessions import Session, Sessions
from support.stand_in import StandIn

# What commands and supervisors deliver, without the timer.
pytestmark = pytest.mark.usefixtures("without_timer")

# A run that was killed while Codex may have had its prompt: it is told as such.
KILLED = {"lost", "interrupted"}
AT_MOST = 150
STEP = 3


@pytest.fixture
def session(sessions: Sessions) -> Session:
    """Start a session that has answered once."""
    return sessions.ended()


@pytest.fixture
def holding(codex: StandIn, tmp_path: Path) -> "Iterator[Holding]":
    """Let a prompt that says `hold N` wait for the test."""
    holding = Holding(tmp_path)
    codex.plays(
        *script.begin(),
        script.alone(),
        *(script.when(f"hold {n}.", *holding.steps(n)) for n in range(1, AT_MOST)),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    yield holding
    for number in range(1, AT_MOST):
        holding.let_go(number)


class Holding:
    """Prompts that wait for the test, each by its number."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def steps(self, number: int) -> list[script.Step]:
        wait = script.wait_for(self._go(number))
        return [wait, script.message("held"), script.complete()]

    def let_go(self, number: int) -> None:
        self._go(number).touch()

    def _go(self, number: int) -> Path:
        return self.place / f"go-{number}"


@contextmanager
def at_rest(session: Session) -> Iterator[None]:
    """Bring the session to rest after what is done, and see that all is in order."""
    yield
    words = ("status", "--json", "--one", "--wait", "--timeout", 30, session.id)
    check(session, json.loads(session.sessions(*words).stdout))


def check(session: Session, status: dict[str, Any]) -> None:
    """Check that no prompt is lost, none was given twice, and nothing is left over."""
    stand_in = session.sessions.stand_in
    given, begun = session.given, stand_in.begun(session.id)
    assert len(begun) == len(set(begun)), "a prompt was delivered twice"
    assert stand_in.together == []
    outcomes = {record["task"]: record["outcome"] for record in session.records}
    for task, state in session.queued:
        assert state == "done" or outcomes[task] in KILLED
        assert state not in {"queued", "running"}
    for record in session.records:
        assert record["state"] == "finished"
        if record["outcome"] == "succeeded":
            assert record["task"] in given
    assert status["queue"] == 0
    assert status["state"] in {"STOPPED", "DIED"}
    assert session.json["runs"] == [record["run_id"] for record in session.records]
    # It is removed after the verdict; where a supervisor was killed before, some
    # seconds later by a command.
    sessions, pid = session.sessions, session.directory / "task.pid"
    due = "update outbox set due_at = '2026-01-01' where done_at is null"
    if pid.exists():
        sessions.change(due)
        sessions("ls")
    wait_until(lambda: not pid.exists(), what="the removal of task.pid")


def survives(mark: Path) -> bool:
    """Say whether the process came to its end before it came to the effect."""
    return not mark.exists()


def test_a_sender_to_a_session_at_work_that_is_killed_has_queued_or_not(
    sessions: Sessions, holding: Holding, tmp_path: Path
) -> None:
    session = sessions.start("hold 1.")
    sure = []
    for number in count(1):
        mark = tmp_path / f"mark-{number}"
        point = dies_at_effect(TASKS, number, mark)
        said = session.queue(f"Prompt {number}.", env=sabotaged(point))
        if survives(mark):
            assert said.code == 0
            break
        assert said.code == -signal.SIGKILL
        prompt = f"Sure {number}."
        sure.append(prompt)
        assert session.queue(prompt).code == 0
    assert 2 < number < AT_MOST
    waiting = [task for task, _ in session.queued]
    assert [prompt for prompt in waiting if prompt in sure] == sure

    with at_rest(session):
        holding.let_go(1)

    assert session.given[1:] == waiting


@pytest.mark.parametrize(("words", "least"), [(["send", "--queue"], 3), (["send"], 1)])
def test_a_sender_to_a_free_session_that_is_killed_leaves_a_prompt_given_once_or_never(
    session: Session, tmp_path: Path, words: list[str], least: int
) -> None:
    for number in count(1):
        mark = tmp_path / f"mark-{number}"
        point = dies_at_effect(TASKS, number, mark)
        with at_rest(session):
            said = session.sessions(
                *words, session.id, f"Prompt {number}.", env=sabotaged(point)
            )
            assert said.code == (0 if survives(mark) else -signal.SIGKILL)
        if survives(mark):
            break
    assert least < number < AT_MOST
    were_given_in_order(session, *range(1, number + 1))


@pytest.mark.parametrize(("words", "first"), [(["send", "--queue"], 1), (["send"], 2)])
def test_a_supervisor_that_is_killed_leaves_its_prompt_given_once_or_never(
    session: Session, tmp_path: Path, words: list[str], first: int
) -> None:
    refused = []
    for number in count(first, STEP):
        mark = tmp_path / f"mark-{number}"
        point = dies_at_effect(
            SUPERVISOR, number, mark, with_children=number // STEP % 3 == 2
        )
        prompt = f"Prompt {number}."
        with at_rest(session):
            said = session.sessions(*words, session.id, prompt, env=sabotaged(point))
            # What is queued is in the queue, whatever becomes of its delivery.
            assert said.code in ({0} if "--queue" in words else {0, 1}), said
            if "cannot start a supervisor" in said.stderr and "--queue" not in words:
                refused.append(prompt)
        if "--queue" in words:
            assert prompt in [task for task, _ in session.queued]
        if survives(mark):
            break
    assert 20 < number < AT_MOST
    were_given_in_order(session, *range(first, number + 1, STEP))
    # The sender was told that nothing was recorded, and may send it again.
    assert not set(refused) & set(session.given)


def were_given_in_order(session: Session, *numbers: int) -> None:
    """Check that Codex was given the last prompt, and others before it in order."""
    prompts = [f"Prompt {number}." for number in numbers]
    # A prompt whose turn had not begun when Codex was killed is given again, at once.
    given = [prompt for prompt, _ in groupby(session.given)]
    assert given[-1] == prompts[-1]
    assert given[1:] == [each for each in prompts if each in given]
    begun = session.sessions.stand_in.begun(session.id)
    assert len(begun) == len(set(begun))


def test_a_supervisor_that_is_killed_loses_no_prompt_that_waits(
    sessions: Sessions, holding: Holding, tmp_path: Path
) -> None:
    session = sessions.ended()
    for number in count(STEP, STEP):
        mark = tmp_path / f"mark-{number}"
        # Every other time Codex is killed with it.
        both = number // STEP % 2 == 0
        point = dies_at_effect(SUPERVISOR, number, mark, with_children=both)
        with at_rest(session):
            said = session.send(f"hold {number}.", env=sabotaged(point))
            assert said.code in {0, 1}
            assert session.queue(f"Queued {number}.").code == 0
            holding.let_go(number)
        if survives(mark):
            break
    assert 5 < number < AT_MOST
    for prompt in (f"Queued {n}." for n in range(STEP, number + 1, STEP)):
        assert (prompt, "done") in session.queued
        assert session.given.count(prompt) == 1


@pytest.mark.parametrize(("who", "least"), [(TASKS, 4), (SUPERVISOR, 20)])
def test_a_reader_that_is_killed_while_it_delivers_loses_no_prompt(
    sessions: Sessions, holding: Holding, tmp_path: Path, who: str, least: int
) -> None:
    session = sessions.ended()
    for number in count(1, STEP):
        assert session.send(f"hold {number}.").code == 0
        session.wait_for_run(len(session.records))
        assert session.queue(f"Queued {number}.").code == 0
        session.lose(supervisor=True, codex=True)
        mark = tmp_path / f"mark-{number}"
        point = dies_at_effect(who, number, mark)
        with at_rest(session):
            sessions("status", session.id, env=sabotaged(point))
        holding.let_go(number)
        assert session.given[-1] == f"Queued {number}."
        if survives(mark):
            break
    assert least < number < AT_MOST


@pytest.mark.parametrize(
    "other", [None, ("os.chdir", "'/'"), ("os.posix_spawn", "exec")]
)
def test_a_start_that_is_killed_leaves_a_session_that_ends_or_nothing(
    sessions: Sessions,
    codex: StandIn,
    tmp_path: Path,
    other: tuple[str, str] | None,
) -> None:
    # Its supervisor is killed too, or goes on.
    others = [dies(SUPERVISOR, *other)] if other else []
    for number in count(1):
        mark = tmp_path / f"mark-{number}"
        points = (dies_at_effect(TASKS, number, mark), *others)
        said = sessions(*sessions.starting(f"Prompt {number}."), env=sabotaged(*points))
        if survives(mark):
            break
        assert said.code == -signal.SIGKILL
        assert said.stdout.count("\n") <= 1
    assert 1 < number < AT_MOST

    wait_until(lambda: not sessions.running, 20, "the end of all runs")

    records = sessions.records
    given = [run["stdin"] for run in codex.runs]
    assert len(given) == len(set(given))
    ends = {"succeeded"} if other is None else {"succeeded", "not_started", "lost"}
    assert {r["outcome"] for r in records} <= ends
    done = [r["task"] for r in records if r["outcome"] == "succeeded"]
    assert sorted(done) == sorted(given)
    listed = sessions.listed()
    assert len(listed) == len(records)
    assert not list(sessions.state_home.glob("[!.]*/.*.tmp"))


def test_a_supervisor_that_is_killed_while_its_session_gets_its_name_leaves_it_whole(
    sessions: Sessions, codex: StandIn, tmp_path: Path
) -> None:
    for number in count(2, STEP):
        mark = tmp_path / f"mark-{number}"
        point = dies_at_effect(
            SUPERVISOR, number, mark, with_children=number // STEP % 2 == 1
        )
        said = sessions(*sessions.starting(f"Prompt {number}."), env=sabotaged(point))
        if survives(mark):
            break
        if said.code == 0:
            assert sessions("status", said.stdout.strip()).code == 0
    assert 5 < number < AT_MOST

    wait_until(lambda: not sessions.running, 20, "the end of all runs")

    given = [run["stdin"] for run in codex.runs]
    assert len(given) == len(set(given))
    ends = {record["task"]: record["outcome"] for record in sessions.records}
    assert set(ends.values()) <= {"succeeded", "not_started", *KILLED}
    assert {task for task, end in ends.items() if end == "succeeded"} <= set(given)
    listed = sessions("ls", "--json")
    assert (listed.code, listed.stderr) == (0, "")
    for each in rows_of(listed.stdout):
        session = Session(each["id"], sessions)
        status = session.status
        if status["directory"] is None:
            # Codex was never heard of: the session is known by its run.
            assert [each["last_run"]] == [r["run_id"] for r in session.records]
            assert session.records[0]["session_id"] is None
            continue
        place = Path(status["directory"])
        assert json.loads((place / "task.json").read_bytes())["id"] == session.id
        assert not (place / "task.pid").exists()
        if each["outcome"] == "succeeded":
            assert session.result().code == 0
            assert session.prompts == session.given
            assert session.send("More.").code == 0
            assert session.wait().code == 0
            assert session.given[-1] == session.prompts[-1] == "More."
