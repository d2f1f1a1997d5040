"""Runs of a session fail, or never come to be: nothing is lost, nothing pretended."""

import time
from pathlib import Path

import pytest
from support.processes import wait_until
from support.real_codex import holding, parts, used
from support.real_sessions import DEADLINE, RealSession, RealSessions
from support.tasks import Ended

from runner.loopback import LoopbackServer

BROKEN = 'model = "gpt-5.1-codex\n'


@pytest.fixture
def session(sessions: RealSessions) -> RealSession:
    """Start a session that has answered once."""
    session = sessions.start("say: the old answer")
    assert session.wait().code == 0
    return session


def _died(session: RealSession, outcome: str, words: str) -> None:
    status = session.status
    assert (status["state"], status["outcome"]) == ("DIED", outcome)
    assert words in status["error"]
    assert status["last_result"] is None
    assert status["previous_result"]["text"] == "the old answer"
    assert (session.json["state"], session.json["outcome"]) == ("DIED", outcome)
    answer = session.result()
    assert (answer.code, answer.stdout) == (1, "")
    assert outcome in answer.stderr
    assert words in answer.stderr


def test_what_waits_behind_a_limit_waits_for_its_end_or_for_a_person(
    session: RealSession, tmp_path: Path
) -> None:
    go, resets = tmp_path / "go", int(time.time()) + 5400
    limited = f"run: {holding(go)}\nfail: 429 resets={resets} primary=100"
    session.send(limited)
    assert session.queue("say: first").code == 0
    assert session.queue("say: second").code == 0
    go.touch()
    session.runs[1].wait_for_end()

    status = session.status
    assert (status["state"], status["outcome"]) == ("RUNNING", "usage_limited")
    assert "hit your usage limit" in status["error"]
    first, second = status["prompts"]
    assert (first["why"], second["why"]) == ("limit", "session")
    until = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(resets))
    assert first["until"].startswith(until)
    assert parts(session.runs[1].summary["token_usage"]) == used(2)

    assert session.sessions("resume", session.id).code == 0

    assert session.wait().code == 0
    assert session.given[2:] == ["say: first", "say: second"]
    assert session.result().stdout == "second\n"


def test_a_queued_prompt_that_hits_a_limit_is_continued_once_by_the_timer(
    session: RealSession, loopback: LoopbackServer
) -> None:
    resets = int(time.time()) + 5400
    session.queue(f"run: true\nfail: 429 resets={resets} primary=100")
    session.wait_for_run(2).wait_for_end()
    assert session.queued[-1][1] == "parked"
    asked = len(loopback.requests_of(session.id))

    session.sessions.let_time_pass()

    # No command is run: what is looked at is the ledger.
    wait_until(lambda: session.queued[-1][1] == "done", DEADLINE, "the continuation")
    assert session.given[-1] == "Continue where you left off."
    assert [record["outcome"] for record in session.records] == [
        "succeeded",
        "usage_limited",
        "succeeded",
    ]
    assert len(loopback.requests_of(session.id)) == asked + 1


def test_after_a_limit_one_session_of_the_home_tries_first(
    sessions: RealSessions, loopback: LoopbackServer, tmp_path: Path
) -> None:
    resets = int(time.time()) + 5400
    all_of_them = [sessions.start("say: hi") for _ in range(4)]
    for each in all_of_them:
        assert each.wait().code == 0
    all_of_them[0].send(f"fail: 429 resets={resets} primary=100")
    all_of_them[0].wait_for_run(2).wait_for_end()
    go = tmp_path / "go"
    for each in all_of_them:
        each.queue(f"run: {holding(go)}\nsay: again")

    def asked() -> int:
        return sum(len(loopback.requests_of(each.id)) for each in all_of_them)

    before = asked()

    sessions.let_time_pass()

    wait_until(lambda: asked() > before, DEADLINE, "the try")
    sessions("ls")
    assert asked() == before + 1
    go.touch()
    for each in all_of_them:
        wait_until(lambda: each.queued[-1][1] == "done", DEADLINE, "the others")  # noqa: B023 - it is awaited here


def test_a_dropped_stream_is_a_failure_and_the_session_goes_on(
    session: RealSession,
) -> None:
    assert session.send("run: true\ndrop").code == 0
    assert session.wait().code == 1

    _died(session, "failed", "stream closed before response.completed")
    assert parts(session.runs[1].summary["token_usage"]) == used(2)
    assert session.send("say: on again").code == 0
    assert session.wait().code == 0
    assert session.result() == Ended(0, "on again\n", "")
    assert session.status["state"] == "STOPPED"


def test_mail_behind_a_failure_is_delivered(
    session: RealSession, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    session.send(f"run: {holding(go)}\nfail: 500")
    session.queue("say: all the same")
    go.touch()

    session.wait()

    assert [run.meta["outcome"] for run in session.runs] == [
        "succeeded",
        "failed",
        "succeeded",
    ]
    assert session.result() == Ended(0, "all the same\n", "")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["-c", "nonsense"], "nonsense"),
        (["-c", "model_provider=nobody"], "nobody"),
    ],
)
def test_what_codex_refuses_is_told_in_its_words(
    sessions: RealSessions, more: list[str], words: str
) -> None:
    said = sessions.try_start(*more, "say: hi")

    assert (said.code, said.stdout) == (1, "")
    assert words in said.stderr
    assert "recorded as run " in said.stderr
    _is_on_record(sessions, said.stderr)


def test_a_directory_without_git_is_refused_in_codex_s_words(
    sessions: RealSessions, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"

    refused = sessions.try_start("--working-dir", plain, "say: hi")
    allowed = sessions.start("--working-dir", plain, "--skip-git-repo-check", "say: hi")

    assert (refused.code, refused.stdout) == (1, "")
    assert "Not inside a trusted directory" in refused.stderr
    assert allowed.wait().code == 0
    assert allowed.send("say: again").code == 0
    assert allowed.wait().code == 0


def test_a_broken_configuration_is_told_in_codex_s_words(
    sessions: RealSessions, tmp_path: Path
) -> None:
    config = tmp_path / "other" / "config.toml"
    config.parent.mkdir()
    config.write_text(BROKEN)

    said = sessions.try_start("--config-file", config, "say: hi")

    assert (said.code, said.stdout) == (1, "")
    assert f"Error loading config.toml: {config}:1:23: invalid" in said.stderr
    _is_on_record(sessions, said.stderr)


def test_a_codex_that_is_not_there_leaves_a_record(sessions: RealSessions) -> None:
    said = sessions.try_start("--codex-bin", "no-such-codex", "say: hi")

    assert (said.code, said.stdout) == (1, "")
    assert "no-such-codex" in said.stderr


def _is_on_record(sessions: RealSessions, stderr: str) -> None:
    """Look at the session that has no thread, as the message names it."""
    run_id = stderr.partition("recorded as run ")[2].split(")")[0]
    (listed,) = sessions.all
    assert listed.id == run_id
    status = listed.status
    assert (status["state"], status["outcome"]) == ("DIED", "failed")
    assert status["error"] in stderr
    refused = listed.send("say: again")
    assert (refused.code, refused.stdout) == (1, "")
    assert "has no thread to resume" in refused.stderr


def test_a_missing_key_is_noted_at_once_by_all_that_start_a_run(
    sessions: RealSessions,
) -> None:
    key = ("-c", 'model_providers.loopback.env_key="LOOPBACK_KEY"')
    why = (
        "warning: model provider loopback: LOOPBACK_KEY is not set, which has its key"
        " (set LOOPBACK_KEY)"
    )

    started = sessions.try_start(*key, "say: never")
    session = sessions.named(started.stdout)
    session.wait()
    sent = session.send("say: never")
    ran = sessions.codex(*key, "--task", "say: never")

    assert (started.code, started.stderr) == (0, f"codex_tasks: {why}\n")
    assert (sent.code, sent.stderr.splitlines()[0]) == (0, f"codex_tasks: {why}")
    assert ran.stderr.splitlines()[0] == f"run_codex_task: {why}"
    assert "LOOPBACK_KEY" in session.status["error"]
    assert session.status["outcome"] == "auth_failed"
    session.wait()
