"""Threads of plain `codex exec` are imported, and resumed as sessions."""

import pytest
from support.real_codex import RealTasks
from support.real_sessions import RealSession, RealSessions, figures


@pytest.fixture
def thread(codex: RealTasks) -> str:
    """Let `codex exec` work by hand in one thread: twice well, once not."""
    assert codex.by_hand("run: true\nsay: one").code == 0
    (path,) = codex.home.glob("sessions/*/*/*/rollout-*.jsonl")
    name = path.stem[-36:]
    assert codex.by_hand("say: two", "resume", name).code == 0
    assert codex.by_hand("run: true\nfail: 500", "resume", name).code == 1
    return name


def test_a_thread_of_codex_exec_is_imported_with_all_its_turns(
    sessions: RealSessions, thread: str
) -> None:
    before = sessions.codex.rollout(thread).read_bytes()

    said = sessions("import", sessions.codex.home)

    assert said.code == 0, said.stderr
    assert "imported 1 session (3 runs)" in said.stderr
    (session,) = sessions.all
    assert session.id == thread
    status = session.status
    assert (status["state"], status["outcome"]) == ("DIED", "failed")
    assert status["working_dir"] == str(sessions.repo)
    assert figures(status["usage"]) == session.total
    assert status["cost"]["usd"] > 0
    assert status["previous_result"]["text"] == "two"
    assert session.result().code == 1
    log = sessions("log", thread)
    assert log.code == 0
    places = [log.stdout.index(text) for text in ("  one\n", "  two\n", "fail: 500")]
    assert places == sorted(places)
    assert sessions.codex.rollout(thread).read_bytes() == before


def test_an_imported_thread_is_resumed_and_counted_on(
    sessions: RealSessions, thread: str
) -> None:
    sessions("import", sessions.codex.home)
    session = RealSession(thread, sessions)
    # No record says which binary it is: it is the one on the path.
    places = (sessions.stand_in.path.parent, sessions.cli.environment["PATH"])
    path = {"PATH": ":".join(map(str, places))}
    more = session.send("run: true\nsay: three", env=path)
    assert more.code == 0, more.stderr

    assert session.wait().code == 0

    assert session.result().stdout == "three\n"
    assert session.given[-1] == "run: true\nsay: three"
    turns = sessions.codex.records(thread, "turn_context")
    # The turns by hand had another sandbox, which is not taken over.
    policies = [turn["sandbox_policy"]["type"] for turn in turns]
    assert policies == [*["danger-full-access"] * 3, "read-only"]
    status = session.status
    assert status["runs"] == 4
    assert figures(status["usage"]) == session.total
    again = sessions("import", sessions.codex.home)
    assert again.code == 0, again.stderr
    assert "imported 0 sessions (0 runs); 1 already on record" in again.stderr
    assert session.status == status
    assert sessions.codex.by_hand("say: four", "resume", thread).code == 0
    more = sessions("import", sessions.codex.home)
    assert "imported 1 session (1 run)" in more.stderr
    assert session.result().stdout == "four\n"
    assert session.status["runs"] == 5
    assert figures(session.status["usage"]) == session.total


def test_what_codex_tasks_itself_has_done_is_not_imported_again(
    sessions: RealSessions,
) -> None:
    session = sessions.ended("say: one")
    before = session.status

    said = sessions("import", sessions.codex.home)

    assert said.code == 0, said.stderr
    assert "imported 0 sessions" in said.stderr
    assert len(session.runs) == 1
    assert session.status == before
