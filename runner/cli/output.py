"""Turn results into text and write them."""

from __future__ import annotations

import errno
import os
import select
import sys

from parsers import json_text
from parsers.light import suppress
from parsers.paths import Path
from parsers.struct import as_dict
from runner.errors import RunnerFault
from runner.process.signals import arrivals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.errors import RunnerError
    from runner.service.doctor import Check


class ReaderGoneError(Exception):
    """The reader of standard output has closed it."""


class Output:
    """Write to standard output, byte for byte and at once.

    Raises:
        ReaderGoneError: the pipe or terminal was closed.
        RunnerFault: the write failed (a full disk).
    """

    def __init__(self) -> None:
        self.is_empty = self._is_at_line_start = True

    def text(self, text: str) -> None:
        """Write a piece of running text."""
        self.is_empty = self.is_empty and not text
        rest = memoryview(text.encode(errors="surrogateescape"))
        while rest:
            try:
                rest = rest[os.write(1, rest) :]
            except BlockingIOError:
                select.select((), [1], ())
            except OSError as error:
                if error.errno in {errno.EPIPE, errno.EIO, errno.EBADF}:
                    raise ReaderGoneError from error
                message = f"cannot write to standard output: {error.strerror}"
                raise RunnerFault(message) from error
        if text:
            self._is_at_line_start = text.endswith("\n")

    def lines(self, lines: Iterable[str]) -> None:
        """Write lines, starting on a line of their own, in one go."""
        start = "" if self._is_at_line_start else "\n"
        self.text(start + "".join(f"{line}\n" for line in lines))

    def check(self) -> None:
        """Check whether the reader is gone, when there is nothing to write."""
        self.wait(None, 0)

    def wait(self, descriptor: int | None, seconds: float | None) -> None:
        """Wait until a descriptor can be read, at most this many seconds.

        Raises:
            ReaderGoneError: standard output was closed meanwhile.
        """
        poll = select.poll()
        for number in () if descriptor is None else (descriptor, arrivals()):
            poll.register(number, select.POLLIN)
        poll.register(1, 0)
        for which, events in poll.poll(None if seconds is None else seconds * 1000):
            if which == 1 and events & (select.POLLERR | select.POLLHUP):
                raise ReaderGoneError


class Silence(Output):
    """Write nothing, where the object of --json comes at the end."""

    def text(self, text: str) -> None:
        """Write nothing."""


def has_json(words: Sequence[str]) -> bool:
    """Return whether `--json` is among the options of a command line."""
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def is_terminal() -> bool:
    """Return whether standard output is a terminal; it may be closed."""
    return os.isatty(1)


def note(text: str, *, is_interrupting: bool = False) -> None:
    """Write a note for people, one line on standard error, which may be closed.

    Control characters in names and texts are escaped.

    Args:
        text: the line.
        is_interrupting: a terminal may just have shown a `^C` where it would begin.
    """
    name = Path(sys.argv[0]).name.removesuffix(".py")
    start = "\n" if is_interrupting and os.isatty(2) else ""
    _to_people(f"{start}{_one_line(f'{name}: {text}')}\n")


def report(error: RunnerError, name: str = "") -> None:
    """Write an error for people: what is wrong, and in a second line the fix.

    `name` is the one of several tasks that has it.
    """
    has_name = not name or name in error.message
    text = error.message if has_name else f"{name}: {error.message}"
    fix = f"fix:   {_one_line(error.hint)}\n" if error.hint else ""
    _to_people(f"{_one_line(f'error: {text}')}\n{fix}")


def error_json(error: RunnerError, name: str = "") -> dict[str, str | None]:
    """Build the object of an error, with the task that has it, of several."""
    told = {"code": error.code, "message": error.message, "hint": error.hint or None}
    return {**told, "task": name} if name else told


def _one_line(text: str) -> str:
    line = " ".join(text.splitlines())
    try:
        return visible(line)
    except (OSError, MemoryError):
        # When the process has no descriptor left, no module can be imported.
        return line.encode("unicode_escape").decode("ascii")


def _to_people(text: str) -> None:
    with suppress(OSError):
        # Not through sys.stderr: a signal handler may run in the middle of a write.
        os.write(2, text.encode(errors="backslashreplace"))


def write_error(text: str) -> None:
    """Write to standard error, which may be closed: a part of a line."""
    with suppress(OSError):
        os.write(2, text.encode(errors="backslashreplace"))


def ring_bell() -> None:
    """Ring the bell of the terminal, if standard error is one."""
    if os.isatty(2):
        write_error("\a")


def visible(text: str) -> str:
    """Escape the control characters of a text."""
    from parsers.text import visible  # noqa: PLC0415 - `re`, not for the first line of a run

    return visible(text)


def compact(value: object) -> str:
    """Write a value as JSON on one line, in ASCII."""
    return json_text.dumps(value, separators=(",", ":"))


def pretty(value: object) -> str:
    """Write a value as indented JSON."""
    return json_text.dumps(value, indent=2)


class Encoded(str):
    """An object that is JSON already, on one line."""

    __slots__ = ()


def document(kind: str, told: Mapping[str, object]) -> str:
    """Write the object that a command prints with --json (docs/schemas).

    Objects in a list have a line each: Python's encoder in C does not indent, and the
    one that does takes ten times as long.
    """
    parts = [f'"schema": "codex-runner/{kind}/1"']
    for name, value in told.items():
        if isinstance(value, list) and value and isinstance(value[0], dict | Encoded):
            rows = ",\n    ".join(
                each if isinstance(each, Encoded) else json_text.dumps(each)
                for each in value
            )
            text = f"[\n    {rows}\n  ]"
        else:
            text = json_text.dumps(value)
        parts.append(f"{json_text.dumps(name)}: {text}")
    body = ",\n  ".join(parts)
    return f"{{\n  {body}\n}}"


def checks_json(checks: Sequence[Check]) -> dict[str, object]:
    """Build the object of the checks of a doctor."""
    is_good = all(check.is_good for check in checks)
    return {"ok": is_good, "checks": [as_dict(each) for each in checks]}


def checks_shown(checks: Sequence[Check]) -> list[str]:
    """Write the checks of a doctor, one line each with the fix."""
    return [
        visible(
            f"{'ok  ' if check.is_good else 'FAIL'} {check.name}:"
            f" {' '.join(check.detail.split())}"
            + (f" -> {check.fix}" if check.fix else "")
        )
        for check in checks
    ]
