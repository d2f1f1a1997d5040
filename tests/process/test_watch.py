"""`ls --watch`: live, and the terminal is afterwards as it was before."""

import re
import signal
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import stand_in as script
from support.commands import Cli
from support.processes import wait_until
from support.sessions import Sessions
from support.stand_in import StandIn
from support.terminal import Picture, Terminal, terminal

if TYPE_CHECKING:
    import subprocess

KEYS = "↑↓ select"
END = "\x1b[?7h\x1b[?25h\x1b[?1049l"


class Watch:
    """A watch in a terminal of its own."""

    def __init__(self, opened: Terminal, cli: Cli, *words: str) -> None:
        self.terminal, self.picture = opened, Picture()
        opened.resize(24, 80)
        self.before = termios.tcgetattr(opened.screen)
        env = cli.env({"TERM": "xterm", "LANG": "C.UTF-8", "LC_ALL": None})
        argv = cli.argv("ls", "--watch", *words, command="codex_tasks")
        self.argv, self.env = argv, env
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self, *around: str) -> None:
        self.process = self.terminal.start([*around, *self.argv], self.env)

    def look(self) -> str:
        self.picture.feed(self.terminal.shown())
        return self.picture.text

    def shows(self, *texts: str) -> None:
        """Wait until all these texts are shown at once."""
        wait_until(lambda: all(each in self.look() for each in texts))

    def shows_rows(self, count: int) -> None:
        wait_until(lambda: len(self.look().splitlines()) == count)

    def press(self, keys: str) -> None:
        self.terminal.press(keys.encode())

    def end(self) -> int:
        """Wait for its end, and check that the terminal is as it was before."""
        assert self.process is not None
        code = self.process.wait(30)
        self.look()
        assert not self.picture.is_whole
        assert self.picture.written.rstrip().endswith(END)
        assert termios.tcgetattr(self.terminal.screen) == self.before
        return code


@pytest.fixture
def watch(cli: Cli) -> Iterator[Watch]:
    with terminal() as opened:
        yield Watch(opened, cli)


def selected(watch: Watch) -> str:
    """Give the id in the rule above the events of the selected task."""
    watch.look()
    (rule,) = (line for line in watch.picture.lines if line.startswith("── "))
    return rule.split()[1]


def test_a_change_is_shown_and_the_selection_stays_on_its_task(
    watch: Watch, sessions: Sessions, held: Path
) -> None:
    first = sessions.start("The first of them.").status["short_id"]
    watch.begin()
    watch.shows("1 running", first[:4], KEYS)
    assert selected(watch) == first

    sessions.start("The second of them.")
    watch.shows("2 running", "The second of them.")
    assert selected(watch) == first
    watch.press("k")
    wait_until(lambda: selected(watch) != first)
    held.touch()
    watch.shows("✓ done", "answer to The second of them.")
    wait_until(lambda: watch.look().count("✓ done") == 2)
    watch.press("q")

    assert watch.end() == 0


def test_keys_stop_a_task_pause_the_queue_and_filter(
    watch: Watch, sessions: Sessions, held: Path
) -> None:
    task = sessions.start("Stop me.")
    watch.begin()
    watch.shows("● running")
    watch.press("?")
    watch.shows("asks first")
    watch.press("x")
    watch.shows(KEYS)
    watch.press("s")
    watch.shows("stop", "? y yes")
    watch.press("n")
    watch.shows(KEYS)
    assert task.state == "RUNNING"
    watch.press("sy")
    watch.shows("■ stopped", "by you", f"Task {task.status['short_id']} stopped.")
    assert str(task.status["id"]) not in watch.look()
    watch.press("p")
    watch.shows("the queue is paused")
    watch.press("p")
    wait_until(lambda: "is paused" not in watch.look())
    watch.press("/nothing")
    watch.shows("No such tasks.")
    watch.press("\x1b")
    watch.shows("Stop me.", KEYS)
    watch.press("r")
    watch.shows("● running")
    watch.press("q")

    assert watch.end() == 0
    held.touch()
    assert task.wait().code == 0


@pytest.mark.usefixtures("codex")
def test_escape_clears_a_filter_that_was_entered(
    watch: Watch, sessions: Sessions
) -> None:
    sessions.ended("Keep this.")
    sessions.ended("Hide that.")
    watch.begin()
    watch.shows("Keep this.", "Hide that.", KEYS)
    assert "esc" not in watch.look()
    watch.press("/keep\r")
    watch.shows("with keep", "esc clear filter")
    assert "Hide that." not in watch.look()
    watch.press("?")
    watch.shows("clear that filter")
    watch.press("x")
    watch.shows("esc clear filter")
    watch.press("\x1b")
    watch.shows("Keep this.", "Hide that.", KEYS)
    assert "with keep" not in watch.look()
    watch.press("q")

    assert watch.end() == 0


def test_the_log_is_followed_and_q_returns(
    watch: Watch, sessions: Sessions, held: Path
) -> None:
    sessions.start("Say it.")
    watch.begin()
    watch.shows("Say it.")
    watch.press("\r")
    watch.shows("session id:", "q back")
    held.touch()
    watch.shows("answer to Say it.", "ended")
    watch.press("q")
    watch.shows("✓ done", KEYS)
    watch.press("d")
    watch.shows("diff", "ended")
    watch.press("q")
    watch.shows("✓ done", KEYS)
    watch.press("q")

    assert watch.end() == 0


def test_the_events_of_a_task_have_the_times_of_its_log(
    watch: Watch, sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(),
        script.item("command_execution", state="started", command="make"),
        script.item("command_execution", command="make", status="completed"),
        script.reconnecting(1),
        script.wait_for(go),
        script.complete(),
        thread=script.FRESH,
    )
    sessions.start("Make it.")
    watch.begin()
    watch.shows("note     Reconnecting")

    at = r"\d\d:\d\d:\d\d  "
    events = re.compile(f"{at}\\$ +make.*{at}note +Reconnecting", re.DOTALL)
    wait_until(lambda: events.search(watch.look()) is not None)
    go.touch()
    watch.shows("✓ done")
    watch.press("q")
    assert watch.end() == 0


@pytest.mark.usefixtures("codex")
def test_it_is_drawn_for_each_size(watch: Watch, sessions: Sessions) -> None:
    sessions.ended("Do it.")
    watch.begin()
    watch.shows("ID    STATE", KEYS)
    for rows, columns in ((20, 64), (60, 200), (24, 80), (5, 30)):
        watch.terminal.resize(rows, columns)
        watch.shows_rows(rows)
        assert max(map(len, watch.picture.lines)) <= columns
        assert ("DETAIL" in watch.picture.text) == (columns >= 72)
    watch.press("q")

    assert watch.end() == 0


@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]
)
def test_a_signal_ends_it_and_the_screen_is_as_it_was(
    watch: Watch, number: signal.Signals
) -> None:
    watch.begin()
    watch.shows("No tasks yet.")
    assert watch.process is not None
    watch.process.send_signal(number)

    assert watch.end() == 128 + number


@pytest.mark.usefixtures("sessions")
def test_ctrl_c_and_ctrl_z_are_those_of_the_terminal(watch: Watch) -> None:
    # With `set -m` a job that is suspended gives the terminal back.
    watch.begin("sh", "-c", 'set -m; "$@"; echo rests $?; fg; echo ends $?', "sh")
    watch.shows("No tasks yet.")
    watch.press("\x1a")
    wait_until(lambda: watch.look() and "rests 148" in watch.picture.written)
    before = watch.picture.written.partition("rests")[0]
    assert before.rstrip().endswith(END)
    watch.shows("No tasks yet.", KEYS)
    watch.press("\x03")
    wait_until(lambda: watch.look() and "ends 130" in watch.picture.written)
    assert not watch.picture.is_whole
    assert termios.tcgetattr(watch.terminal.screen) == watch.before


def damage(state_home: Path) -> None:
    (state_home / "ledger.db").write_bytes(b"no database" * 1000)
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (state_home / name).unlink(missing_ok=True)


def test_an_error_is_shown_on_the_screen_that_was_there_before(
    watch: Watch, sessions: Sessions, state_home: Path
) -> None:
    sessions.ended("Do it.")
    watch.begin()
    watch.shows("Do it.")
    damage(state_home)
    assert watch.process is not None

    assert watch.process.wait(30) == 1
    watch.look()
    assert "ledger.db" in watch.picture.written.rpartition("\x1b[?1049l")[2]
    assert termios.tcgetattr(watch.terminal.screen) == watch.before


def test_without_a_terminal_it_says_what_to_do(cli: Cli) -> None:
    for words in (("ls", "--watch"), ("ls", "-w"), ("top",)):
        said = cli(*words, command="codex_tasks")
        assert (said.returncode, said.stdout) == (2, "")
        assert "codex-tasks ls" in said.stderr


@pytest.mark.usefixtures("sessions")
def test_a_dumb_terminal_gets_no_escape_sequences(watch: Watch) -> None:
    watch.env["TERM"] = "dumb"
    watch.begin()
    assert watch.process is not None

    assert watch.process.wait(30) == 2
    assert "codex-tasks ls" in watch.look()
    assert "\x1b" not in watch.picture.written


@pytest.mark.usefixtures("sessions")
def test_it_takes_no_cpu_while_nothing_happens(watch: Watch) -> None:
    watch.begin()
    watch.shows("No tasks yet.")
    assert watch.process is not None
    was, began = cpu_of(watch.process.pid), time.monotonic()
    count = len(watch.picture.written)
    wait_until(lambda: time.monotonic() - began > 3)
    watch.look()

    assert cpu_of(watch.process.pid) - was < 0.3
    # The clock, once a second.
    assert len(watch.picture.written) - count < 1000
    watch.press("q")
    assert watch.end() == 0


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
