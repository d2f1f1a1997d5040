"""What a command and the supervisor of its run say to each other.

A command detaches a copy of itself, the supervisor. That one sends lines of JSON over
the status pipe: first that the run is recorded, or why it was refused, then how it goes
on. After the first line the pipe is a convenience only: the command may be gone, and
later readers use the ledger.
"""

from __future__ import annotations

import os
import select
import sys

from parsers import json_text
from parsers.light import signal, suppress
from parsers.paths import Path
from runner.errors import RunnerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from types import ModuleType
    from typing import Any

# Signals that stop a run when its supervisor, or the command that follows it, gets one.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# The signal that `stop` sends to a supervisor: the run is then `stopped`, not
# `interrupted`.
STOP_SIGNAL = signal.SIGUSR1
# The name of a supervisor in process lists.
NAME = "runner.supervisor"
# Other systems allow little in a copy of a process: there it only records the run, and
# then becomes a new interpreter, which is the supervisor.
IS_COPY = sys.platform == "linux"
# This suite is first on sys.path: the caller's directory and PYTHONPATH may contain a
# `runner` or `parsers` too.
_PROGRAM = f"""\
import os, sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from runner.supervisor.main import main; os._exit(main())"""


def supervisor() -> ModuleType:
    """Load the supervisor: a level above, but it runs in a process of its own."""
    name = "runner.supervisor.main"
    __import__(name)
    return sys.modules[name]


def argv_of(run_id: str, *descriptors: int) -> list[str]:
    """Build the command line of a supervisor that is not a copy.

    Args:
        run_id: the run, which is recorded.
        descriptors: what it inherits: the status pipe, the lock of `owner`, and the
            open file that Codex writes to.
    """
    numbers = map(str, descriptors)
    return [sys.executable, "-P", "-c", _PROGRAM, NAME, run_id, *numbers]


class StatusPipe:
    """Send status messages to the command that follows the run."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._unsent: dict[str, object] = {}
        self._parts: list[tuple[int, int]] = []
        os.set_blocking(descriptor, False)

    def show(self, begin: int, end: int, read: tuple[int, int]) -> None:
        """Send which part of the log is new transcript, for the caller to copy.

        Args:
            begin: its first byte. What is between the parts are the outputs of hooks.
            end: the byte after it.
            read: the bytes of events and of standard error that the log has now. When
                this process is killed, the caller goes on from there.
        """
        if self._parts and self._parts[-1][1] == begin:
            begin = self._parts.pop()[0]
        self._parts.append((begin, end))
        self._unsent = {"parts": self._parts, "read": read}
        self.send()

    def send(self, **message: object) -> None:
        """Send one message, with the parts that the caller has not been sent yet.

        The caller misses it when it is gone, or does not read.
        """
        # A full pipe may take only a piece; the next message begins on a new line.
        line = f"\n{json_text.dumps({**self._unsent, **message})}\n".encode()
        with suppress(OSError):
            # Without its newline it is complete too, once the next one comes.
            if os.write(self.descriptor, line) >= len(line) - 1:
                self._unsent = {}
                self._parts.clear()


class StatusReader:
    """Read the status messages of a supervisor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        # Lines that no caller has taken yet; the last one may be incomplete.
        self._lines = [b""]
        self._has_ended = False
        os.set_blocking(descriptor, False)

    @property
    def is_open(self) -> bool:
        """Return whether messages may come, or have come and were not taken."""
        return not self._has_ended or len(self._lines) > 1

    def messages(self) -> Iterator[Mapping[str, Any]]:
        """Yield the complete messages that no caller has taken yet."""
        while self.is_open:
            while len(self._lines) > 1:
                line = self._lines.pop(0)
                with suppress(ValueError):
                    if line:
                        yield json_text.loads(line)
            if self._has_ended:
                break
            try:
                data = os.read(self.descriptor, 65536)
            except BlockingIOError:
                break
            self._has_ended = not data
            self._lines = (self._lines[0] + data).split(b"\n")

    def wait_for(self, words: Collection[str]) -> Mapping[str, Any]:
        """Wait for the first message with one of these words; {} if none comes."""
        while self.is_open:
            for message in self.messages():
                if message.keys() & words:
                    return message
            if self.is_open:
                select.select([self.descriptor], (), ())
        return {}

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor, self._has_ended, self._lines = -1, True, [b""]


def as_message(error: RunnerError | OSError) -> dict[str, object]:
    """Write an error for the status pipe."""
    if isinstance(error, OSError):
        return {"os": (error.errno, error.strerror, error.filename)}
    facts = {**vars(error), "exit_code": error.exit_code}
    return {"kind": type(error).__name__, "text": str(error), "facts": facts}


def from_message(told: Mapping[str, Any]) -> RunnerError | OSError:
    """Read an error from the status pipe."""
    if "os" in told:
        return OSError(*told["os"])
    kinds: list[type[RunnerError]] = [RunnerError]
    for kind in kinds:  # it grows
        kinds += kind.__subclasses__()
    named = {kind.__name__: kind for kind in kinds}
    kind = named.get(str(told["kind"]), RunnerError)
    error = kind.__new__(kind, told["text"])
    vars(error).update(told["facts"])
    return error
