"""A supervisor is a copy of its command, and has and keeps nothing of the caller's."""

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from support import stand_in as script
from support.codex_home import ROOT
from support.forks import Forks
from support.guard import MARKER
from support.processes import (
    is_alive,
    kill,
    processes_below,
    processes_with,
    switches,
    wait_until,
)
from support.sabotage import SUPERVISOR, dies, no_copies, sabotaged
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import ANNOUNCED, CLOSING, Begun, Tasks, gone

from runner.locks import Lock, look
from runner.process.signals import DEFAULTS
from runner.run_files import owner_of

LINES = 30_000
IGNORED = """\
import os, signal, sys
for name in ("CHLD", "INT", "HUP"):
    signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""


def idle(task: Tasks, stand_in: StandIn, go: Path, end: int = 0) -> None:
    """Let Codex wait for the test in its turn, and end with this code."""
    leave = (
        [script.message("All done."), script.complete()]
        if end == 0
        else [script.leave(end)]
    )
    stand_in.plays(*script.begin(), script.wait_for(go), *leave)
    assert not go.exists()
    assert task.all == []


def ends_well(task: Tasks, go: Path) -> None:
    go.touch()
    (files,) = task.all
    files.wait_for_end()
    assert files.meta["outcome"] == "succeeded"


@pytest.mark.core
def test_a_lock_of_the_caller_is_free_once_a_detached_command_is_back(
    task: Tasks, stand_in: StandIn, go: Path, tmp_path: Path
) -> None:
    idle(task, stand_in, go)
    lock = tmp_path / "lock"
    command = shlex.join(task.cli.argv(*task.arguments("--detach")))
    # A shell opens descriptors that its commands inherit.
    shell = task.cli.launch(["sh", "-c", f"exec 9>{lock}; flock 9; {command}"])

    assert shell.wait(30) == 0

    with lock.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    wait_until(lambda: stand_in.runs)
    assert str(lock) not in stand_in.runs[0]["descriptors"].values()
    ends_well(task, go)


CLOSED = {"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-", "all": "<&- >&- 2>&-"}


@pytest.mark.parametrize("which", CLOSED)
def test_closed_standard_streams_do_not_disturb_a_detached_run(
    task: Tasks, stand_in: StandIn, go: Path, which: str
) -> None:
    idle(task, stand_in, go)
    command = shlex.join(task.cli.argv(*task.arguments("--detach")))
    shell = task.cli.launch(["sh", "-c", f"{command} {CLOSED[which]}"])

    said, _ = shell.communicate(timeout=30)

    # The id could be printed, or could not.
    assert (shell.returncode, said.count(b"\n")) in {(0, len(ANNOUNCED)), (0, 0)}
    wait_until(lambda: stand_in.runs)
    (run,) = stand_in.runs
    assert sorted(run["descriptors"]) == ["0", "1", "2"]
    assert run["descriptors"]["1"].endswith(".events.jsonl")
    ends_well(task, go)
    (files,) = task.all
    assert files.log.count("outcome=succeeded") == 1


@pytest.mark.core
def test_a_command_substitution_is_back_while_the_run_lives(
    task: Tasks, stand_in: StandIn, go: Path
) -> None:
    idle(task, stand_in, go)
    command = shlex.join(task.cli.argv(*task.arguments("--detach")))
    shell = task.cli.launch(["sh", "-c", f'said=$({command} 2>&1); echo "$said"'])

    said, _ = shell.communicate(timeout=30)

    (files,) = task.all
    assert f"codex_run_id={files.run_id}" in said.decode()
    assert is_alive(files.supervisor())
    assert not files.is_finished
    ends_well(task, go)


def test_a_command_substitution_does_not_wait_for_a_hook_that_a_command_must_send(
    task: Tasks, sessions: Sessions, go: Path, marker: str, forks: Forks
) -> None:
    hook = shlex.join(["sh", "-c", f"until [ -e {go} ]; do sleep 0.02; done"])
    point = dies(SUPERVISOR, "open", ".summary.json.")
    go.touch()
    task("--notify-cmd", hook, env=sabotaged(point))
    # On a slow machine the command that saw the end tells it already.
    at_work = (
        partial(processes_with, MARKER, marker),
        partial(processes_below, forks.pid),
    )
    wait_until(lambda: not any(each() for each in at_work), what="the end of all of it")
    go.unlink()
    sessions.change(
        "update outbox set due_at = '2026', done_at = null, attempts = 0"
        " where target = 'hook'"
        " and history = (select max(id) from history where what = 'run_completed')"
    )
    told = "select count(*) from outbox where done_at is null and target <> 'exports'"
    command = shlex.join(task.cli.argv("ls", command="codex_tasks"))
    shell = task.cli.launch(["sh", "-c", f'said=$({command} 2>&1); echo "$said"'])

    shell.communicate(timeout=30)

    assert sessions.rows(told) == [(1,)]
    go.touch()
    wait_until(lambda: sessions.rows(told) == [(0,)], what="the hook")


@pytest.mark.core
@pytest.mark.parametrize("end", [0, 3])
def test_signals_that_the_caller_ignores_change_no_verdict(
    task: Tasks, stand_in: StandIn, go: Path, end: int
) -> None:
    idle(task, stand_in, go, end)
    go.touch()
    words = task.cli.argv(*task.arguments())

    ended = task.cli.launch([sys.executable, "-c", IGNORED, *words]).wait(30)

    (files,) = task.all
    assert ended == end
    assert files.meta["process_exit_code"] == end
    assert files.meta["outcome"] == ("failed" if end else "succeeded")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_supervisor_whose_caller_ignores_signals_hears_them(
    task: Tasks, stand_in: StandIn, number: int
) -> None:
    stand_in.plays(*script.begin(), script.hang())
    words = task.cli.argv(*task.arguments("--detach"))
    assert task.cli.launch([sys.executable, "-c", IGNORED, *words]).wait(30) == 0
    (files,) = task.all

    os.kill(files.supervisor(), number)
    files.wait_for_end()

    assert files.meta["outcome"] == "interrupted"
    assert files.meta["exit_code"] == 128 + number


# A shell changes its signals while it starts a program.
STATUS = 'while read -r line; do echo "$line"; done < /proc/$$/status'


@pytest.fixture
def plain_codex(tmp_path: Path) -> Path:
    """Make a Codex that is a shell, and writes down how it was started.

    An interpreter of Python would change signals and environment itself.
    """
    program, said = tmp_path / "plain" / "codex", tmp_path / "said"
    program.parent.mkdir()
    events = script.THREAD.join(
        ('{"type":"thread.started","thread_id":"', '"}\n{"type":"turn.started"}')
    )
    program.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = --version ]; then echo codex-cli 0.169.0; exit; fi\n'
        f"{{ {STATUS}; umask; env; }} > {said}.new; mv {said}.new {said}\n"
        f"printf '%s\\n' '{events}' '{{\"type\":\"turn.completed\",\"usage\":null}}'\n"
    )
    program.chmod(0o755)
    return program


def numbers(mask: str) -> set[int]:
    """Read a mask of /proc; the C library has the signals above 31."""
    return {n for n in range(1, 32) if int(mask, 16) >> (n - 1) & 1}


@pytest.mark.core
@pytest.mark.parametrize(
    "by", [IGNORED, "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"]
)
def test_codex_and_hooks_get_no_signal_blocked_or_ignored(
    task: Tasks, plain_codex: Path, tmp_path: Path, by: str
) -> None:
    heard = tmp_path / "heard"
    hook = shlex.join(["sh", "-c", f"{STATUS} > {heard}"])
    more = ("--codex-bin", plain_codex, "--notify-cmd", hook)
    words = task.cli.argv(*task.arguments(*more))

    assert task.cli.launch([sys.executable, "-c", by, *words]).wait(30) == 0

    for place in (tmp_path / "said", heard):
        pairs = (line.split() for line in place.read_text().splitlines())
        status = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
        assert numbers(status["SigBlk:"]) == set()
        assert numbers(status["SigIgn:"]) & set(DEFAULTS) == set()


@pytest.mark.parametrize("mask", [0o777, 0o022, 0])
def test_codex_gets_the_callers_umask_and_our_files_are_private(
    task: Tasks, plain_codex: Path, state_home: Path, tmp_path: Path, mask: int
) -> None:
    before = os.umask(mask)
    try:
        begun = task.cli.start(*task.arguments("--codex-bin", plain_codex))
    finally:
        os.umask(before)

    assert begun.wait(30) == 0

    assert f"\n{mask:04o}\n" in (tmp_path / "said").read_text()
    (files,) = task.all
    files.wait_for_end()
    owner = owner_of(state_home, files.run_id)
    wait_until(lambda: look(owner) is Lock.FREE, what="the end of the supervisor")
    for place in (state_home, task.log_dir):
        for path in (place, *place.rglob("*")):
            wanted = 0o700 if path.is_dir() else 0o600
            assert path.stat().st_mode & 0o777 == wanted, path


def test_codex_gets_the_callers_environment_in_the_locale_c(
    task: Tasks, plain_codex: Path, tmp_path: Path
) -> None:
    env = {"LANG": "C", "LC_ALL": None, "LC_CTYPE": None, "STRAY": os.fsdecode(b"\xff")}
    begun = task.start("--codex-bin", plain_codex, "--task", "Größe", env=env)

    assert begun.wait().code == 0

    said = (tmp_path / "said").read_bytes().splitlines()
    assert b"LANG=C" in said
    assert b"STRAY=\xff" in said
    assert not [line for line in said if line.startswith(b"LC_")]
    (files,) = task.all
    assert files.path(".prompt").read_bytes() == "Größe".encode()


def much(stand_in: StandIn, go: Path, lines: int = LINES) -> None:
    """Let Codex say many lines once the test says so."""
    each = (script.message(f"line {number};") for number in range(lines))
    data = b"".join(bytes(step["data"]) for step in each)  # type: ignore[call-overload]  # bytes
    stand_in.plays(
        *script.begin(),
        script.wait_for(go),
        script.out(data),
        script.complete(),
    )


def shown(begun: Begun) -> list[int]:
    """Give the numbers of the lines that a command has shown, in order."""
    words = begun.stdout.replace("summary_json=", "\0").partition("\0")[0].split()
    return [int(n[:-1]) for w, n in pairwise(words) if w == "line"]


@pytest.mark.core
def test_a_caller_that_is_suspended_shows_every_line_once_when_it_goes_on(
    task: Tasks, stand_in: StandIn, go: Path
) -> None:
    much(stand_in, go)
    begun = task.start()
    files = begun.wait_running()
    supervisor = files.supervisor()
    begun.send(signal.SIGSTOP)

    go.touch()
    files.wait_for_end(60)
    wait_until(lambda: gone(supervisor), 30)
    begun.send(signal.SIGCONT)
    ended = begun.wait()

    assert ended.code == 0
    assert ended.block == CLOSING
    assert shown(begun) == list(range(LINES))
    assert begun.stderr == ""


@pytest.mark.parametrize("times", range(3))
def test_a_supervisor_that_is_killed_amid_much_output_costs_no_line_and_repeats_none(
    task: Tasks, stand_in: StandIn, go: Path, times: int
) -> None:
    much(stand_in, go)
    begun = task.start()
    files = begun.wait_running()
    supervisor = files.supervisor()

    go.touch()
    wanted = (LINES // 4) * times
    wait_until(lambda: f"line {wanted};" in begun.stdout, 30, "some output")
    kill(supervisor)
    ended = begun.wait()

    assert ended.code == 0
    assert ended.fields["outcome"] == "succeeded"
    assert shown(begun) == list(range(LINES))


def test_a_supervisor_that_is_killed_while_its_caller_is_suspended_costs_no_line(
    task: Tasks, stand_in: StandIn, go: Path
) -> None:
    much(stand_in, go)
    begun = task.start()
    files = begun.wait_running()
    supervisor = files.supervisor()
    begun.send(signal.SIGSTOP)

    go.touch()
    wait_until(lambda: "line 100;" in files.log, 30, "some of the log")
    kill(supervisor)
    wait_until(lambda: gone(supervisor))
    begun.send(signal.SIGCONT)
    ended = begun.wait()

    assert ended.code == 0
    assert shown(begun) == list(range(LINES))


@contextmanager
def moved_away(place: Path) -> Iterator[None]:
    """Move the packages of a copy of the suite out of the way."""
    for name in ("runner", "parsers"):
        (place / name).rename(place / f"{name}-gone")
    yield


def a_copy_of_the_suite(place: Path) -> dict[str, str]:
    """Copy the packages; give the variable by which a command is loaded from there."""
    for name in ("runner", "parsers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, place / name, ignore=ignored)
    return {"PYTHONPATH": str(place)}


@pytest.mark.core
def test_a_suite_that_is_removed_during_a_run_costs_neither_verdict_nor_hook_nor_prompt(
    task: Tasks, sessions: Sessions, stand_in: StandIn, go: Path, tmp_path: Path
) -> None:
    idle(task, stand_in, go)
    heard = tmp_path / "heard"
    hook = shlex.join(["sh", "-c", f"cat >> {heard}"])
    copy = a_copy_of_the_suite(tmp_path / "suite")
    begun = task.start("--notify-cmd", hook, env=copy)
    files = begun.wait_running()
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import runner; print(runner.__file__)"],
        env=task.cli.env(copy),
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(tmp_path / "suite"))
    wait_until(lambda: files.meta["session_id"], what="the name of the session")
    session = Session(script.THREAD, sessions)
    assert session.queue("Next.").code == 0

    with moved_away(tmp_path / "suite"):
        go.touch()
        # The command itself has loaded all that it needs, too.
        ended = begun.wait()
        wait_until(lambda: len(session.records) > 1, what="the next run")
        wait_until(lambda: session.records[1]["ended_at"], what="its end")

    assert ended.code == 0, ended.stderr
    assert ended.stderr == ""
    assert ended.fields["outcome"] == "succeeded"
    assert [each["outcome"] for each in session.records] == ["succeeded"] * 2
    assert stand_in.given(script.THREAD) == ["Do it.", "Next."]
    wait_until(lambda: heard.read_text().count("\n") == 2, what="both hooks")
    events = [json.loads(line)["event"] for line in heard.read_text().splitlines()]
    assert events == ["run_started", "run_completed"]
    assert files.summary["outcome"] == "succeeded"


@pytest.mark.core
@pytest.mark.parametrize("command", ["run_codex_task", "codex_tasks"])
def test_an_idle_supervisor_never_wakes_up(
    task: Tasks, sessions: Sessions, codex: StandIn, go: Path, command: str
) -> None:
    steps = (*script.begin(), script.wait_for(go), script.complete())
    codex.plays(*steps, thread=script.FRESH)
    task.stand_in.plays(*steps)
    if command == "codex_tasks":
        files = sessions.start().wait_for_run(1)
    else:
        files = task("--detach").files
    pid, since, before = files.supervisor(), time.monotonic(), -1

    def has_rested() -> bool:
        nonlocal since, before
        if (now := switches(pid)) != before:
            since, before = time.monotonic(), now
        return time.monotonic() - since > 3

    wait_until(has_rested, 20, "three seconds without a switch")
    go.touch()
    files.wait_for_end()
    assert files.meta["outcome"] == "succeeded"


@pytest.fixture
def new_interpreters(task: Tasks, sessions: Sessions) -> None:
    """Let supervisors be new interpreters, as on systems other than Linux."""
    for cli in {id(each): each for each in (task.cli, sessions.cli)}.values():
        cli.environment.update(sabotaged(*no_copies()))


def is_new_interpreter(pid: int) -> bool:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b"-c" in words and b"runner.supervisor" in words


@pytest.mark.core
@pytest.mark.usefixtures("new_interpreters")
def test_a_supervisor_that_is_a_new_interpreter_supervises_as_well(
    task: Tasks, stand_in: StandIn, go: Path, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    stand_in.plays(
        *script.begin(),
        script.message("Under way."),
        script.wait_for(go),
        script.message("It is done."),
        script.complete(),
    )
    begun = task.start("--notify-cmd", shlex.join(["sh", "-c", f"cat >> {heard}"]))
    files = begun.wait_running()
    assert is_new_interpreter(files.supervisor())
    wait_until(lambda: "Under way." in begun.stdout)

    go.touch()
    ended = begun.wait()

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.block == CLOSING
    assert ended.stdout.partition("summary_json=")[0].count("It is done.") == 1
    assert ended.files.log.count("It is done.") == 1
    (run,) = stand_in.runs
    assert sorted(run["descriptors"]) == ["0", "1", "2"]
    assert run["cwd"] == str(task.cli.cwd)
    wait_until(lambda: heard.read_text().count("\n") == 2, what="both hooks")


@pytest.mark.usefixtures("new_interpreters")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_whose_supervisor_is_a_new_interpreter(
    task: Tasks, stand_in: StandIn, number: int
) -> None:
    stand_in.plays(*script.begin(), script.spawn(double_fork=True), script.hang())
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: stand_in.children)
    codex = files.codex()

    begun.send(number)
    ended = begun.wait()

    assert ended.code == 128 + number
    assert ended.fields["outcome"] == "interrupted"
    assert gone(codex, *stand_in.children)


@pytest.mark.usefixtures("new_interpreters")
def test_new_interpreters_deliver_what_waits_and_are_stopped(
    sessions: Sessions, held: Path
) -> None:
    session = sessions.start()
    first = session.wait_for_run(1)
    assert is_new_interpreter(first.supervisor())
    assert session.queue("Next.").code == 0
    held.touch()
    assert session.wait().code == 0
    assert session.given == ["Begin.", "Next."]
    held.unlink()
    assert session.send("More.").code == 0
    session.wait_for_run(3)

    assert session.stop().code == 0

    assert session.records[-1]["outcome"] == "stopped"
    assert sessions("verify", "--full").code == 0


@pytest.mark.core
def test_what_a_start_delivers_for_another_session_is_not_ended_with_its_run(
    sessions: Sessions, task: Tasks, codex: StandIn, stand_in: StandIn, go: Path
) -> None:
    session = sessions.ended()
    codex.plays(
        *script.begin(), script.wait_for(go), script.complete(), thread=script.FRESH
    )
    session.send("Slow.")
    session.queue("Next.")
    session.wait_for_run(2)
    session.lose(supervisor=True, codex=True)
    stand_in.plays(*script.begin(), script.hang())

    begun = task.start()
    begun.wait_running()
    other = session.wait_for_run(3)
    pids = other.supervisor(), other.codex()
    begun.send(signal.SIGTERM)
    ended = begun.wait()

    assert ended.fields["outcome"] == "interrupted"
    assert ended.meta["left_running"] == []
    assert all(map(is_alive, pids))
    go.touch()
    assert session.wait().code == 0
    wait_until(lambda: gone(*pids))
    assert [each["outcome"] for each in session.records] == [
        *("succeeded", "lost", "succeeded")
    ]


def test_what_a_waiting_run_delivers_for_another_session_is_not_ended_with_it(
    sessions: Sessions, task: Tasks, codex: StandIn, stand_in: StandIn, go: Path
) -> None:
    other = sessions.ended()
    codex.plays(
        *script.begin(), script.wait_for(go), script.complete(), thread=script.FRESH
    )
    other.send("Slow.")
    other.queue("Next.")
    slow = other.wait_for_run(2)
    first = go.with_name("first")
    stand_in.plays(
        *script.begin(),
        script.when("Wait.", script.hang()),
        script.wait_for(first),
        script.complete(),
    )
    holder = task.start()
    holder.wait_running()
    wait_until(lambda: task.all[0].meta["session_id"], what="the name of the session")
    words = ("--resume", script.THREAD, "--task", "Wait.", "--wait-for-session")
    waiter = task.start(*words)
    wait_until(lambda: "waiting: run " in waiter.stderr)
    # Only the waiting run sweeps now.
    other.lose(supervisor=True, codex=True)
    assert is_alive(waiter.process.pid)
    assert gone(slow.codex())
    delivered = other.wait_for_run(3)
    pids = delivered.supervisor(), delivered.codex()

    first.touch()
    assert holder.wait().code == 0
    waiter.wait_running()
    wait_until(lambda: len(stand_in.runs) > 1, what="the prompt that waited")
    waiter.send(signal.SIGTERM)
    ended = waiter.wait()

    assert ended.fields["outcome"] == "interrupted"
    assert ended.meta["left_running"] == []
    assert all(map(is_alive, pids))
    go.touch()
    assert other.wait().code == 0
