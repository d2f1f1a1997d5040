"""`codex-tasks log` in a terminal, while the real Codex works."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import wait_until
from support.real_codex import holding
from support.real_sessions import DEADLINE, RealSession, RealSessions
from support.sessions import COMMAND
from support.terminal import Terminal, terminal

from runner.arrivals import Times, path_of

INTERRUPTED = 130
# Clears the screen, moves, colours, names the window, rings, goes back.
ORDERS = r"\033[2J\033[3;7H\033[31mred\033[0m\033]0;title\007\b\b\rover"
SHOWN = r"  \x1b[2J\x1b[3;7H\x1b[31mred\x1b[0m\x1b]0;title\x07\x08\x08\x0dover"
# The supervisor reads within milliseconds; a busy machine takes longer.
CLOSE = 0.5
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def recorded(rollout: Path, kind: str) -> list[dict[str, Any]]:
    """Give what is in the records of a kind."""
    payloads = (
        json.loads(line)["payload"] for line in rollout.read_text().splitlines()
    )
    return [each for each in payloads if each.get("type") == kind]


class Screen:
    """Shows a log in a terminal; what it has printed is collected."""

    def __init__(self, session: RealSession, opened: Terminal) -> None:
        self.terminal = opened
        self.text = ""
        cli = session.sessions.codex.cli
        self.process = opened.start(
            cli.argv("log", "-f", session.id, command=COMMAND),
            cli.env({"TERM": "xterm-256color", "NO_COLOR": None}),
        )

    def wait_for(self, text: str) -> None:
        def is_shown() -> bool:
            self.text += self.terminal.shown()
            return text in self.text

        wait_until(is_shown, DEADLINE, f"{text!r} on the screen")

    def wait_for_end(self) -> int:
        code = self.process.wait(DEADLINE)
        self.text += self.terminal.shown()
        return code

    @property
    def plain(self) -> str:
        """Give the text without its colours and with plain line ends."""
        return COLOUR.sub("", self.text).replace("\r\n", "\n")


@pytest.fixture
def window() -> Iterator[Terminal]:
    with terminal() as opened:
        yield opened


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return tmp_path / "go"


@pytest.fixture
def working(sessions: RealSessions, go: Path) -> RealSession:
    """Start a session that says something and works until it is let go."""
    return sessions.start(f"run: echo ear''ly\nrun: {holding(go)}\nsay: the end")


def test_a_followed_log_grows_in_colour_and_ends_by_itself(
    working: RealSession, window: Terminal, go: Path
) -> None:
    screen = Screen(working, window)
    screen.wait_for("  early\r\n")
    working.queue("run: echo la''ter\nsay: the very end")
    assert screen.process.poll() is None
    assert "  the end" not in screen.plain.partition("early\n")[2]

    go.touch()

    assert screen.wait_for_end() == 0
    said = screen.plain
    note = f"Task {working.id} is STOPPED; stopping log follow.\n"
    assert said.endswith(note)
    shown = ["  early\n", "  the end\n", "  later\n", "  the very end\n"]
    places = [said.rindex(text) for text in shown]
    assert places == sorted(places)
    assert len(COLOUR.findall(screen.text)) > 10


def test_what_a_tool_orders_the_terminal_to_do_is_not_done(
    working: RealSession, window: Terminal, go: Path
) -> None:
    working.queue(f"run: printf '{ORDERS}'\nsay: \x1b[2Jan answer\x07\x9b2J")
    screen = Screen(working, window)
    go.touch()

    assert screen.wait_for_end() == 0
    said = screen.plain
    assert SHOWN in said
    assert r"  \x1b[2Jan answer\x07\x9b2J" in said
    controls = {char for char in said if not char.isprintable()}
    assert controls == {"\n"}


def test_an_interrupt_ends_the_log_alone(
    working: RealSession, window: Terminal, go: Path
) -> None:
    screen = Screen(working, window)
    screen.wait_for("  early\r\n")

    window.press(b"\x03")

    assert screen.wait_for_end() == INTERRUPTED
    assert working.status["state"] == "RUNNING"
    go.touch()
    assert working.wait().code == 0
    assert working.result().stdout == "the end\n"


def test_closing_the_terminal_ends_the_log_alone(
    working: RealSession, window: Terminal, go: Path
) -> None:
    screen = Screen(working, window)
    screen.wait_for("  early\r\n")

    window.close()

    assert screen.process.wait(DEADLINE) != 0
    assert working.status["state"] == "RUNNING"
    go.touch()
    assert working.wait().code == 0


def test_a_log_in_a_file_has_no_colours_and_its_json_is_the_session_s_own(
    working: RealSession, go: Path
) -> None:
    go.touch()
    assert working.wait().code == 0
    working.send("run: true\nfail: 500")
    assert working.wait().code == 1
    working.send("say: the end again")
    assert working.wait().code == 0

    said = working.sessions("log", working.id)
    last = working.sessions("log", "-n", 1, working.id)
    events = working.sessions("log", "--json", working.id)

    assert {each.code for each in (said, last, events)} == {0}
    assert {each.stderr for each in (said, last, events)} == {""}
    assert "\x1b" not in said.stdout
    assert "  early\n" in said.stdout
    assert "high demand" in said.stdout
    assert "the end again" in said.stdout
    assert "early" not in last.stdout
    found = [json.loads(line) for line in events.stdout.splitlines()]
    assert sorted(map(str, found)) == sorted(map(str, working.log))
    asked = [each["message"] for each in found if each["type"] == "user_message"]
    assert asked == working.prompts


def test_times_are_those_that_codex_has_in_its_own_record(
    sessions: RealSessions,
) -> None:
    session = sessions.start("run: sleep 1.5\nrun: echo ear''ly\nsay: the end")
    assert session.wait().code == 0
    (run,) = session.runs
    times = Times(path_of(sessions.state_home, run.run_id))
    times.read()
    lines = run.path(".events.jsonl").read_bytes().splitlines(keepends=True)

    place, ours = 0, []
    for line in lines:
        moment = times.of(place, is_stderr=False)
        place += len(line)
        event = json.loads(line)
        item = event.get("item", {}).get("type")
        if moment and item in {"command_execution", "agent_message"}:
            ours.append((event["type"], item, moment.seconds))
    done = [(item, at) for kind, item, at in ours if kind == "item.completed"]
    begun = [at for kind, _, at in ours if kind == "item.started"]

    names = {"CommandExecution": "command_execution", "AgentMessage": "agent_message"}
    theirs = [
        (names[each["item"]["type"]], each)
        for each in recorded(sessions.codex.rollout(session.id), "item_completed")
        if each["item"]["type"] in names
    ]
    assert [item for item, _ in done] == [item for item, _ in theirs]
    for (_, at), (_, each) in zip(done, theirs, strict=True):
        assert at == pytest.approx(each["completed_at_ms"] / 1000, abs=CLOSE)
    commands = [each for item, each in theirs if item == "command_execution"]
    for at, each in zip(begun, commands, strict=True):
        assert at == pytest.approx(each["started_at_ms"] / 1000, abs=CLOSE)
    shown = sessions("log", "--time", session.id).stdout
    assert re.search(
        r"^\d\d:\d\d:\d\d  succeeded: .*sleep 1.5'?  \d\.\ds$", shown, re.MULTILINE
    )
