"""Writes scripts for the stand-in `codex`, and reads what it was given.

A script is a list of steps; a step is a small dictionary made by one of the functions
below. In texts `$THREAD` stands for the thread id (the one asked for on resume) and
`$PROMPT` for the prompt, as it is written within a JSON string.
"""

import json
import marshal
import py_compile
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

Step = dict[str, object]

THREAD = "01a1f000-0000-7000-8000-000000000001"
# As the setting `thread`: every first run opens a thread of its own.
FRESH = "fresh"
USAGE = {
    "input_tokens": 1200,
    "cached_input_tokens": 1000,
    "cache_write_input_tokens": 0,
    "output_tokens": 345,
    "reasoning_output_tokens": 45,
}
_PROGRAM = Path(__file__).with_name("stand_in_codex.py")


def out(data: str | bytes) -> Step:
    """Write to stdout exactly this: no newline is added."""
    return _bytes(data, "stdout")


def err(data: str | bytes) -> Step:
    """Write to stderr exactly this."""
    return _bytes(data, "stderr")


def _bytes(data: str | bytes, to: str) -> Step:
    raw = data.encode() if isinstance(data, str) else data
    return {"do": "bytes", "to": to, "data": raw}


def event(kind: str, **fields: object) -> Step:
    """Write one event line."""
    return out(json.dumps({"type": kind, **fields}, separators=(",", ":")) + "\n")


def item(
    kind: str, number: int = 1, state: str = "completed", **fields: object
) -> Step:
    """Write one `item.started`, `item.updated` or `item.completed` line."""
    return event(f"item.{state}", item={"id": f"item_{number}", "type": kind, **fields})


def begin(thread: str = "$THREAD") -> list[Step]:
    """Announce the thread and the turn."""
    return [event("thread.started", thread_id=thread), event("turn.started")]


def message(text: str, number: int = 1) -> Step:
    """Say something."""
    return item("agent_message", number, text=text)


def complete(usage: Mapping[str, int] = USAGE) -> Step:
    """End the turn well."""
    return event("turn.completed", usage=dict(usage))


def fail(text: str) -> list[Step]:
    """End the turn with an error; Codex then exits with 1."""
    return [
        event("error", message=text),
        event("turn.failed", error={"message": text}),
        leave(1),
    ]


def ordinary(text: str = "All done.") -> list[Step]:
    """Play a run in which nothing goes wrong."""
    return [*begin(), message(text), complete()]


def reconnecting(times: int, every: float = 0.02) -> Step:
    """Repeat the line of a Codex whose network is down."""
    line = "Reconnecting... waiting for network (os error 101)"
    return repeat(times, event("error", message=line), wait(every))


def fill(count: int) -> Step:
    """Write so many bytes without a newline."""
    return {"do": "fill", "count": count}


def write(path: str | Path, text: str) -> Step:
    """Append to a file; `$CODEX_HOME` is understood in its path."""
    return {"do": "write", "path": str(path), "text": text}


def wait(seconds: float) -> Step:
    """Do nothing for a time."""
    return {"do": "wait", "seconds": seconds}


def wait_for(path: Path) -> Step:
    """Do nothing until the test has made this file."""
    return {"do": "wait_for", "path": str(path)}


def when(text: str, *steps: Step) -> Step:
    """Play these steps, and end, if the prompt holds this text."""
    return {"do": "when", "text": text, "steps": list(steps)}


def alone() -> Step:
    """Hold the thread from here on; two at once are noticed: `StandIn.together`."""
    return {"do": "alone"}


def hang() -> Step:
    """Never end."""
    return {"do": "hang"}


def ignore(*signals: str) -> Step:
    """Ignore signals: `INT`, `TERM`, …"""
    return {"do": "ignore", "signals": list(signals)}


def on_signal(name: str, *steps: Step) -> Step:
    """Play these steps when the signal comes."""
    return {"do": "on_signal", "signal": name, "steps": list(steps)}


def repeat(times: int, *steps: Step) -> Step:
    """Play these steps again and again."""
    return {"do": "repeat", "times": times, "steps": list(steps)}


def spawn(  # a switch for each way in which a tool escapes
    *,
    seconds: float = 300,
    own_session: bool = True,
    double_fork: bool = False,
    ignoring: Sequence[str] = (),
    keep_output: bool = False,
) -> Step:
    """Start a child that sleeps; its pid is in `StandIn.children`."""
    return {
        "do": "spawn",
        "seconds": seconds,
        "own_session": own_session,
        "double_fork": double_fork,
        "ignore": list(ignoring),
        "keep_output": keep_output,
    }


def native(program: Path, script: str, *, leave: int | None = None) -> Step:
    """Be a launcher: run a native child on our own streams, as npm's `codex` does.

    INT and TERM are passed on to it, and its end is ours, unless we are to leave it
    at once with an exit code of our own. Its pid is in `StandIn.natives`; `make_native`
    makes the program, `script` is for a shell.
    """
    return {"do": "native", "program": str(program), "script": script, "leave": leave}


def leave(code: int) -> Step:
    """Exit at once."""
    return {"do": "exit", "code": code}


def die(name: str) -> Step:
    """Be killed by a signal."""
    return {"do": "die", "signal": name}


@dataclass(frozen=True, slots=True)
class StandIn:
    """One stand-in: `path` is what `--codex-bin` is given."""

    path: Path

    def plays(self, *steps: Step, **settings: object) -> None:
        """Replace the script.

        Args:
            steps: What it does after it has read its stdin.
            settings: `version`, `login` (text of `login status`; None: no login),
                `thread`, `read_stdin`.
        """
        defaults = {
            "version": "codex-cli 0.169.0",
            "login": None,
            "thread": THREAD,
            "read_stdin": True,
        }
        script = {**defaults, **settings, "steps": steps}
        self._beside(".script").write_bytes(marshal.dumps(script))

    @property
    def records(self) -> list[dict[str, Any]]:
        """Show what each call was given: argv, stdin, env, umask, descriptors, …"""
        return list(self._records())

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Show the calls that were runs: not `--version`, not `login status`."""
        return [record for record in self.records if "stdin" in record]

    @property
    def children(self) -> list[int]:
        """List the pids that `spawn` steps have started."""
        return [record["child"] for record in self.records if "child" in record]

    @property
    def natives(self) -> list[int]:
        """List the pids that `native` steps have started."""
        return [record["native"] for record in self.records if "native" in record]

    @property
    def together(self) -> list[str]:
        """List the threads on which two calls were at work at once."""
        return [r["together"] for r in self.records if "together" in r]

    def given(self, thread: str) -> list[str]:
        """List the prompts that were given in a thread, in order."""
        return [run["stdin"] for run in self.runs if run["thread"] == thread]

    def begun(self, thread: str) -> list[str]:
        """List the prompts whose turn began in a thread, in order."""
        return [
            record["began"]
            for record in self.records
            if "began" in record and record["thread"] == thread
        ]

    def _records(self) -> Iterator[dict[str, Any]]:
        path = self._beside(".record")
        if not path.exists():
            return
        with path.open("rb") as file, suppress(EOFError):
            while True:
                record = marshal.load(file)  # noqa: S302  # our own program wrote it
                ignored = record["ignored"]
                names = [s.name for s in signal.Signals if ignored >> s - 1 & 1]
                yield {**record, "ignored": names}

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def make_native(directory: Path) -> Path:
    """Make a program whose executable is named as Codex's native binary: a shell."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "codex"
    shutil.copy(shutil.which("bash") or "/bin/bash", path)
    return path


def make_stand_in(directory: Path, *steps: Step, **settings: object) -> StandIn:
    """Make an executable `codex` in the directory; without steps all goes well."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "codex"
    make_program(path, _PROGRAM, str(path))
    stand_in = StandIn(path)
    stand_in.plays(*(steps or ordinary()), **settings)
    return stand_in


def make_program(path: Path, source: Path, *words: str) -> None:
    """Make an executable that runs Python source, compiled, with these words first."""
    command = shlex.join([sys.executable, "-IS", _compiled(source), *words])
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    path.chmod(0o755)


@cache
def _compiled(source: Path) -> str:
    """Compile a program, once for each xdist worker."""
    path = py_compile.compile(str(source), doraise=True)
    assert path is not None
    return path
