"""Whoever calls `codex-tasks start`, and whatever becomes of him: the session goes on.

The real Codex works in each of these sessions until the test lets it go, so a command
that has ended did not wait for it.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import wait_until
from support.real_codex import holding
from support.real_sessions import DEADLINE, RealSession, RealSessions
from support.tasks import Ended
from support.terminal import Terminal, terminal

from parsers.text import uuid

INTERRUPTED = 130
READER_GONE = 141
# Where nobody can read the id, people are told.
NOTED = "codex_tasks: task {} was started\n"


class Caller:
    """Starts sessions that work until they are let go, by way of a shell script."""

    def __init__(self, sessions: RealSessions, go: Path) -> None:
        self.sessions = sessions
        self.go = go
        self.argv = sessions.argv(f"run: {holding(go)}\nsay: the end")

    def shell(self, script: str) -> list[str]:
        """Give the command line of a script in which "$@" is the start."""
        return ["sh", "-c", script, "sh", *self.argv]

    def __call__(self, script: str, stdin: int = subprocess.DEVNULL) -> Ended:
        """Run a script to its end and until nobody holds its output open."""
        process = self.sessions.codex.cli.launch(self.shell(script), stdin=stdin)
        assert process.stdout is not None
        assert process.stderr is not None
        code = process.wait(DEADLINE)
        # A pipe whose other end a detached process had kept would not end here.
        said = process.stdout.read().decode(), process.stderr.read().decode()
        assert not self.go.exists()
        return Ended(code, *said)

    def goes_on(self, session: RealSession) -> None:
        """See that the session is at work, and that it comes to a good end."""
        assert session.status["state"] == "RUNNING"
        self.go.touch()
        assert session.wait().code == 0
        assert session.result() == Ended(0, "the end\n", "")

    def only_session(self) -> RealSession:
        """Wait until there is a session that has its name, and give it."""
        found: list[RealSession] = []

        def is_named() -> bool:
            found[:] = self.sessions.all
            return len(found) == 1 and uuid(found[0].id) is not None

        wait_until(is_named, DEADLINE, "a session with a name")
        return found[0]


@pytest.fixture
def caller(sessions: RealSessions, tmp_path: Path) -> Caller:
    return Caller(sessions, tmp_path / "go")


@pytest.fixture
def screen() -> Iterator[Terminal]:
    with terminal() as opened:
        yield opened


@pytest.fixture
def slow_codex(sessions: RealSessions, tmp_path: Path) -> Path:
    """Make a Codex that waits for a file `now` before it is one."""
    path = tmp_path / "slow-codex"
    codex = sessions.codex.stand_in.path
    waiting = f'[ "$1" != exec ] || {holding(tmp_path / "now")}'
    path.write_text(f'#!/bin/sh\n{waiting}\nexec "{codex}" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "script",
    [
        'id=$("$@") && echo "$id"',
        'id=$("$@" 2>&1) && echo "$id"',
        '"$@" 2>&1 | cat',
        '"$@" & wait $!',
    ],
)
def test_a_shell_gets_the_id_and_does_not_wait_for_codex(
    caller: Caller, script: str
) -> None:
    said = caller(script)

    assert (said.code, said.stderr) == (0, "")
    caller.goes_on(caller.sessions.named(said.stdout))


def test_a_caller_that_holds_an_open_pipe_does_not_hang(caller: Caller) -> None:
    said = caller('"$@"', stdin=subprocess.PIPE)

    assert (said.code, said.stderr) == (0, "")
    caller.goes_on(caller.sessions.named(said.stdout))


def test_a_start_in_the_background_outlives_its_script(
    caller: Caller, tmp_path: Path
) -> None:
    out, err = tmp_path / "out", tmp_path / "err"

    said = caller(f'"$@" >{out} 2>{err} & echo started')

    assert said == Ended(0, "started\n", "")
    wait_until(lambda: out.read_text().endswith("\n"), DEADLINE, "the id")
    assert err.read_text() == ""
    caller.goes_on(caller.sessions.named(out.read_text()))


@pytest.mark.parametrize(
    ("script", "code", "note"),
    [
        ('exec "$@" >&-', READER_GONE, NOTED),
        ('exec "$@" <&-', 0, ""),
        ('exec "$@" 2>&-', 0, ""),
        ('exec "$@" <&- >&- 2>&-', READER_GONE, ""),
    ],
)
def test_closed_standard_streams_do_no_harm(
    caller: Caller, script: str, code: int, note: str
) -> None:
    said = caller(script)

    session = caller.only_session()
    assert (said.code, said.stderr) == (code, note.format(session.id))
    assert said.stdout == ("" if code else f"{session.id}\n")
    caller.goes_on(session)


def test_a_reader_that_is_gone_costs_nothing_but_the_line(
    caller: Caller, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"

    said = caller(f'mkfifo {pipe}; : <{pipe} & exec "$@" >{pipe}')

    session = caller.only_session()
    assert (said.code, said.stdout) == (READER_GONE, "")
    assert said.stderr == NOTED.format(session.id)
    caller.goes_on(session)


def test_closing_the_terminal_after_the_start_stops_nothing(
    caller: Caller, screen: Terminal
) -> None:
    environment = caller.sessions.codex.cli.environment
    shell = screen.start(caller.shell('"$@"; read forever'), environment)
    shown: list[str] = []

    def has_id() -> bool:
        shown.append(screen.shown())
        return "".join(shown).endswith("\n")

    wait_until(has_id, DEADLINE, "the id")
    session = caller.sessions.named("".join(shown))
    screen.close()
    shell.wait(DEADLINE)

    caller.goes_on(session)


def test_closing_the_terminal_before_the_thread_has_a_name_stops_nothing(
    caller: Caller, screen: Terminal, slow_codex: Path, tmp_path: Path
) -> None:
    environment = caller.sessions.codex.cli.environment
    caller.argv += ["--codex-bin", str(slow_codex)]
    shell = screen.start(caller.shell('"$@"; read forever'), environment)
    wait_until(caller.sessions.listed, DEADLINE, "the session")
    (nameless,) = caller.sessions.all
    wait_until(lambda: nameless.status["pid"], DEADLINE, "the slow Codex")

    screen.close()
    shell.wait(DEADLINE)

    assert nameless.status["state"] == "RUNNING"
    (tmp_path / "now").touch()
    session = caller.only_session()
    assert nameless.status["id"] == session.id
    assert not nameless.directory.exists()
    caller.goes_on(session)


def test_an_interrupt_before_the_thread_has_a_name_takes_the_run_with_it(
    caller: Caller, screen: Terminal, slow_codex: Path
) -> None:
    environment = caller.sessions.codex.cli.environment
    caller.argv += ["--codex-bin", str(slow_codex)]
    start = screen.start(caller.shell('exec "$@"'), environment)
    wait_until(caller.sessions.listed, DEADLINE, "the session")
    (nameless,) = caller.sessions.all
    wait_until(lambda: nameless.status["pid"], DEADLINE, "the slow Codex")

    screen.press(b"\x03")

    assert start.wait(DEADLINE) == INTERRUPTED
    status = nameless.status
    assert (status["state"], status["outcome"]) == ("DIED", "interrupted")
    assert status["error"] in screen.shown()
