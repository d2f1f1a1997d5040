"""A prompt is delivered when its turn has begun; until then it keeps its place."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import wait_until
from support.sabotage import SUPERVISOR, dies, sabotaged
from support.sessions import Session, Sessions
from support.stand_in import StandIn

UNREADABLE = """\
Error loading config.toml: /home/me/.codex/config.toml:1:8: invalid type
"""
GONE = "Error: thread/resume: no rollout found for thread id $THREAD (code -32600)\n"
UNTRUSTED = """\
Not inside a trusted directory and --skip-git-repo-check was not specified.
"""
OPTION = """\
error: unexpected argument '--frobnicate' found

For more information, try '--help'.
"""
WRITER = "Error: thread/resume: thread $THREAD already has an active writer\n"


@pytest.fixture
def session(sessions: Sessions) -> Session:
    """Start a session that has answered once."""
    return sessions.ended()


def refuses(codex: StandIn, *words: str) -> None:
    """Let Codex end before its turn begins, with these words."""
    codex.plays(*map(script.err, words), script.leave(1), thread=script.FRESH)


def answers(codex: StandIn) -> None:
    """Let Codex do well again."""
    codex.plays(*script.ordinary(), thread=script.FRESH)


def wait_for_runs(session: Session, number: int) -> None:
    """Wait until a session has so many runs, and all of them are over."""

    def are_over() -> bool:
        ends = [record["ended_at"] for record in session.records]
        return len(ends) >= number and all(ends)

    wait_until(are_over, 20, f"the end of {number} runs")


def why(session: Session) -> list[str | None]:
    """Give in one word each why the prompts of a session wait."""
    return [each["why"] for each in session.status["prompts"]]


def seconds_until(session: Session) -> float:
    """Give how long it is until the first prompt is tried again."""
    until = datetime.fromisoformat(session.status["prompts"][0]["until"])
    return (until - datetime.now(UTC)).total_seconds()


@pytest.mark.core
def test_a_prompt_keeps_its_place_when_codex_ends_before_its_turn(
    session: Session, codex: StandIn
) -> None:
    refuses(codex)
    assert session.queue("One.").code == 0
    wait_for_runs(session, 2)

    assert session.queued == [("One.", "queued")]
    assert why(session) == ["retry"]
    assert 0 < seconds_until(session) <= 10
    answers(codex)
    session.sessions.let_time_pass()

    assert session.wait().code == 0

    assert codex.begun(session.id) == ["Begin.", "One."]
    assert session.queued == [("One.", "done")]
    assert session.sessions("verify").code == 0


def test_what_is_sent_behind_a_prompt_that_came_back_stays_behind_it(
    session: Session, codex: StandIn
) -> None:
    refuses(codex)
    session.queue("One.")
    wait_for_runs(session, 2)
    answers(codex)

    assert session.queue("Two.").code == 0

    assert session.wait().code == 0
    assert codex.begun(session.id) == ["Begin.", "One.", "Two."]


def test_codex_that_ends_early_again_and_again_holds_the_prompt_for_a_person(
    session: Session, codex: StandIn
) -> None:
    refuses(codex, "Error: the weather is bad\n")
    session.queue("One.")
    for number in range(2, 5):
        wait_for_runs(session, number)
        assert why(session) == ["retry"]
        session.sessions.let_time_pass()
        session.sessions("ls")
    wait_for_runs(session, 5)

    assert why(session) == ["held"]
    assert session.state == "DIED"
    assert "the weather is bad" in session.status["queue_held"]
    assert session.wait().code == 1
    assert len(session.records) == 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (UNREADABLE, "invalid type"),
        (GONE, "no rollout found"),
        (UNTRUSTED, "Not inside a trusted directory"),
        (OPTION, "--frobnicate"),
    ],
)
def test_what_only_a_person_can_change_holds_the_prompt_until_one_sends(
    session: Session, codex: StandIn, words: str, sentence: str
) -> None:
    refuses(codex, words)
    session.queue("One.")
    wait_for_runs(session, 2)
    session.sessions("ls")

    assert why(session) == ["held"]
    assert session.state == "DIED"
    assert sentence in session.status["prompts"][0]["detail"]
    assert sentence in session.sessions("status", session.id).stdout
    assert len(session.records) == 2
    assert session.sessions("verify").code == 0
    answers(codex)
    refused = session.send("Two.")
    assert refused.code == 75
    assert "delivers the first now" in refused.stderr
    assert session.wait().code == 0
    assert codex.begun(session.id) == ["Begin.", "One."]


def test_codex_that_sees_another_writer_is_started_again_later_and_never_held(
    session: Session, codex: StandIn
) -> None:
    refuses(codex, WRITER)
    session.queue("One.")
    for number in range(2, 7):
        wait_for_runs(session, number)
        assert why(session) == ["writer"]
        assert 0 < seconds_until(session) <= 60
        assert len(session.records) == number
        session.sessions.let_time_pass()
        session.sessions("ls")
    wait_for_runs(session, 7)
    answers(codex)
    session.sessions.let_time_pass()

    assert session.wait().code == 0

    assert codex.begun(session.id) == ["Begin.", "One."]


@pytest.mark.usefixtures("without_timer")
def test_a_prompt_whose_supervisors_are_killed_before_the_launch_is_not_held(
    session: Session, codex: StandIn
) -> None:
    killed = sabotaged(dies(SUPERVISOR, "os.posix_spawn", "exec"))
    assert session.queue("One.", env=killed).code == 0

    def is_waiting() -> bool:
        session.sessions("ls", env=killed)
        wanted = "select starts from prompts where wake_at is not null"
        return session.sessions.rows(wanted) == [(3,)]

    wait_until(is_waiting, 30, "three killed supervisors")

    assert why(session) == ["retry"]
    assert 0 < seconds_until(session) <= 10
    assert session.state == "RUNNING"
    session.sessions.let_time_pass()
    assert session.wait().code == 0
    assert codex.begun(session.id) == ["Begin.", "One."]
    assert [each["outcome"] for each in session.records[1:-1]] == ["lost"] * 3


def test_status_says_of_each_prompt_why_it_waits(
    sessions: Sessions, held: Path
) -> None:
    session = sessions.start()
    (run,) = session.runs
    session.queue("One.")
    session.queue("Two.")

    status = session.status
    said = sessions("status", session.id).stdout

    first, second = status["prompts"]
    assert (first["prompt"], second["prompt"]) == ("One.", "Two.")
    assert (first["why"], second["why"]) == ("session", "session")
    assert run.run_id in first["detail"]
    assert f"#{first['id']}" in second["detail"]
    assert f"#{first['id']} waits: run {run.run_id} is unfinished" in said
    assert f"#{second['id']} waits: it is behind #{first['id']}" in said
    held.touch()
    assert session.wait().code == 0
    assert session.status["prompts"] == []
