"""The real Codex carries sessions on: the right one, with the right settings."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.commands import rows_of
from support.processes import wait_until
from support.real_codex import (
    PARTS,
    RealTasks,
    holding,
    parts,
    used,
    wait_for_command,
)
from support.tasks import Ended, is_refused

from runner.loopback import LoopbackServer

UNKNOWN = "01a1f000-1111-7000-8000-00000000beef"
OLDER = '"cli_version":"0.150.0"'
BUSY = 75


@pytest.fixture
def first(codex: RealTasks) -> Ended:
    ended = codex("--task", "run: true\nsay: begun")
    assert ended.code == 0
    return ended


def test_a_session_is_carried_on_by_any_of_its_names(
    codex: RealTasks, first: Ended
) -> None:
    session = first.fields["codex_session_id"]

    for call, name in enumerate((session, session.upper(), first.files.run_id), 3):
        ended = codex("--resume", name, "--task", "say: carried on")

        assert ended.code == 0
        assert ended.fields["codex_session_id"] == session
        assert ended.meta["mode"] == "resume"
        assert ended.meta["resume_session"] == session
        assert ended.files.summary["resume_session"] == session
        assert ended.files.summary["final_message"] == "carried on"
        assert parts(ended.files.summary["token_usage"]) == used(call)


def test_without_a_task_the_continuation_prompt_is_sent(
    codex: RealTasks, first: Ended, loopback: LoopbackServer
) -> None:
    session = first.fields["codex_session_id"]

    codex("--resume", session)
    codex("--resume", session, "--continue-prompt", "Go on, by flag.")
    env = {"CODEX_CONTINUE_PROMPT": "Go on, by environment."}
    last = codex("--resume", session, env=env)

    assert [request.prompt for request in loopback.requests_of(session)[2:]] == [
        "Continue where you left off.",
        "Go on, by flag.",
        "Go on, by environment.",
    ]
    assert last.files.summary["task"] == "Go on, by environment."


@pytest.mark.parametrize("model", [("-m", "gpt-5"), ("-c", 'model="gpt-5"')])
def test_options_reach_codex_on_resume_too(
    codex: RealTasks, first: Ended, model: tuple[str, str]
) -> None:
    session = first.fields["codex_session_id"]

    ended = codex(
        "--resume", session, "--sandbox", "read-only", *model, "--task", "say: hi"
    )

    assert ended.code == 0
    assert ended.files.summary["model"] == "gpt-5"
    assert ended.files.summary["cost"]["model"] == "gpt-5"
    assert ended.meta["sandbox"] == "read-only"
    before, after = codex.records(session, "turn_context")
    assert before["model"] == "gpt-5.1-codex"
    assert before["sandbox_policy"]["type"] == "danger-full-access"
    assert after["model"] == "gpt-5"
    assert after["sandbox_policy"]["type"] == "read-only"


def test_the_version_on_record_is_the_one_that_went_on(
    codex: RealTasks, first: Ended
) -> None:
    assert first.meta["codex_version"] == "0.169.0"
    rollout = codex.rollout(first.fields["codex_session_id"])
    older = rollout.read_text().replace('"cli_version":"0.169.0"', OLDER, 1)
    rollout.write_text(older)

    ended = codex("--resume", first.files.run_id, "--task", "say: on")

    assert OLDER in rollout.read_text()
    assert ended.meta["codex_version"] == "0.169.0"


def test_three_runs_on_a_session_share_its_total_out(
    codex: RealTasks, first: Ended
) -> None:
    session = first.fields["codex_session_id"]
    second = codex("--resume", session, "--task", "calls: 2\nsay: two")
    third = codex("--resume", second.files.run_id, "--task", "say: three")

    runs = [ended.files.summary for ended in (first, second, third)]
    shares = [parts(run["token_usage"]) for run in runs]
    assert shares == [used(1, 2), used(3, 4, 5), used(6)]
    summed = {part: sum(share[part] for share in shares) for part in PARTS}
    assert summed == codex.total(session)
    whole = json.loads(codex.parse("--log", codex.rollout(session)).stdout)
    assert parts(whole["token_usage"]) == summed
    costs = sum(run["cost"]["usd"] for run in runs)
    assert whole["cost"]["usd"] == pytest.approx(costs)


def test_an_unknown_session_is_refused_and_leaves_none(codex: RealTasks) -> None:
    ended = codex("--resume", UNKNOWN)

    assert is_refused(ended, 2, f"--resume {UNKNOWN}: no such session in ")
    assert codex.all == []
    assert codex.cli("ls", "-a", command="codex_tasks").stdout == ""


def test_a_name_is_no_session(codex: RealTasks) -> None:
    ended = codex("--resume", "my-nice-thread")

    assert ended.code == 2
    assert "is no UUID, name or run id of a session" in ended.stderr
    assert codex.all == []


def test_a_second_run_on_a_session_is_refused_with_the_holder_s_id(
    codex: RealTasks, first: Ended, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    resumed = ("--resume", first.files.run_id, "--task", f"run: {holding(go)}")
    holder = codex.start(*resumed)
    files = holder.wait_running()
    wait_for_command(files)
    began = time.monotonic()

    refused = codex("--resume", first.fields["codex_session_id"].upper())

    fix = "fix:   wait for its end: --wait-for-session"
    assert is_refused(refused, BUSY, files.run_id, fix), refused
    assert time.monotonic() - began < 5
    go.touch()
    assert holder.wait().code == 0
    assert len(codex.all) == 2


def test_a_first_run_holds_its_session_from_the_announcement_on(
    codex: RealTasks, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    holder = codex.start("--task", f"run: {holding(go)}")
    files = holder.wait_running()
    wait_until(lambda: files.meta["session_id"], what="the session id in the record")

    refused = codex("--resume", files.run_id)

    assert refused.code == BUSY
    assert files.run_id in refused.stderr
    go.touch()
    assert holder.wait().code == 0


def test_waiting_for_a_session_runs_after_its_holder(
    codex: RealTasks, first: Ended, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    resumed = ("--resume", first.files.run_id)
    holder = codex.start(*resumed, "--task", f"run: {holding(go)}")
    files = holder.wait_running()
    wait_for_command(files)

    wait = "--wait-for-session"
    waiting = codex.start(*resumed, wait, "--task", "say: after all")
    wait_until(lambda: files.run_id in waiting.stderr, what="the note who holds it")
    assert waiting.wait_announced().meta["state"] == "waiting"
    go.touch()

    assert holder.wait().code == 0
    ended = waiting.wait()
    assert ended.code == 0
    assert ended.files.summary["final_message"] == "after all"
    assert ended.meta["started_at"] >= files.meta["ended_at"]
    assert parts(files.summary["token_usage"]) == used(3, 4)
    assert parts(ended.files.summary["token_usage"]) == used(5)


def test_a_session_that_codex_itself_holds_is_busy_until_it_has_ended(
    codex: RealTasks, first: Ended, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    session = first.fields["codex_session_id"]
    prompt = f"run: {holding(go)}\nsay: by hand"

    with ThreadPoolExecutor(1) as pool:
        by_hand = pool.submit(codex.by_hand, prompt, "resume", session)
        wait_until(
            lambda: len(codex.records(session, "function_call")) == 2,
            what="the command that was run by hand",
        )
        refused = codex("--resume", session, "--task", "say: me too")
        go.touch()

    assert by_hand.result().code == 0
    assert refused.code == 75
    assert "another program writes it, pid" in refused.stderr
    later = codex("--resume", session, "--task", "say: me now").files.summary
    assert later["final_message"] == "me now"
    assert parts(later["token_usage"]) == used(5)


def test_a_run_that_codex_has_moved_is_resumed_where_it_worked(
    codex: RealTasks,
) -> None:
    """With `--worktree`, which Codex refuses when it resumes a thread."""
    first = codex("--task", "run: pwd > place", "--", "--worktree")
    session = first.fields["codex_session_id"]

    def tasks(*words: str) -> str:
        done = codex.cli(*words, command="codex_tasks")
        assert done.returncode == 0, done.stderr
        return done.stdout

    (status,) = rows_of(tasks("status", "--json", session))
    place = Path(status["working_dir"])
    assert place.parent.parent == codex.home / "worktrees"
    tasks("send", session, "run: pwd > sent")
    tasks("status", "--wait", session)
    again = codex("--resume", session, "--task", "run: pwd > resumed")

    assert again.code == 0, again.stderr
    for name in ("place", "sent", "resumed"):
        assert (place / name).read_text() == f"{place}\n"


def test_a_thread_that_codex_has_not_saved_is_refused_at_once(codex: RealTasks) -> None:
    done = codex("--task", "say: done", "--", "--ephemeral")
    assert done.code == 0, done.stderr
    session = done.fields["codex_session_id"]

    why = f"Codex has no rollout of its thread in {codex.home}"
    status = codex.cli("status", session, command="codex_tasks")
    assert f"Note: it cannot be resumed: {why}" in status.stdout
    for words in (["send"], ["send", "--queue"]):
        sent = codex.cli(*words, session, "say: more", command="codex_tasks")
        assert sent.returncode == 1
        assert sent.stderr.endswith(f"cannot be resumed: {why}\n")
    again = codex("--resume", session, "--task", "say: more")
    assert is_refused(again, 2, f"--resume {session}: {why}")
    listed = codex.cli("status", "--json", session, command="codex_tasks")
    (found,) = rows_of(listed.stdout)
    assert (found["runs"], found["queue"]) == (1, 0)
