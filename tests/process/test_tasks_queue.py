"""What waits in a queue is delivered when its turn comes, unless it is held back."""

import json
import re
import time
from pathlib import Path

import pytest
from support import stand_in as script
from support.commands import rows_of
from support.processes import wait_until
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import is_refused

LIMIT = "You've hit your usage limit. Try again later."


@pytest.fixture
def busy(sessions: Sessions, codex: StandIn, go: Path) -> Session:
    """Start a session whose runs wait for the test."""
    codex.plays(
        *script.begin(),
        script.wait_for(go),
        script.when("limited", *script.fail(LIMIT)),
        script.when("log in", *script.fail("401 Unauthorized: not logged in")),
        script.when("fail", *script.fail("it did not work")),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    return sessions.start()


def resume(session: Session, prompt: str, go: Path) -> None:
    """Bring the session to rest, and begin a run with this prompt."""
    go.touch()
    session.wait()
    go.unlink()
    assert session.send(prompt).code == 0


@pytest.mark.core
def test_what_is_queued_for_a_free_session_is_given_at_once(
    sessions: Sessions,
) -> None:
    session = sessions.ended()

    said = session.queue("Next.")

    assert (said.code, said.stdout) == (0, "")
    assert session.wait().code == 0
    assert session.given == ["Begin.", "Next."]


def test_the_caller_is_told_where_in_the_queue_a_prompt_stands(
    busy: Session, go: Path
) -> None:
    first, second = busy.queue("One."), busy.queue("Two.")

    assert first.stderr.endswith("queued\n")
    assert "queued, 1 before it" in second.stderr
    assert busy.status["queue"] == 2
    assert busy.sessions.listed()[busy.id]["queue"] == 2
    assert busy.sessions("ls").stdout.endswith("\t2\n")
    assert "Queue: 2 waiting" in busy.sessions("status", busy.id).stdout
    go.touch()
    assert busy.wait().code == 0
    assert busy.given == ["Begin.", "One.", "Two."]


@pytest.mark.core
def test_what_is_queued_does_not_need_its_sender(busy: Session, go: Path) -> None:
    busy.queue("Next.")

    go.touch()
    busy.wait_for_run(2).wait_for_end()

    assert busy.given == ["Begin.", "Next."]


@pytest.mark.core
def test_an_ordinary_send_does_not_overtake_what_waits(busy: Session, go: Path) -> None:
    busy.queue("One.")

    assert busy.send("Two.").code == 75
    go.touch()
    assert busy.wait().code == 0

    assert busy.given == ["Begin.", "One."]


def test_who_would_overtake_what_is_held_is_told_what_is_worked_on_instead(
    busy: Session, go: Path
) -> None:
    resume(busy, "fail", go)
    busy.queue("One.")
    busy.queue("Two.")
    busy.sessions.change("update prompts set hold = 'Look.' where preview = 'One.'")
    go.touch()
    busy.wait()

    refused = busy.send("Three.")

    run_id = busy.records[2]["run_id"]
    told = f"has waiting prompts (2): run {run_id} delivers the first now"
    fix = "fix:   codex-tasks send --queue "
    assert is_refused(refused, 75, told, fix), refused
    assert "is busy" not in refused.stderr
    busy.wait()
    assert busy.given == ["Begin.", "fail", "One.", "Two."]


@pytest.mark.core
def test_a_quit_ends_the_session_after_what_stands_before_it(
    busy: Session, go: Path
) -> None:
    for prompt in ("One.", " /exit\n"):
        assert busy.queue(prompt).code == 0
    number = busy.status["prompts"][1]["id"]
    text = busy.sessions("status", busy.id).stdout
    assert f"  #{number} /quit waits: it is behind" in text

    for refused in (
        busy.queue("Two."),
        busy.queue("/exit"),
        busy.send("Three."),
    ):
        told = f"a /quit waits (prompt {number})"
        fix = f"fix:   codex-tasks stop {busy.id}"
        assert is_refused(refused, 75, told, fix), refused

    go.touch()
    assert busy.wait().code == 0

    assert busy.given == ["Begin.", "One."]
    status = busy.status
    assert (status["state"], status["queue"]) == ("STOPPED", 0)
    assert [state for _, state in busy.queued] == ["done", "done"]
    assert status["skipped"] == 0
    assert busy.send("On again.").code == 0
    assert busy.wait().code == 0
    assert busy.given == ["Begin.", "One.", "On again."]


def test_a_quit_lets_the_run_in_flight_finish(busy: Session, go: Path) -> None:
    busy.queue("/quit")
    assert busy.state == "RUNNING"

    go.touch()
    assert busy.wait().code == 0

    assert busy.result().stdout == "answer to Begin.\n"
    assert busy.state == "STOPPED"


def test_a_quit_to_an_idle_session_says_that_there_is_nothing_to_end(
    sessions: Sessions,
) -> None:
    session = sessions.ended()

    for sent in (session.send("/quit"), session.queue(" /quit\n")):
        assert sent.code == 0
        assert "queued" not in sent.stderr
        assert "/quit has nothing to end" in sent.stderr

    assert session.given == ["Begin."]
    status = session.status
    assert (status["state"], status["queue"]) == ("STOPPED", 0)
    assert status["skipped"] == 0


def test_a_quit_behind_a_limit_ends_the_session_after_what_waits_before_it(
    busy: Session, go: Path
) -> None:
    resume(busy, "limited", go)
    go.touch()
    busy.wait()

    assert busy.queue("/quit").code == 0
    status = busy.status
    assert (status["queue"], status["skipped"]) == (0, 0)

    resume(busy, "limited again", go)
    busy.queue("One.")
    go.touch()
    busy.runs[2].wait_for_end()
    assert "1 before it" in busy.queue("/quit").stderr
    status = busy.status
    assert [each["why"] for each in status["prompts"]] == ["limit", "session"]
    assert busy.queue("Two.").code == 75
    assert busy.send("Two.").code == 75
    busy.sessions.let_time_pass()
    busy.wait()
    assert busy.given == ["Begin.", "limited", "limited again", "One."]
    status = busy.status
    assert (status["queue"], status["skipped"]) == (0, 0)


@pytest.mark.parametrize(
    ("prompt", "outcome", "word"),
    [("limited", "usage_limited", "limit"), ("log in", "auth_failed", "login")],
)
def test_what_waits_behind_a_limit_waits_for_its_end_or_for_a_person(
    busy: Session, go: Path, prompt: str, outcome: str, word: str
) -> None:
    resume(busy, prompt, go)
    busy.queue("One.")
    busy.queue("Two.")
    go.touch()
    busy.runs[1].wait_for_end()

    late = busy.sessions("status", "--wait", "--timeout", "0.5", busy.id)

    assert late.code == 124
    assert "of its account" in late.stderr
    short = busy.status["short_id"]
    assert f"{short} is parked" in late.stderr
    assert f"after 0.5 s still parked: {short}\n" in late.stderr
    assert not re.search(r"\d\d:\d\d:\d\d", late.stderr)
    assert busy.id not in late.stderr
    status = busy.status
    assert (status["state"], status["outcome"]) == ("RUNNING", outcome)
    assert [each["why"] for each in status["prompts"]] == [word, "session"]
    assert busy.queue("Three.").code == 0
    assert busy.given == ["Begin.", prompt]

    assert busy.sessions("resume", busy.id).code == 0
    assert busy.wait().code == 0
    assert busy.given[2:] == ["One.", "Two.", "Three."]
    assert busy.status["queue"] == 0


def test_a_queued_prompt_that_hits_a_limit_goes_on_after_it(
    busy: Session, go: Path
) -> None:
    go.touch()
    busy.wait()
    busy.queue("limited")
    busy.queue("One.")
    busy.runs[1].wait_for_end()
    assert busy.queued == [("limited", "parked"), ("One.", "queued")]

    busy.sessions.let_time_pass()
    busy.sessions("ls")
    busy.wait()

    assert busy.given == ["Begin.", "limited", "Continue where you left off.", "One."]
    assert busy.queued == [("limited", "done"), ("One.", "done")]


def test_a_stop_says_that_it_has_canceled_a_parked_prompt(
    busy: Session, go: Path
) -> None:
    go.touch()
    busy.wait()
    busy.queue("limited")
    busy.runs[1].wait_for_end()

    assert busy.stop().stdout.endswith("1 waiting prompt skipped.\n")

    assert busy.queued == [("limited", "canceled")]


def test_a_prompt_that_does_not_park_ends_at_a_limit(busy: Session, go: Path) -> None:
    go.touch()
    busy.wait()

    busy.send("limited", "--queue", "--no-park")
    busy.runs[1].wait_for_end()

    assert busy.queued == [("limited", "failed")]
    assert busy.state == "DIED"


def test_after_a_limit_one_session_tries_first(
    busy: Session, go: Path, sessions: Sessions
) -> None:
    go.touch()
    others = [busy, *(sessions.ended("Begin.") for _ in range(2))]
    busy.send("limited")
    busy.runs[1].wait_for_end()
    go.unlink()
    for each in others:
        each.queue("Next.")

    sessions.let_time_pass()
    sessions("ls")

    waits = rows_of(sessions("queue", "--json").stdout)
    assert [each["why"] for each in waits] == ["limit", "limit"]
    go.touch()
    wait_until(lambda: sessions("queue").stdout == "Nothing waits.\n", 30)


def test_a_new_login_lets_a_refused_prompt_try_again(busy: Session, go: Path) -> None:
    go.touch()
    busy.wait()
    busy.queue("log in")
    busy.runs[1].wait_for_end()
    assert busy.status["prompts"][0]["why"] == "login"

    home = Path(busy.sessions.cli.environment["CODEX_HOME"])
    (home / "auth.json").write_text("{}")
    busy.sessions("ls")

    assert busy.wait().code == 0
    assert busy.given == ["Begin.", "log in", "Continue where you left off."]


def test_a_failed_turn_is_retried_as_often_as_was_asked_for(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(*script.begin(), *script.fail("stream disconnected before completion"))
    session = sessions.ended()

    session.send("Try.", "--queue", "--retries", "2")
    for number in (2, 3):
        session.runs[number - 1].wait_for_end()
        assert session.status["prompts"][0]["why"] == "retry"
        sessions.let_time_pass()
        sessions("ls")
        session.wait_for_run(number + 1)

    assert session.wait().code == 1
    assert session.queued == [("Try.", "failed")]
    assert session.given[1:] == ["Try.", *["Continue where you left off."] * 2]


@pytest.mark.core
def test_what_waits_behind_a_limit_that_is_over_is_delivered_by_the_next_command(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    resets = int(time.time()) + 3600
    window = {"used_percent": 100.0, "window_minutes": 300, "resets_at": resets}
    limits = {"primary": window, "secondary": None}
    count = {"type": "token_count", "info": None, "rate_limits": limits}
    at = "2026-11-20T10:00:00.000Z"
    line = json.dumps({"timestamp": at, "type": "event_msg", "payload": count})
    rollout = (
        "$CODEX_HOME/sessions/2026/11/20/rollout-2026-11-20T10-00-00-$THREAD.jsonl"
    )
    codex.plays(
        *script.begin(),
        script.wait_for(go),
        script.when("limited", script.write(rollout, line + "\n"), *script.fail(LIMIT)),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    session = sessions.start("limited")
    session.queue("One.")
    go.touch()
    session.runs[0].wait_for_end()

    (waits,) = session.status["prompts"]
    assert waits["why"] == "limit"
    assert waits["until"].startswith(
        time.strftime("%Y-%m-%dT%H:%M", time.gmtime(resets))
    )
    sessions.let_time_pass()
    wait_until(lambda: not session.status["queue"], 60, "the delivery after the limit")

    assert session.wait().code == 0
    assert session.given == ["limited", "One."]


def test_a_run_that_fails_in_an_ordinary_way_holds_nothing_up(
    busy: Session, go: Path
) -> None:
    resume(busy, "fail", go)
    busy.queue("fail again")
    busy.queue("Fine.")
    go.touch()

    busy.wait()

    assert busy.given == ["Begin.", "fail", "fail again", "Fine."]
    assert busy.state == "STOPPED"


def test_a_wait_counts_of_the_runs_for_one_prompt_the_last(
    busy: Session, codex: StandIn, go: Path
) -> None:
    go.touch()
    busy.wait()
    away = codex.path.with_name("away")
    codex.path.rename(away)
    assert busy.queue("One.").code == 0
    away.rename(codex.path)

    waiting = busy.sessions.begin("status", "--wait", "--timeout", "30", busy.id)
    wait_until(lambda: "could not be started" in waiting.stderr)
    busy.sessions.let_time_pass()

    assert waiting.wait(20).code == 0
    outcomes = [record["outcome"] for record in busy.records[1:]]
    assert outcomes == ["not_started", "succeeded"]


def test_a_prompt_that_codex_cannot_be_started_for_is_tried_again_at_intervals(
    busy: Session, codex: StandIn, go: Path
) -> None:
    go.touch()
    busy.wait()
    away = codex.path.with_name("away")
    codex.path.rename(away)

    queued = busy.queue("One.")
    assert queued.code == 0
    assert "queued, but not delivered yet" in queued.stderr
    for _ in range(3):
        busy.sessions("ls")
    said = busy.sessions("status", busy.id).stdout

    status = busy.status
    assert (status["queue"], status["state"]) == (1, "RUNNING")
    assert "Codex could not be started" in status["queue_held"]
    assert "Codex could not be started" in said
    assert [record["outcome"] for record in busy.records[1:]] == ["not_started"]
    timed = busy.sessions("status", "--wait", "--timeout", "0.5", busy.id)
    assert timed.code == 124
    assert "Codex could not be started" in timed.stderr
    away.rename(codex.path)
    assert busy.queue("Two.").code == 0
    assert busy.wait().code == 0
    assert busy.given == ["Begin.", "One.", "Two."]


def test_an_archived_session_takes_no_prompt_and_one_with_prompts_is_not_archived(
    busy: Session, go: Path
) -> None:
    resume(busy, "limited", go)
    busy.queue("One.")
    go.touch()
    busy.runs[1].wait_for_end()

    refused = busy.sessions("archive", busy.id)
    fix = "fix:   codex-tasks queue "
    assert is_refused(refused, 75, "prompts waiting (1)", fix), refused
    assert busy.sessions("rm", busy.id).code == 75
    assert busy.stop().stdout.endswith("1 waiting prompt skipped.\n")
    assert busy.sessions("archive", busy.id).code == 0
    assert busy.send("More.").code == 1
    sent = busy.queue("More.")
    fix = f"fix:   codex-tasks unarchive {busy.id}"
    assert is_refused(sent, 1, "is ARCHIVED", fix), sent
    assert busy.sessions("unarchive", busy.id).code == 0
    assert busy.send("More.").code == 0
    assert busy.wait().code == 0
    assert busy.given == ["Begin.", "limited", "More."]
    assert busy.prompts == busy.given
