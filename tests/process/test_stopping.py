"""INT and TERM end a run with all that belongs to it, and nothing else."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import stand_in as script
from support.guard import MARKER
from support.processes import (
    is_alive,
    kill,
    processes_below,
    processes_with,
    start_time,
    wait_until,
)
from support.sabotage import FOREGROUND, SUPERVISOR, hold, sabotaged
from support.stand_in import StandIn, make_native
from support.tasks import CLOSING, Ended, Tasks, gone
from support.terminal import terminal

from runner.config import RUN_MARKER

GRACE = 3.0
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def hanging(*steps: script.Step) -> list[script.Step]:
    return [*script.begin(), *steps, script.hang()]


def was_stopped(ended: Ended, code: int) -> bool:
    return (
        ended.code == code
        and ended.block == CLOSING
        and ended.fields["outcome"] == "interrupted"
        and ended.fields["codex_exit_code"] == str(code)
        and ended.meta["outcome"] == "interrupted"
        and ended.files.summary["outcome"] == "interrupted"
        and "outcome=interrupted" in ended.files.log
    )


@pytest.mark.core
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_to_the_command_ends_the_run(
    task: Tasks, stand_in: StandIn, number: int, code: int
) -> None:
    stand_in.plays(*hanging())
    begun = task.start()
    codex = begun.wait_running().codex()

    begun.send(number)

    assert was_stopped(begun.wait(), code)
    assert gone(codex)


def test_how_a_stopped_codex_went_is_on_record(task: Tasks, stand_in: StandIn) -> None:
    stand_in.plays(*hanging())
    begun = [task.start() for _ in range(4)]  # the ladder may win a race against it
    for each in begun:
        each.wait_running()
        wait_until(lambda: len(stand_in.runs) == len(begun))

    for each in begun:
        each.send(signal.SIGTERM)

    for each in begun:
        ended = each.wait()
        assert was_stopped(ended, 143)
        assert ended.meta["process_exit_code"] is None
        assert ended.meta["signal"] == signal.SIGINT


def test_codex_is_told_by_int_first_and_writes_its_last_words(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(
        *script.begin(),
        script.on_signal("TERM", script.err("told by TERM\n"), script.leave(1)),
        script.on_signal("INT", script.err("told by INT\n"), script.leave(1)),
        script.message("ready"),
        script.hang(),
    )
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: "ready" in files.text(".events.jsonl"))

    begun.send(signal.SIGTERM)

    assert was_stopped(begun.wait(), 143)
    assert files.text(".stderr") == "told by INT\n"


@pytest.mark.core
def test_tools_in_sessions_of_their_own_are_ended_and_bystanders_are_not(
    task: Tasks, stand_in: StandIn, marker: str
) -> None:
    stand_in.plays(
        *hanging(
            script.spawn(),
            script.spawn(own_session=False, keep_output=True),
            script.spawn(double_fork=True),
            script.spawn(double_fork=True, own_session=False),
        )
    )
    bystander = subprocess.Popen(
        ["sleep", "60"],  # noqa: S607  # any sleep
        env={**os.environ, MARKER: marker},
        start_new_session=True,
    )
    try:
        begun = task.start()
        wait_until(lambda: len(stand_in.children) == 4)
        tools = [(pid, start_time(pid)) for pid in stand_in.children]
        assert all(is_alive(pid, at) for pid, at in tools)
        began = time.monotonic()

        begun.send(signal.SIGTERM)
        ended = begun.wait()

        assert was_stopped(ended, 143)
        assert not any(is_alive(pid, at) for pid, at in tools)
        assert time.monotonic() - began < 5
        assert ended.meta["left_running"] == []
        assert is_alive(bystander.pid)
    finally:
        bystander.kill()
        bystander.wait()


@pytest.fixture
def impatient(environment: dict[str, str]) -> None:
    environment["CODEX_RUNNER_GRACE_SECONDS"] = str(GRACE)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_what_ignores_every_gentle_signal_is_killed_after_the_grace_time(
    task: Tasks, stand_in: StandIn, number: int, code: int
) -> None:
    stand_in.plays(
        *script.begin(),
        script.ignore("INT", "TERM", "HUP"),
        script.spawn(ignoring=["INT", "TERM", "HUP"]),
        script.spawn(ignoring=["INT", "TERM"], double_fork=True),
        script.hang(),
    )
    begun = task.start()
    codex = begun.wait_running().codex()
    wait_until(lambda: len(stand_in.children) == 2)
    began = time.monotonic()

    begun.send(number)
    time.sleep(1)
    begun.send(number)  # an impatient caller changes nothing
    ended = begun.wait()

    assert was_stopped(ended, code)
    assert gone(codex, *stand_in.children)
    assert GRACE - 1 < time.monotonic() - began < GRACE + 3


@pytest.mark.usefixtures("impatient")
def test_what_a_tool_starts_while_it_is_being_ended_is_ended_too(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(
        *script.begin(),
        script.on_signal("INT"),
        script.on_signal("TERM", script.spawn(double_fork=True), script.leave(1)),
        script.message("ready"),
        script.hang(),
        script.hang(),
    )
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: "ready" in files.text(".events.jsonl"))

    begun.send(signal.SIGINT)

    assert was_stopped(begun.wait(), 130)
    assert stand_in.children
    assert gone(*stand_in.children)


def test_another_run_goes_on(task: Tasks, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.plays(*script.begin(), script.wait_for(tmp_path / "go"), script.complete())
    one, other = task.start(), task.start()
    one.wait_running()
    files = other.wait_running()

    one.send(signal.SIGTERM)

    assert was_stopped(one.wait(), 143)
    assert is_alive(files.codex())
    (tmp_path / "go").touch()
    assert other.wait().code == 0


def test_a_native_child_of_a_launcher_is_told_first(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    note = tmp_path / "told"
    stand_in.plays(
        *script.begin(),
        script.native(
            make_native(tmp_path / "native"),
            f"trap 'echo INT >> {note}; exit 1' INT; trap 'echo TERM >> {note}' TERM;"
            f" echo ready >> {note}; while :; do sleep 0.02; done",
        ),
    )
    begun = task.start()
    wait_until(note.exists)

    begun.send(signal.SIGTERM)

    assert was_stopped(begun.wait(), 143)
    assert note.read_text() == "ready\nINT\n"


def test_a_turn_that_codex_completes_all_the_same_has_succeeded(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(
        *script.begin(),
        script.on_signal("INT", script.complete(), script.leave(0)),
        script.message("ready"),
        script.hang(),
    )
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: "ready" in files.text(".events.jsonl"))

    begun.send(signal.SIGINT)
    ended = begun.wait()

    assert ended.code == 0
    assert ended.fields["outcome"] == "succeeded"


def test_a_signal_to_the_whole_group_is_one_to_the_command(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*hanging())
    begun = task.start(start_new_session=True)
    codex = begun.wait_running().codex()

    os.killpg(begun.process.pid, signal.SIGINT)

    assert was_stopped(begun.wait(), 130)
    assert gone(codex)


LAUNCHING: dict[str, tuple[str, str, str]] = {
    "before there is a supervisor": (FOREGROUND, "os.fork", ""),
    "while the run is being recorded": (SUPERVISOR, "sqlite3.execute", "commit"),
    "while its supervisor claims it": (
        SUPERVISOR,
        "sqlite3.execute",
        "set state = :state, supervisor",
    ),
    "once the command knows of it": (FOREGROUND, "import", "runner.cli.follow_run"),
}


@pytest.mark.core
@pytest.mark.parametrize("when", LAUNCHING)
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_during_the_launch_is_passed_on_to_the_run(
    task: Tasks, stand_in: StandIn, tmp_path: Path, number: int, code: int, when: str
) -> None:
    stand_in.plays(*hanging())
    held = hold(tmp_path)
    begun = task.start(env=sabotaged(held.at(*LAUNCHING[when])))
    wait_until(held.reached.exists)

    begun.send(number)
    held.go.touch()

    assert was_stopped(begun.wait(), code)


def test_a_signal_before_anything_is_on_record_leaves_nothing(
    task: Tasks, tmp_path: Path, state_home: Path
) -> None:
    held, prompt = hold(tmp_path), tmp_path / "prompt.md"
    prompt.write_text("Do it.")
    point = held.at(FOREGROUND, "open", prompt.name)
    begun = task.start("--task-file", prompt, env=sabotaged(point))
    wait_until(held.reached.exists)

    begun.send(signal.SIGINT)
    held.go.touch()
    ended = begun.wait()

    assert ended.code == 130
    assert ended.stdout == ended.stderr == ""
    assert task.all == []
    assert not state_home.exists()


def in_a_script(task: Tasks, noted: Path) -> list[str]:
    """Build a script that runs the command in its background and waits for it."""
    command = shlex.join(task.cli.argv(*task.arguments()))
    return ["sh", "-c", f"{command} & echo $! > {noted}; wait; wait"]


def test_an_int_sent_to_a_scripts_background_command_ends_the_run(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.plays(*hanging())
    noted = tmp_path / "pid"
    shell = task.cli.launch(
        in_a_script(task, noted),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: task.all and task.all[0].meta["state"] == "running")
    codex = task.all[0].codex()

    os.kill(int(noted.read_text()), signal.SIGINT)
    shell.wait(10)

    assert task.all[0].meta["outcome"] == "interrupted"
    assert task.all[0].meta["exit_code"] == 130
    assert gone(codex)


def test_an_int_sent_during_the_launch_of_a_background_command_counts(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.plays(*hanging())
    held = hold(tmp_path)
    point = held.at(FOREGROUND, "os.fork", "")
    noted = tmp_path / "pid"
    shell = task.cli.launch(
        in_a_script(task, noted),
        env=sabotaged(point),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(held.reached.exists)

    os.kill(int(noted.read_text()), signal.SIGINT)
    held.go.touch()
    shell.wait(10)

    assert task.all[0].meta["outcome"] == "interrupted"


def test_a_terminals_int_does_not_reach_a_scripts_background_command(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    go, noted = tmp_path / "go", tmp_path / "pid"
    stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    command = shlex.join(task.cli.argv(*task.arguments()))
    lines = f"trap 'echo heard' INT; {command} & echo $! > {noted}; wait; wait; wait"
    with terminal() as opened:
        shell = opened.start(["sh", "-c", lines], task.cli.env())
        wait_until(lambda: task.all and task.all[0].meta["state"] == "running")
        opened.press(b"\x03")
        wait_until(lambda: "heard" in opened.shown())

        assert is_alive(int(noted.read_text()))
        go.touch()
        task.all[0].wait_for_end()
        shell.wait(10)

    assert task.all[0].meta["outcome"] == "succeeded"


@pytest.mark.core
def test_a_signal_ends_a_codex_whose_supervisor_is_gone(
    task: Tasks, stand_in: StandIn, marker: str
) -> None:
    stand_in.plays(*hanging(script.spawn()))
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: stand_in.children)
    codex = files.codex()
    kill(files.supervisor())
    wait_until(lambda: "is gone, Codex goes on" in begun.stderr)

    begun.send(signal.SIGTERM)
    ended = begun.wait()

    assert was_stopped(ended, 143), ended
    assert gone(codex, *stand_in.children)
    assert processes_with(MARKER, marker) == []


def test_a_tool_that_has_left_codex_is_ended_without_a_supervisor_too(
    task: Tasks, stand_in: StandIn, marker: str
) -> None:
    stand_in.plays(*hanging(script.spawn(double_fork=True)))
    another = {MARKER: marker, RUN_MARKER: "20261120-101201-512345-9f3a1c07"}
    bystander = subprocess.Popen(
        ["sleep", "60"],  # noqa: S607  # any sleep
        env={**os.environ, **another},
        start_new_session=True,
    )
    try:
        begun = task.start()
        files = begun.wait_running()
        wait_until(lambda: stand_in.children)
        codex, (tool,) = files.codex(), stand_in.children
        assert tool not in processes_below(codex)
        kill(files.supervisor())
        wait_until(lambda: "is gone, Codex goes on" in begun.stderr)
        assert is_alive(tool)

        begun.send(signal.SIGTERM)

        assert was_stopped(begun.wait(), 143)
        assert gone(codex, tool)
        assert is_alive(bystander.pid)
    finally:
        bystander.kill()
        bystander.wait()
