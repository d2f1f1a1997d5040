"""How a run ended: by its events first, by its exit code second, in Codex's words."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from support import stand_in as script
from support.processes import is_alive, kill, start_time, wait_until
from support.stand_in import StandIn, make_native
from support.tasks import CLOSING, Ended, Tasks, gone

LIMIT = "You’ve hit your usage limit. Try again at 11:35 AM."


def agrees(ended: Ended, outcome: str, code: int) -> bool:
    """Say whether the block, the record, the summary and the log tell the same."""
    return (
        (ended.code, ended.fields["outcome"]) == (code, outcome)
        and ended.block == CLOSING
        and ended.fields["codex_exit_code"] == str(code)
        and (ended.meta["outcome"], ended.meta["exit_code"]) == (outcome, code)
        and ended.files.summary["outcome"] == outcome
        and ended.files.summary["exit_code"] == code
        and ended.files.summary["success"] is (outcome == "succeeded")
        and f"outcome={outcome}\n" in ended.files.log
    )


@pytest.mark.core
def test_a_completed_turn_has_succeeded(task: Tasks) -> None:
    ended = task()

    assert agrees(ended, "succeeded", 0)
    assert ended.meta["error"] is None
    assert ended.meta["process_exit_code"] == 0
    assert ended.meta["signal"] is None


@pytest.mark.core
@pytest.mark.parametrize("code", [0, 1, 7])
def test_a_failed_turn_has_failed_whatever_the_exit_code(
    task: Tasks, stand_in: StandIn, code: int
) -> None:
    *begin, _ = script.fail("The model said no.\nIn two lines.")
    stand_in.plays(*script.begin(), *begin, script.leave(code))

    ended = task()

    assert agrees(ended, "failed", code or 1)
    assert ended.meta["error"] == "The model said no.\nIn two lines."
    assert ended.meta["process_exit_code"] == code
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("code", [1, 101])
def test_a_completed_turn_has_succeeded_whatever_the_exit_code(
    task: Tasks, stand_in: StandIn, code: int
) -> None:
    stand_in.plays(*script.ordinary(), script.leave(code))

    ended = task()

    assert agrees(ended, "succeeded", 0)
    assert ended.meta["process_exit_code"] == code


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (LIMIT, "usage_limited"),
        ("unexpected status 401 Unauthorized", "auth_failed"),
        ("stream disconnected before completion", "failed"),
    ],
)
def test_a_failure_is_told_apart_by_codex_words(
    task: Tasks, stand_in: StandIn, words: str, outcome: str
) -> None:
    stand_in.plays(*script.begin(), *script.fail(words))

    ended = task()

    assert agrees(ended, outcome, 1)
    assert ended.meta["error"] == words
    assert words in ended.stderr


@pytest.mark.core
@pytest.mark.parametrize("code", [0, 3])
def test_without_a_terminal_event_nothing_has_succeeded(
    task: Tasks, stand_in: StandIn, code: int
) -> None:
    stand_in.plays(*script.begin(), script.message("All done."), script.leave(code))

    ended = task()

    assert agrees(ended, "failed", code or 1)
    assert f"exited {code}" in ended.meta["error"]


def test_an_output_cut_in_the_middle_of_its_last_event_is_no_success(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.begin(), script.out('{"type":"turn.compl'))

    ended = task()

    assert agrees(ended, "failed", 1)
    assert ended.meta["warnings"] == {"unfinished_line": 1}


def test_a_terminal_event_without_its_newline_counts(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.begin(), script.out('{"type":"turn.completed"}'))

    assert agrees(task(), "succeeded", 0)


def test_the_last_turn_decides(task: Tasks, stand_in: StandIn) -> None:
    stand_in.plays(
        *script.ordinary(), script.event("turn.started"), script.message("More.")
    )

    assert agrees(task(), "failed", 1)


def test_a_death_before_the_first_event_is_told_in_codex_words(
    task: Tasks, stand_in: StandIn
) -> None:
    words = (
        "Not inside a trusted directory and --skip-git-repo-check was not specified."
    )
    stand_in.plays(script.err(f"\n{words}\n"), script.leave(1))

    ended = task()

    assert agrees(ended, "failed", 1)
    assert ended.meta["error"] == words
    assert words in ended.stderr
    assert words in ended.stdout


@pytest.mark.core
@pytest.mark.parametrize(
    ("signal", "outcome", "code"),
    [
        ("KILL", "interrupted", 137),
        ("TERM", "interrupted", 143),
        ("SEGV", "failed", 139),
        ("ABRT", "failed", 134),
    ],
)
def test_a_codex_that_is_killed_tells_by_which_signal(
    task: Tasks, stand_in: StandIn, signal: str, outcome: str, code: int
) -> None:
    stand_in.plays(*script.begin(), script.die(signal))

    ended = task()

    assert agrees(ended, outcome, code)
    assert ended.meta["signal"] == code - 128
    assert ended.meta["process_exit_code"] is None
    assert f"SIG{signal}" in ended.meta["error"]


@pytest.mark.core
def test_a_binary_that_is_not_there_is_127(task: Tasks, tmp_path: Path) -> None:
    for binary in ("no-such-codex", tmp_path / "no-such-codex"):
        ended = task("--codex-bin", binary)

        assert agrees(ended, "not_started", 127)
        assert str(binary) in ended.meta["error"]
        assert "--codex-bin" in ended.meta["error"]
        assert len(ended.stderr.splitlines()) == 1


def a_binary(path: Path, kind: str) -> Path:
    match kind:
        case "a directory":
            path.mkdir()
        case "not executable":
            path.write_text("#!/bin/sh\n")
            path.chmod(0o644)
        case "no program":
            path.write_bytes(b"\x7fELF nothing")
            path.chmod(0o755)
        case _:
            path.write_text("#!/no/such/interpreter\n")
            path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("a directory", 126),
        ("not executable", 126),
        ("no program", 126),
        ("without its interpreter", 127),
    ],
)
def test_a_binary_that_cannot_be_run_is_told_from_one_that_is_not_there(
    task: Tasks, tmp_path: Path, kind: str, code: int
) -> None:
    binary = a_binary(tmp_path / "unusable", kind)

    ended = task("--codex-bin", binary)

    assert agrees(ended, "not_started", code)
    assert str(binary) in ended.meta["error"]
    assert "Traceback" not in ended.files.log


def test_a_binary_is_found_on_the_callers_path_and_from_the_callers_directory(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    path = f"{stand_in.path.parent}{os.pathsep}{os.environ['PATH']}"

    assert task("--codex-bin", "codex", env={"PATH": path}).code == 0
    assert task("--codex-bin", "./codex", cwd=stand_in.path.parent).code == 0
    assert {run["cwd"] for run in stand_in.runs} == {
        str(tmp_path),
        str(stand_in.path.parent),
    }


@pytest.mark.core
@pytest.mark.parametrize("by", ["flag", "variable"])
def test_a_run_that_takes_too_long_is_ended_with_124(
    task: Tasks, stand_in: StandIn, by: str
) -> None:
    stand_in.plays(*script.begin(), script.spawn(), script.hang())
    arguments = ["--timeout", "0.5"] if by == "flag" else []
    began = time.monotonic()

    ended = task(*arguments, env={"CODEX_TIMEOUT_SECONDS": "0.5"})

    assert agrees(ended, "timed_out", 124)
    assert "0.5 s" in ended.meta["error"]
    assert gone(*stand_in.children)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ([], (None, 2)),
        ([script.on_signal("INT", script.leave(1))], (1, None)),
    ],
    ids=["by the signal", "by itself"],
)
def test_how_codex_went_when_its_time_was_up_is_on_record(
    task: Tasks,
    stand_in: StandIn,
    steps: list[script.Step],
    status: tuple[int | None, int | None],
) -> None:
    stand_in.plays(*script.begin(), *steps, script.hang())

    ended = task("--timeout", "0.5")

    assert agrees(ended, "timed_out", 124)
    assert (ended.meta["process_exit_code"], ended.meta["signal"]) == status


def test_progress_does_not_prolong_the_timeout(task: Tasks, stand_in: StandIn) -> None:
    progress = [script.message("On and on."), script.wait(0.05)]
    stand_in.plays(*script.begin(), script.repeat(200, *progress))

    assert agrees(task("--timeout", "0.6", "--stall-timeout", "0"), "timed_out", 124)


def test_a_turn_that_is_completed_as_the_time_runs_out_has_succeeded(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.ordinary(), script.hang())

    ended = task("--timeout", "0.5")

    assert agrees(ended, "succeeded", 0)


def test_reconnect_messages_are_no_progress(task: Tasks, stand_in: StandIn) -> None:
    stand_in.plays(*script.begin(), script.reconnecting(500))

    ended = task("--stall-timeout", "0.6")

    assert agrees(ended, "stalled", 124)
    assert "no progress for 0.6 s" in ended.meta["error"]
    assert "Reconnecting" in ended.stdout


def test_noise_is_no_progress(task: Tasks, stand_in: StandIn) -> None:
    noise = [script.out("noise\n"), script.err("noise\n"), script.wait(0.02)]
    stand_in.plays(*script.begin(), script.repeat(500, *noise))

    assert agrees(task("--stall-timeout", "0.6"), "stalled", 124)


def test_a_codex_that_says_nothing_at_all_stalls(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(script.hang())

    assert agrees(task("--stall-timeout", "0.5"), "stalled", 124)


def test_a_command_that_is_running_is_progress(task: Tasks, stand_in: StandIn) -> None:
    command: dict[str, Any] = {"command": "make", "exit_code": None}
    stand_in.plays(
        *script.begin(),
        script.item("command_execution", 1, "started", **command, status="in_progress"),
        script.wait(1.5),
        script.item("command_execution", 1, **command, status="completed"),
        script.complete(),
    )

    assert agrees(task("--stall-timeout", "0.6"), "succeeded", 0)


def test_a_rollout_that_grows_is_progress(task: Tasks, stand_in: StandIn) -> None:
    rollout = (
        "$CODEX_HOME/sessions/2026/11/20/rollout-2026-11-20T10-00-00-$THREAD.jsonl"
    )
    grow = [script.write(rollout, '{"type":"event_msg"}\n'), script.wait(0.1)]
    stand_in.plays(*script.begin(), script.repeat(18, *grow), script.complete())

    assert agrees(task("--stall-timeout", "0.8"), "succeeded", 0)


def test_no_limit_is_no_limit(task: Tasks, stand_in: StandIn) -> None:
    stand_in.plays(*script.begin(), script.wait(0.5), script.complete())

    ended = task(
        *("--timeout", "0", "--stall-timeout", "0"),
        env={"CODEX_TIMEOUT_SECONDS": "0.1"},
    )

    assert agrees(ended, "succeeded", 0)


@pytest.mark.core
def test_what_a_run_has_left_running_is_named_and_left_alone(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(
        *script.begin(),
        script.spawn(),
        script.spawn(double_fork=True),
        script.complete(),
    )

    ended = task()

    assert agrees(ended, "succeeded", 0)
    left = {each["pid"] for each in ended.meta["left_running"]}
    assert left == set(stand_in.children)
    assert all(each["name"].startswith("python") for each in ended.meta["left_running"])
    assert all(map(is_alive, stand_in.children))
    for pid in stand_in.children:
        kill(pid)


def test_a_tool_that_keeps_the_output_open_does_not_keep_the_run_going(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.begin(), script.spawn(keep_output=True), script.complete())

    ended = task()

    assert agrees(ended, "succeeded", 0)
    assert ended.meta["left_running"] != []
    for pid in stand_in.children:
        kill(pid)


def test_a_tool_that_is_just_ending_is_not_said_to_be_left_running(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.begin(), script.spawn(seconds=0.2), script.complete())

    assert task().meta["left_running"] == []


def test_output_of_any_kind_and_size_is_kept_byte_for_byte(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(
        *script.begin(),
        script.out(b"\xff\xfe\0\x1b[31m\r\n"),
        script.fill(3_000_000),
        script.out("\n"),
        script.complete(),
    )

    ended = task()

    assert agrees(ended, "succeeded", 0)
    data = ended.files.path(".events.jsonl").read_bytes()
    assert b"\xff\xfe\0\x1b[31m\r\n" + b"x" * 3_000_000 + b"\n" in data
    assert "\x1b" not in ended.stdout
    assert ended.meta["warnings"]["undecodable_line"] == 2


def test_events_of_types_not_known_are_counted_by_name(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(
        *script.begin(),
        script.event("thread.renamed"),
        script.item("hologram"),
        script.complete(),
    )

    ended = task()

    assert agrees(ended, "succeeded", 0)
    wanted = {"unknown_event:thread.renamed": 1, "unknown_item:hologram": 1}
    assert ended.meta["warnings"] == ended.files.summary["warnings"] == wanted


@pytest.mark.parametrize("code", [0, 1])
def test_a_launcher_that_leaves_by_itself_ends_neither_run_nor_session(
    task: Tasks, stand_in: StandIn, tmp_path: Path, code: int
) -> None:
    begin = json.dumps({"type": "thread.started", "thread_id": script.THREAD})
    done = json.dumps({"type": "turn.completed", "usage": None})
    go = tmp_path / "go"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pause = f"until [ -e {go} ]; do read -t 0.02 <> {pipe}; done"  # forks nothing
    shell = f"echo '{begin}'; {pause}; echo '{done}'"
    native = make_native(tmp_path / "native")
    stand_in.plays(script.native(native, shell, leave=code))
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: files.meta["session_id"] and stand_in.natives)
    launcher = files.codex()
    wait_until(lambda: start_time(launcher) is None, what="that its end was noticed")

    second = task("--resume", script.THREAD)

    assert second.code == 75
    assert files.run_id in second.stderr
    assert is_alive(stand_in.natives[0])
    assert files.meta["state"] == "running"
    go.touch()
    ended = begun.wait()
    assert agrees(ended, "succeeded", 0)
    assert ended.meta["process_exit_code"] == 0


def test_a_fork_of_the_native_codex_is_not_taken_for_it(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    begin = json.dumps({"type": "thread.started", "thread_id": script.THREAD})
    done = json.dumps({"type": "turn.completed", "usage": None})
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # A fork that runs no program of its own is named as its parent for two seconds.
    shell = f"echo '{begin}'; ( read -t 2 <> {pipe}; : ); echo '{done}'"
    stand_in.plays(script.native(make_native(tmp_path / "native"), shell, leave=0))

    ended = task("--timeout", "12")

    assert agrees(ended, "succeeded", 0)
    assert ended.meta["process_exit_code"] == 0
    assert ended.meta["elapsed_seconds"] < 8


def test_a_native_codex_decides_when_its_launcher_is_killed(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    begin = json.dumps({"type": "thread.started", "thread_id": script.THREAD})
    failed = json.dumps({"type": "turn.failed", "error": {"message": "Sad end."}})
    go = tmp_path / "go"
    shell = f"echo '{begin}'; until [ -e {go} ]; do sleep 0.02; done; echo '{failed}'"
    stand_in.plays(script.native(make_native(tmp_path / "native"), f"{shell}; exit 4"))
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: stand_in.natives)
    launcher = files.codex()
    kill(launcher)
    wait_until(lambda: start_time(launcher) is None, what="that its end was noticed")
    go.touch()

    ended = begun.wait()

    assert agrees(ended, "failed", 4)
    assert ended.meta["error"] == "Sad end."
