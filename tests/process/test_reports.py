"""Others are told of a run, and none of them can hold it up or fail it."""

import json
import os
import select
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
from support import stand_in as script
from support.commands import fields
from support.processes import is_alive, kill, wait_until
from support.stand_in import StandIn, make_stand_in
from support.tasks import CLOSING, Files, Tasks, gone, is_refused

BEGIN = "===== run_codex_task debug preamble ====="


@pytest.fixture
def heard(tmp_path: Path) -> Path:
    return tmp_path / "heard.jsonl"


def pipe_line(descriptor: int) -> bytes:
    """Wait for a first line in a pipe."""
    assert select.select([descriptor], (), (), 10)[0], "nothing came"
    return os.read(descriptor, 65536)


def told(heard: Path) -> list[dict[str, object]]:
    text = heard.read_text() if heard.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def appending_to(heard: Path) -> str:
    """Build a notify command that appends its standard input to a file."""
    code = f"import sys; open({str(heard)!r}, 'a').write(sys.stdin.read())"
    return shlex.join([sys.executable, "-IS", "-c", code])


@pytest.mark.core
def test_the_notify_command_gets_the_start_and_the_end_on_its_input(
    task: Tasks, heard: Path
) -> None:
    ended = task("--notify-cmd", appending_to(heard))

    assert ended.code == 0
    begun, over = sorted(told(heard), key=lambda each: str(each["ts"]))
    assert (begun["event"], begun["status"]) == ("run_started", "running")
    assert (over["event"], over["status"]) == ("run_completed", "success")
    assert begun["run_id"] == over["run_id"] == ended.files.run_id
    assert begun["ended_at"] is None
    assert over["exit_code"] == 0
    assert over["session_id"] == script.THREAD
    assert Path(str(over["summary_file"])).is_file()
    assert ended.meta["warnings"] == {}


def test_a_run_that_was_not_started_is_told_too(task: Tasks, heard: Path) -> None:
    ended = task("--codex-bin", "/nowhere", "--notify-cmd", appending_to(heard))

    assert ended.code == 127
    (over,) = told(heard)
    assert (over["event"], over["status"]) == ("run_completed", "failure")
    assert "/nowhere" in str(over["error"])


def test_what_the_notify_command_prints_goes_to_the_log_alone(task: Tasks) -> None:
    hook = "sh -c 'echo to the log; echo to the log too >&2'"

    ended = task("--notify-cmd", hook)

    assert "to the log" not in ended.stdout + ended.stderr
    assert ended.files.log.count("to the log\n") == 2
    assert ended.files.log.count("to the log too\n") == 2


def test_words_of_the_notify_command_reach_no_shell(
    task: Tasks, tmp_path: Path
) -> None:
    words = f"; touch {tmp_path / 'made'} $(touch made)"
    refused = task("--notify-cmd", f"true{words}")
    ended = task("--notify-cmd", f"true '{words}'")

    assert is_refused(refused, 2, "--notify-cmd: ';' needs a shell", "sh -c")
    assert ended.code == 0
    assert not (tmp_path / "made").exists()


def test_a_notify_command_that_fails_is_a_warning(task: Tasks) -> None:
    ended = task("--notify-cmd", "sh -c 'exit 3'")

    assert ended.code == 0
    assert ended.block == CLOSING
    assert any("exited with 3" in each for each in ended.meta["warnings"])
    # The command did not wait for the hook of the end.
    late = "(run_completed) exited with 3"
    wait_until(lambda: late in ended.files.text(".summary.json"))
    wait_until(lambda: late in ended.files.text(".meta.json"))
    assert "warning: the notify command" in ended.stderr


def test_a_notify_command_that_is_not_there_is_a_warning(task: Tasks) -> None:
    ended = task("--notify-cmd", "/nowhere/hook")

    assert ended.code == 0
    assert any("/nowhere/hook" in each for each in ended.meta["warnings"])


def test_a_notify_command_that_hangs_holds_up_neither_run_nor_block(
    task: Tasks, tmp_path: Path
) -> None:
    noted = tmp_path / "hooks"
    hook = f"sh -c 'echo $$ >> {noted}; exec sleep 300'"
    begun = task.start("--notify-cmd", hook)
    wait_until(lambda: "summary_json=" in begun.stdout)
    files = begun.wait_announced()
    assert files.meta["outcome"] == "succeeded"
    wait_until(lambda: noted.exists() and len(noted.read_text().split()) == 2)
    assert begun.process.poll() is None
    began = time.monotonic()

    begun.send(signal.SIGTERM)
    ended = begun.wait()

    assert ended.code == 0
    assert time.monotonic() - began < 5
    assert gone(*map(int, noted.read_text().split()))
    assert any("notify command" in each for each in ended.meta["warnings"])
    assert not any("took longer" in each for each in ended.meta["warnings"])


def test_a_stop_that_comes_after_the_end_of_a_run_does_not_end_its_notify_command(
    task: Tasks, tmp_path: Path, go: Path
) -> None:
    noted = tmp_path / "hooks"
    waiting = f"until [ -e {go} ]; do sleep 0.01; done"
    begun = task.start("--notify-cmd", f"sh -c '{waiting}; cat >> {noted}'")
    files = begun.wait_running()
    supervisor = files.supervisor()
    wait_until(lambda: "summary_json=" in begun.stdout)

    os.kill(supervisor, signal.SIGUSR1)
    go.touch()
    ended = begun.wait()

    assert ended.code == 0
    assert files.meta["warnings"] == {}
    events = [json.loads(line)["event"] for line in noted.read_text().splitlines()]
    assert sorted(events) == ["run_completed", "run_started"]


def test_a_notify_command_is_ended_after_its_time_with_all_below_it(
    task: Tasks, tmp_path: Path
) -> None:
    noted = tmp_path / "hooks"
    hook = f"sh -c 'trap \"\" TERM INT; echo $$ >> {noted}; sleep 300 & wait'"
    began = time.monotonic()

    ended = task("--notify-cmd", hook, env={"CODEX_RUNNER_HOOK_SECONDS": "3"})

    assert ended.code == 0
    assert 3 < time.monotonic() - began < 13
    assert gone(*map(int, noted.read_text().split()))
    assert any("took longer than 3 s" in each for each in ended.meta["warnings"])


def test_what_a_notify_command_leaves_behind_is_not_the_runs(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    noted = tmp_path / "left"
    hook = f"sh -c 'setsid sh -c \"echo \\$\\$ >> {noted}; exec sleep 300\" &'"
    stand_in.plays(*script.begin(), script.hang())
    begun = task.start("--notify-cmd", hook)
    files = begun.wait_running()
    wait_until(noted.exists)

    begun.send(signal.SIGTERM)
    ended = begun.wait()

    assert ended.fields["outcome"] == "interrupted"
    assert files.meta["left_running"] == []
    # The hook is told of the start and of the end, and what it starts notes itself.
    wait_until(lambda: len(noted.read_text().split()) == len(("start", "end")))
    pids = list(map(int, noted.read_text().split()))
    assert is_alive(pids[0])
    for pid in pids:
        kill(pid)


@pytest.mark.core
def test_the_event_stream_gets_a_line_at_each_end(task: Tasks, heard: Path) -> None:
    heard.write_text('{"event":"from before"}\n')

    ended = task("--event-stream", heard)

    assert [line["event"] for line in told(heard)] == [
        "from before",
        "run_started",
        "run_completed",
    ]
    assert told(heard)[2]["run_id"] == ended.files.run_id
    assert ended.code == 0


def test_the_start_of_a_run_on_a_session_names_that(task: Tasks, heard: Path) -> None:
    task("--event-stream", heard, "--resume", script.THREAD)

    assert [line["session_id"] for line in told(heard)] == [script.THREAD] * 2


def test_a_stopped_run_is_told_as_a_failure(
    task: Tasks, stand_in: StandIn, heard: Path
) -> None:
    stand_in.plays(*script.begin(), script.hang())
    begun = task.start("--event-stream", heard)
    begun.wait_running()
    wait_until(lambda: told(heard))

    begun.send(signal.SIGTERM)
    begun.wait()

    over = told(heard)[-1]
    assert (over["event"], over["status"]) == ("run_completed", "failure")
    assert (over["outcome"], over["exit_code"]) == ("interrupted", 143)


@pytest.mark.core
def test_the_copy_of_the_summary_is_the_summary(task: Tasks, tmp_path: Path) -> None:
    copy = tmp_path / "new" / "place" / "copy.json"
    for _ in range(2):
        ended = task("--json-out", copy)

        assert json.loads(copy.read_text()) == ended.files.summary
        assert ended.fields["summary_file"] == str(copy)
        assert copy.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in copy.parent.iterdir()] == ["copy.json"]


@pytest.mark.parametrize("words", [[], ["-v"], ["-vv"]])
def test_the_names_of_the_newest_bash_runner_are_there_too(
    task: Tasks, words: list[str]
) -> None:
    ended = task("-m", "gpt-5", *words)

    told = {"model_selected": "gpt-5", "model_tier": "none", "cache_status": "disabled"}
    told |= {"model_source": "explicit_model"}
    line = ended.meta["one_line_summary"]
    assert {name: ended.fields[name] for name in told} == told
    assert ended.fields["summary_line"] == line
    assert line.startswith(f"OK {ended.files.run_id} succeeded ")
    assert ended.meta["model_source"] == "explicit_model"
    assert ended.meta["cache_status"] == "disabled"
    assert (f"started_at_utc={ended.meta['started_at']}" in ended.lines) == bool(words)
    last = ended.stdout.partition("\ncodex_exit_code=")[2]
    assert ("\ncodex_command=" in last) == (words == ["-vv"])


def test_no_escape_sequence_of_the_callers_words_reaches_the_log(
    task: Tasks, tmp_path: Path
) -> None:
    odd = "\x1b]0;title\x07\x1b[31m\u202e"
    repo = tmp_path / f"repo{odd}"
    repo.mkdir()
    words = ["-m", odd, "-c", f"a={odd}", "--skip-git-repo-check", "--", odd]
    words = ["--repo", str(repo), "--log-dir", str(tmp_path / odd), "-vv", *words]

    ended = task("--task", f"Look at {odd}", *words)

    assert ended.code == 0
    assert not {"\x1b", "\x07", "\u202e"}.intersection(ended.files.log)
    assert r"\x1b[31m" in ended.files.log
    # The names of files are as they are on disk.
    assert ended.fields["log_file"].startswith(str(tmp_path / odd))


def test_a_copy_through_a_link_leaves_the_link(task: Tasks, tmp_path: Path) -> None:
    (tmp_path / "target.json").write_text("old")
    (tmp_path / "link.json").symlink_to("target.json")

    ended = task("--json-out", tmp_path / "link.json")

    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "target.json").read_text()) == ended.files.summary


@pytest.mark.parametrize(
    ("arguments", "env", "shown"),
    [
        (["--verbosity", "low"], {"CODEX_LOG_VERBOSITY": "high"}, []),
        ([], {"CODEX_LOG_VERBOSITY": "normal"}, ["mode=new", "codex_version=0.169.0"]),
        (["-vv"], {}, ["codex_home=", "state_home=", "umask=", "cwd="]),
    ],
)
def test_the_preamble_is_always_in_the_log_and_shown_when_asked_for(
    task: Tasks, arguments: list[str], env: dict[str, str | None], shown: list[str]
) -> None:
    ended = task(*arguments, env=env)

    assert ended.code == 0
    assert BEGIN in ended.files.log
    assert (BEGIN in ended.stdout) == bool(shown)
    for text in shown:
        assert f"\n{text}" in ended.stdout
        assert f"\n{text}" in ended.files.log
    assert ended.stdout.splitlines()[0].startswith("codex_run_id=")


def test_a_pipe_that_nobody_reads_is_never_waited_for(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    pipe, go = tmp_path / "pipe", tmp_path / "go"
    os.mkfifo(pipe)
    stand_in.plays(*script.begin(), script.wait_for(go), *script.ordinary())
    reader = os.open(pipe, os.O_RDWR)  # also to write: there is no end of file
    begun = task.start("--event-stream", pipe)
    begun.wait_running()
    heard = pipe_line(reader)

    os.close(reader)
    go.touch()
    ended = begun.wait()

    assert json.loads(heard)["event"] == "run_started"
    assert ended.code == 0
    assert ended.block == CLOSING
    assert ended.fields["outcome"] == ended.meta["outcome"] == "succeeded"
    assert any(str(pipe) in each for each in ended.meta["warnings"])
    assert f"warning: cannot append to {pipe}" in ended.stderr


@pytest.mark.parametrize("how", ["stopped", "stopped, and orphaned", "done"])
def test_a_run_that_the_notify_command_has_started_is_a_run_of_its_own(
    task: Tasks, stand_in: StandIn, tmp_path: Path, how: str
) -> None:
    go, go_other, once = (tmp_path / name for name in ("go", "go-other", "once"))
    stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    other = make_stand_in(
        tmp_path / "other",
        *(*script.begin(), script.wait_for(go_other), script.complete()),
        thread="01a1f000-0000-7000-8000-00000000000f",
    )
    argv = task.cli.argv(
        *task.arguments("--codex-bin", other.path, "--task", "B.", "--detach")
    )
    hook = tmp_path / "hook"
    hook.write_text(
        f"#!/bin/sh\nmkdir {once} || exit 0\nexec {shlex.join(argv)} > {once}/out\n"
    )
    hook.chmod(0o755)
    begun = task.start("--notify-cmd", hook)
    begun.wait_running()
    wait_until(lambda: other.runs)
    wait_until(lambda: "meta_file=" in (once / "out").read_text())
    found = fields((once / "out").read_text())
    files = Files(Path(found["meta_file"]).parent, found["codex_run_id"])
    wait_until(lambda: files.meta["state"] == "running")
    codex = files.codex()

    if "orphaned" in how:
        kill(files.supervisor())
    if how == "done":
        go.touch()
    else:
        begun.send(signal.SIGTERM)
    ended = begun.wait()

    assert ended.fields["outcome"] == ("succeeded" if how == "done" else "interrupted")
    assert ended.meta["left_running"] == []
    assert is_alive(codex)
    assert not files.is_finished
    go_other.touch()
    wait_until(lambda: gone(codex))
    task.parse(files.run_id)
    files.wait_for_end()
    assert files.meta["outcome"] == "succeeded"
    wait_until(lambda: gone(codex))
