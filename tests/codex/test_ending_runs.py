"""The real Codex is stopped, killed, orphaned and left alone; the record stays true."""

import os
import signal
from pathlib import Path

import pytest
from support.guard import MARKER
from support.processes import command_line, is_alive, kill, processes_with, wait_until
from support.real_codex import RealTasks, holding, parts, used, wait_for_command
from support.tasks import CLOSING, Begun, Files, Tasks, gone

from runner.loopback import LoopbackServer

# Three ways in which a tool leaves Codex's process group, and one that stays.
ESCAPING = "setsid -f sleep 4001; setsid sleep 4002 & (sleep 4003 &) ; sleep 4004"


def left_by(files: Files) -> list[tuple[int, str]]:
    """Name what a run has left running."""
    return [(each["pid"], each["name"]) for each in files.meta["left_running"]]


@pytest.fixture
def sleeps(marker: str) -> "Sleeps":
    return Sleeps(marker)


class Sleeps:
    """Finds the `sleep` processes that tools of this test have started."""

    def __init__(self, marker: str) -> None:
        self._marker = marker

    def __call__(self) -> list[int]:
        return [
            pid
            for pid in processes_with(MARKER, self._marker)
            if command_line(pid).startswith("sleep 400")
        ]


def native_of(files: Files) -> int:
    """Give the pid of the native Codex, the child of the npm package's launcher."""
    launcher = files.codex()
    assert command_line(launcher).startswith("node ")
    children = Path(f"/proc/{launcher}/task/{launcher}/children")
    (native,) = map(int, children.read_text().split())
    return native


def begin(codex: RealTasks, prompt: str, *more: object) -> tuple[Begun, Files]:
    begun = codex.start("--task", prompt, *more)
    files = begun.wait_running()
    wait_for_command(files)
    return begun, files


def settled(codex: Tasks, files: Files) -> dict[str, object]:
    """Have a reader look at the run, then give its record."""
    assert codex.parse(files.run_id).code == 0
    return files.meta


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_codex_and_every_tool_and_counts_what_was_used(
    launched: RealTasks, sleeps: Sleeps, number: int, code: int
) -> None:
    begun, files = begin(launched, f"run: true\nrun: {ESCAPING}\nsay: never")
    wait_until(lambda: len(sleeps()) == 4, what="four sleeping tools")
    tools = sleeps()

    begun.send(number)
    ended = begun.wait()

    assert ended.code == code
    assert gone(*tools)
    assert ended.block == CLOSING
    assert ended.fields["codex_exit_code"] == str(code)
    assert ended.fields["outcome"] == files.summary["outcome"] == "interrupted"
    assert files.meta["left_running"] == []
    assert parts(files.summary["token_usage"]) == used(1, 2)
    assert files.summary["cost"]["usd"] > 0
    (aborted,) = launched.records(ended.fields["codex_session_id"], "turn_aborted")
    assert aborted["reason"] == "interrupted"
    resumed = launched("--resume", files.run_id, "--task", "say: on again")
    assert resumed.files.summary["final_message"] == "on again"
    # Codex's note on the abort is no reply, so the model counts on from two.
    assert parts(resumed.files.summary["token_usage"]) == used(3)


@pytest.mark.parametrize("moment", ["announced", "running", "thread", "model call"])
def test_a_signal_at_any_moment_ends_the_run(
    codex: RealTasks, loopback: LoopbackServer, moment: str
) -> None:
    begun = codex.start("--task", "slow: 60\nsay: never")
    files = begun.wait_announced()

    def has_come() -> bool:
        come: dict[str, bool] = {
            "announced": True,
            "running": files.meta["state"] == "running",
            "thread": "thread.started" in files.text(".events.jsonl"),
            "model call": loopback.waiting > 0,
        }
        return come[moment]

    wait_until(has_come, what=moment)
    begun.send(signal.SIGTERM)
    ended = begun.wait()

    assert ended.code == 143
    assert ended.block == CLOSING
    assert files.meta["outcome"] == files.summary["outcome"] == "interrupted"
    assert files.meta["error"] == "the run was ended by SIGTERM"
    if moment == "model call":
        missing = files.summary["token_usage"]["uncounted"]
        assert missing == {"interrupted_calls": 1}
        assert " ≥ 0 tok " in files.meta["one_line_summary"]


def test_the_end_of_the_native_codex_alone_is_told(
    launched: RealTasks, sleeps: Sleeps
) -> None:
    # Codex's own children die with it, theirs do not.
    begun, files = begin(launched, "run: sleep 4001; true")
    wait_until(sleeps, what="the tool")

    kill(native_of(files))
    ended = begun.wait()

    assert ended.code == 137
    assert ended.fields["outcome"] == "interrupted"
    assert files.meta["signal"] == signal.SIGKILL
    assert files.meta["error"] == "Codex was ended by SIGKILL"
    (tool,) = sleeps()
    assert left_by(files) == [(tool, "sleep")]
    kill(tool)
    resumed = launched("--resume", files.run_id, "--task", "say: on again")
    assert resumed.code == 0
    assert parts(files.summary["token_usage"]) == used(1)
    assert parts(resumed.files.summary["token_usage"]) == used(2)


def test_a_codex_that_somebody_else_stops_was_interrupted(
    launched: RealTasks, sleeps: Sleeps
) -> None:
    begun, files = begin(launched, "run: sleep 4001")
    wait_until(sleeps, what="the tool")

    os.kill(files.codex(), signal.SIGTERM)
    ended = begun.wait()

    assert ended.code == 143
    assert ended.fields["outcome"] == "interrupted"
    assert files.meta["error"] == "Codex was ended by SIGTERM"
    assert parts(files.summary["token_usage"]) == used(1)
    assert "uncounted" not in files.summary["token_usage"]


def test_without_its_launcher_codex_goes_on_and_so_does_the_run(
    launched: RealTasks, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    begun, files = begin(launched, f"run: {holding(go)}\nsay: good end")
    launcher, native = files.codex(), native_of(files)

    kill(launcher)
    wait_until(lambda: not is_alive(launcher), what="the launcher's end")
    read = launched.parse(files.run_id)

    assert is_alive(native)
    assert files.meta["state"] == "running"
    assert '"outcome":null' in read.stdout
    go.touch()
    ended = begun.wait()
    assert ended.code == 0
    assert ended.files.summary["final_message"] == "good end"
    assert parts(ended.files.summary["token_usage"]) == used(1, 2)


def test_without_its_launcher_a_run_can_still_be_stopped(
    launched: RealTasks, sleeps: Sleeps
) -> None:
    begun, files = begin(launched, f"run: {ESCAPING}")
    wait_until(lambda: len(sleeps()) == 4, what="four sleeping tools")
    tools, native = sleeps(), native_of(files)

    kill(files.codex())
    begun.send(signal.SIGTERM)

    assert begun.wait().code == 143
    assert gone(native, *tools)
    assert files.meta["outcome"] == "interrupted"


def test_without_its_supervisor_codex_goes_on_and_the_run_ends_well(
    codex: RealTasks, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    begun, files = begin(codex, f"run: {holding(go)}\nsay: good end")

    kill(files.supervisor())
    wait_until(lambda: "Codex goes on" in begun.stderr, what="the note of it")
    read = codex.parse(files.run_id)

    assert '"outcome":null' in read.stdout
    assert files.meta["state"] == "running"
    refused = codex("--resume", files.meta["session_id"])
    assert refused.code == 75
    go.touch()
    ended = begun.wait()
    assert ended.code == 0
    assert ended.block == CLOSING
    assert files.summary["final_message"] == "good end"
    assert "  good end\n" in files.log
    assert parts(files.summary["token_usage"]) == used(1, 2)


def test_without_supervisor_and_watcher_the_next_reader_tells_the_truth(
    launched: RealTasks, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    begun, files = begin(launched, f"run: {holding(go)}\nsay: good end")
    native = native_of(files)

    begun.kill()
    kill(files.supervisor())
    assert settled(launched, files)["state"] == "running"
    go.touch()
    wait_until(lambda: not is_alive(native), what="Codex's own end")
    # npm's launcher, which is what the record names, ends a moment after it.
    wait_until(lambda: settled(launched, files)["state"] != "running", what="the end")

    found = settled(launched, files)
    assert (found["outcome"], found["exit_code"]) == ("succeeded", 0)
    assert files.summary["final_message"] == "good end"
    assert "  good end\n" in files.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_its_supervisor_a_run_can_still_be_stopped(
    launched: RealTasks, sleeps: Sleeps, number: int
) -> None:
    begun, files = begin(launched, f"run: {ESCAPING}")
    wait_until(lambda: len(sleeps()) == 4, what="four sleeping tools")
    native = native_of(files)

    kill(files.supervisor())
    wait_until(lambda: "Codex goes on" in begun.stderr, what="the note of it")
    begun.send(number)
    ended = begun.wait()

    assert ended.code == 128 + number
    assert files.meta["outcome"] == "interrupted"
    assert not is_alive(native)
    # What was an orphan before the supervisor died cannot be told from a stranger.
    for pid in sleeps():
        kill(pid)


def test_without_supervisor_and_codex_the_run_is_lost(
    launched: RealTasks, sleeps: Sleeps
) -> None:
    begun, files = begin(launched, "run: sleep 4001")
    launcher, native = files.codex(), native_of(files)
    wait_until(sleeps, what="the tool")

    for pid in (files.supervisor(), launcher, native):
        kill(pid)
    ended = begun.wait()

    assert ended.code == 1
    assert ended.block == CLOSING
    assert ended.fields["outcome"] == files.meta["outcome"] == "lost"
    assert files.meta["ended_at"]
    assert parts(files.summary["token_usage"]) == used(1)
    for pid in sleeps():
        kill(pid)


def test_a_timeout_ends_the_run_with_its_tools(
    codex: RealTasks, sleeps: Sleeps
) -> None:
    begun, files = begin(codex, f"run: {ESCAPING}", "--timeout", "2")
    wait_until(lambda: len(sleeps()) == 4, what="four sleeping tools")
    tools = sleeps()

    ended = begun.wait()

    assert ended.code == 124
    assert ended.fields["outcome"] == "timed_out"
    assert files.meta["error"] == "the run took longer than 2 s"
    assert gone(*tools)
    assert parts(files.summary["token_usage"]) == used(1)


def test_a_server_that_the_agent_leaves_running_is_named_and_left_alone(
    codex: RealTasks, sleeps: Sleeps
) -> None:
    prompt = "run: setsid -f sleep 4005 </dev/null >/dev/null 2>&1\nsay: it is up"
    ended = codex("--task", prompt)

    assert ended.code == 0
    (server,) = sleeps()
    assert left_by(ended.files) == [(server, "sleep")]
    kill(server)


def test_closing_the_terminal_or_killing_the_command_stops_nothing(
    codex: RealTasks, tmp_path: Path
) -> None:
    for number in (signal.SIGHUP, signal.SIGKILL):
        go = tmp_path / f"go-{number}"
        begun, files = begin(codex, f"run: {holding(go)}\nsay: good end")
        begun.send(number)
        begun.process.wait(10)
        go.touch()
        files.wait_for_end()
        assert files.summary["outcome"] == "succeeded"
        assert files.summary["final_message"] == "good end"
