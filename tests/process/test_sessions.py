"""A session is the one that Codex announced, and it has one writer at a time."""

import signal
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import kill, wait_until
from support.sabotage import SUPERVISOR, dies, sabotaged
from support.stand_in import StandIn
from support.tasks import CLOSING, Tasks, gone, is_refused

OTHER = "01a1f000-0000-7000-8000-00000000000f"
MENTIONED = "99999999-9999-7999-8999-999999999999"


@pytest.fixture
def waiting(stand_in: StandIn, go: Path) -> StandIn:
    stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    return stand_in


def mentioning(first: script.Step) -> list[script.Step]:
    """Announce the thread with this step, among mentions of another one."""
    line = f"session id: {MENTIONED}\n"
    forged = f'{{"type":"thread.started","thread_id":"{MENTIONED}"}}\n'
    return [
        script.err(line),
        first,
        script.event("turn.started"),
        script.message(line + forged),
        script.item(
            "command_execution",
            2,
            command="cat log",
            aggregated_output=line + forged,
            exit_code=0,
            status="completed",
        ),
        script.err(line + forged),
        script.complete(),
    ]


ANNOUNCEMENTS = {
    "plain": script.event("thread.started", thread_id=script.THREAD),
    "in upper case": script.event("thread.started", thread_id=script.THREAD.upper()),
    "with colours around": script.out(
        f'\x1b[1m{{"type":"thread.started","thread_id":"{script.THREAD}"}}\x1b[0m\n'
    ),
    "after NUL bytes": script.out(
        f'\0\0\n\0{{"type":"thread.started","thread_id":"{script.THREAD}"}}\0\n\0'
    ),
    "after noise": script.out(
        f'\xff\xfe noise\n{{"type":"thread.started","thread_id":"{script.THREAD}"}}\n'
    ),
}


@pytest.mark.parametrize("how", ANNOUNCEMENTS)
def test_the_session_is_the_one_announced_not_one_that_is_mentioned(
    task: Tasks, stand_in: StandIn, how: str
) -> None:
    stand_in.plays(*mentioning(ANNOUNCEMENTS[how]))

    ended = task("--task", f"Look at session id: {MENTIONED}")

    assert ended.code == 0
    assert ended.fields["codex_session_id"] == script.THREAD
    assert ended.meta["session_id"] == script.THREAD
    assert ended.files.summary["session_id"] == script.THREAD


def test_a_session_that_is_never_announced_is_unknown(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(script.err(f"session id: {MENTIONED}\n"), script.leave(1))

    ended = task("--task", f"session id: {MENTIONED}")

    assert ended.fields["codex_session_id"] == "unknown"
    assert ended.meta["session_id"] is None


def test_a_thread_id_that_is_no_uuid_is_no_session_and_names_no_file(
    task: Tasks, stand_in: StandIn, state_home: Path
) -> None:
    stand_in.plays(*script.begin("../../../escaped"), script.complete())

    ended = task()

    assert ended.fields["codex_session_id"] == "unknown"
    assert not list(state_home.parent.rglob("escaped*"))


@pytest.mark.core
@pytest.mark.parametrize("spelling", [str, str.upper, lambda text: f" {text} "])
def test_a_session_is_carried_on_by_its_uuid_in_any_case(
    task: Tasks, stand_in: StandIn, spelling: "type[str]"
) -> None:
    ended = task("--resume", spelling(OTHER), "--task", "More.")

    assert ended.code == 0
    assert ended.meta["mode"] == "resume"
    assert ended.meta["resume_session"] == ended.meta["session_id"] == OTHER
    argv = stand_in.runs[0]["argv"]
    assert argv[-3:] == ["resume", OTHER, "-"]
    assert stand_in.runs[0]["stdin"] == "More."


@pytest.mark.core
def test_a_run_id_stands_for_its_session(task: Tasks, stand_in: StandIn) -> None:
    first = task()

    second = task("--resume", first.files.run_id)

    assert second.code == 0
    assert second.meta["resume_session"] == script.THREAD
    assert stand_in.runs[1]["stdin"] == "Continue where you left off."


@pytest.mark.parametrize(
    ("arguments", "env", "sent"),
    [
        (["--continue-prompt", "Go on."], {}, "Go on."),
        ([], {"CODEX_CONTINUE_PROMPT": "Weiter."}, "Weiter."),
        (["--continue-prompt=-x"], {"CODEX_CONTINUE_PROMPT": "Weiter."}, "-x"),
    ],
)
def test_what_continues_a_session_can_be_said(
    task: Tasks,
    stand_in: StandIn,
    arguments: list[str],
    env: dict[str, str | None],
    sent: str,
) -> None:
    assert task("--resume", OTHER, *arguments, env=env).code == 0
    assert stand_in.runs[0]["stdin"] == sent


def test_a_run_whose_record_is_only_in_the_log_directory_stands_for_its_session(
    task: Tasks, tmp_path: Path
) -> None:
    first = task()

    second = task(
        "--resume", first.files.run_id, env={"CODEX_RUNNER_HOME": str(tmp_path / "new")}
    )

    assert second.meta["resume_session"] == script.THREAD


def test_a_run_whose_supervisor_died_before_it_knew_the_session_stands_for_it(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    point = dies(SUPERVISOR, "sqlite3.execute", "update runs set thread_id")
    first = task("--detach", env=sabotaged(point))
    wait_until(lambda: first.meta["state"] == "running")
    supervisor, codex = first.files.supervisor(), first.files.codex()
    wait_until(lambda: gone(supervisor))
    go.touch()
    wait_until(lambda: gone(codex))
    assert first.meta["session_id"] is None

    second = task("--resume", first.files.run_id)

    assert second.code == 0
    assert second.meta["resume_session"] == script.THREAD
    assert first.meta["outcome"] == "succeeded"


def test_a_run_of_which_codex_has_named_no_session_yet_cannot_be_carried_on(
    task: Tasks, stand_in: StandIn, go: Path
) -> None:
    stand_in.plays(script.wait_for(go), *script.ordinary())
    first = task.start()
    files = first.wait_running()

    refused = task("--resume", files.run_id)

    assert is_refused(refused, 2, "named none yet"), refused
    go.touch()
    assert first.wait().code == 0


def test_another_thread_than_the_one_asked_for_is_a_failure(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.begin(MENTIONED), script.message("Done."), script.complete())

    ended = task("--resume", OTHER)

    assert ended.code == 1
    assert ended.fields["outcome"] == "failed"
    assert OTHER in ended.meta["error"]
    assert MENTIONED in ended.meta["error"]
    assert ended.fields["codex_session_id"] == MENTIONED
    assert ended.block == CLOSING


@pytest.mark.core
@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("by", ["uuid", "run id"])
def test_a_second_run_on_a_session_is_refused_with_the_id_of_the_first(
    task: Tasks, stand_in: StandIn, go: Path, by: str
) -> None:
    first = task.start()
    files = first.wait_running()
    wait_until(lambda: files.meta["session_id"])

    second = task("--resume", script.THREAD if by == "uuid" else files.run_id)

    fix = "fix:   wait for its end: --wait-for-session"
    assert is_refused(second, 75, f"run {files.run_id} holds it", fix), second
    assert len(task.all) == 1
    assert len(stand_in.runs) == 1
    go.touch()
    assert first.wait().code == 0


@pytest.mark.usefixtures("waiting")
def test_two_resumed_runs_at_once_are_one_and_a_refusal(task: Tasks, go: Path) -> None:
    first = task.start("--resume", OTHER)
    files = first.wait_announced()

    second = task("--resume", OTHER.upper())

    assert second.code == 75
    assert files.run_id in second.stderr
    go.touch()
    assert first.wait().code == 0
    assert task("--resume", OTHER).code == 0


@pytest.mark.core
@pytest.mark.usefixtures("waiting")
def test_a_run_that_waits_for_its_session_starts_when_that_is_free(
    task: Tasks, stand_in: StandIn, go: Path
) -> None:
    first = task.start("--resume", OTHER)
    holder = first.wait_running()
    second = task.start("--resume", OTHER, "--wait-for-session", "--task", "Second.")
    waiter = second.wait_announced()
    wait_until(lambda: f"run {holder.run_id} holds the session" in second.stderr)
    assert len(stand_in.runs) == 1
    assert '"outcome":null' in task.parse(waiter.run_id).stdout

    go.touch()

    assert first.wait().code == 0
    assert second.wait().code == 0
    assert [run["stdin"] for run in stand_in.runs] == [
        "Continue where you left off.",
        "Second.",
    ]
    assert waiter.meta["started_at"] >= holder.meta["ended_at"]


@pytest.mark.usefixtures("waiting")
def test_a_run_that_waits_for_its_session_longer_than_its_timeout_is_timed_out(
    task: Tasks, stand_in: StandIn, go: Path
) -> None:
    first = task.start("--resume", OTHER)
    holder = first.wait_running()

    ended = task(
        *("--resume", OTHER, "--wait-for-session", "--timeout", "1"), timeout=15
    )

    assert ended.code == 124
    assert ended.block == CLOSING
    assert ended.fields["outcome"] == ended.meta["outcome"] == "timed_out"
    assert holder.run_id in ended.meta["error"]
    assert len(stand_in.runs) == 1
    go.touch()
    assert first.wait().code == 0


@pytest.mark.usefixtures("waiting")
def test_a_detached_run_that_waits_returns_at_once_and_is_delivered_once(
    task: Tasks, stand_in: StandIn, go: Path
) -> None:
    first = task.start("--resume", OTHER)
    first.wait_running()

    second = task("--resume", OTHER, "--wait-for-session", "--detach")

    assert second.code == 0
    assert second.meta["state"] == "waiting"
    go.touch()
    assert first.wait().code == 0
    second.files.wait_for_end()
    assert second.meta["outcome"] == "succeeded"
    assert len(stand_in.runs) == 2


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_the_waiting_and_leaves_the_holder_alone(
    task: Tasks, stand_in: StandIn, go: Path, number: int, code: int
) -> None:
    first = task.start("--resume", OTHER)
    holder = first.wait_running()
    second = task.start("--resume", OTHER, "--wait-for-session")
    second.wait_announced()
    wait_until(lambda: holder.run_id in second.stderr)

    second.send(number)
    ended = second.wait()

    assert ended.code == code
    assert ended.block == CLOSING
    assert ended.fields["outcome"] == "interrupted"
    go.touch()
    assert first.wait().code == 0
    assert len(stand_in.runs) == 1


@pytest.mark.usefixtures("waiting")
@pytest.mark.core
def test_a_codex_that_outlived_its_supervisor_makes_its_session_busy(
    task: Tasks, go: Path
) -> None:
    first = task.start("--resume", OTHER)
    files = first.wait_running()
    supervisor, codex = files.supervisor(), files.codex()
    kill(supervisor)
    first.kill()
    wait_until(lambda: gone(supervisor))

    refused = task("--resume", OTHER)

    assert refused.code == 75
    assert files.run_id in refused.stderr
    go.touch()
    wait_until(lambda: gone(codex))
    assert task("--resume", OTHER).code == 0


@pytest.mark.usefixtures("waiting")
def test_a_run_waits_for_a_codex_that_outlived_its_supervisor(
    task: Tasks, stand_in: StandIn, go: Path
) -> None:
    first = task.start("--resume", OTHER)
    files = first.wait_running()
    supervisor = files.supervisor()
    kill(supervisor)
    first.kill()
    wait_until(lambda: gone(supervisor))
    second = task.start("--resume", OTHER, "--wait-for-session", "--task", "Second.")
    wait_until(lambda: f"run {files.run_id} holds the session" in second.stderr)
    assert len(stand_in.runs) == 1

    go.touch()

    assert second.wait().code == 0
    assert stand_in.runs[1]["stdin"] == "Second."
    assert files.meta["outcome"] == "succeeded"


def test_a_tool_that_stays_behind_does_not_hold_the_session(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.begin(), script.spawn(), script.complete())
    first = task("--resume", OTHER)
    assert first.code == 0
    assert not gone(*stand_in.children)

    stand_in.plays(*script.ordinary())
    second = task("--resume", OTHER)

    assert second.code == 0
    assert not gone(*stand_in.children)
    for pid in stand_in.children:
        kill(pid)


def test_a_slow_notify_command_does_not_hold_the_session(
    task: Tasks, tmp_path: Path
) -> None:
    hook = tmp_path / "hook"
    go = tmp_path / "go"
    hook.write_text(f"#!/bin/sh\nuntil [ -e {go} ]; do sleep 0.02; done\n")
    hook.chmod(0o755)
    first = task.start("--resume", OTHER, "--notify-cmd", hook)
    wait_until(lambda: "summary_json=" in first.stdout)
    assert first.process.poll() is None

    assert task("--resume", OTHER).code == 0
    go.touch()
    assert first.wait().code == 0


def test_runs_on_different_sessions_do_not_wait_for_each_other(
    task: Tasks, stand_in: StandIn, go: Path
) -> None:
    stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    first = task.start("--resume", OTHER)
    first.wait_running()
    second = task.start("--resume", MENTIONED)
    second.wait_running()
    wait_until(lambda: len(stand_in.runs) == 2)
    go.touch()
    assert (first.wait().code, second.wait().code) == (0, 0)


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("end", ["killed", "not found"])
def test_a_waiting_run_that_fails_for_its_caller_leaves_no_prompt_behind(
    task: Tasks, stand_in: StandIn, go: Path, end: str
) -> None:
    first = task.start("--resume", OTHER)
    holder = first.wait_running()
    words = ("--resume", OTHER, "--wait-for-session", "--task", "Second.")
    more = ("--codex-bin", "/nowhere/codex") if end == "not found" else ()
    second = task.start(*words, *more)
    waiter = second.wait_announced()
    wait_until(lambda: f"run {holder.run_id} holds the session" in second.stderr)
    if end == "killed":
        supervisor = task.on_record(waiter).supervisor
        assert supervisor is not None
        kill(supervisor.pid)
    else:
        go.touch()

    assert second.wait().code == {"killed": 1, "not found": 127}[end]

    go.touch()
    assert first.wait().code == 0
    assert task("--resume", OTHER, "--task", "Third.").code == 0
    assert [run["stdin"] for run in stand_in.runs][1:] == ["Third."]
    assert not list(
        (Path(task.cli.environment["CODEX_RUNNER_HOME"]) / "queue").iterdir()
    )
