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
        self._is_at_line_start = True

    def text(self, text: str) -> None:
        """Write a piece of running text."""
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
    line = " ".join(f"{name}: {text}".splitlines())
    try:
        line = visible(line)
    except (OSError, MemoryError):
        # When the process has no descriptor left, no module can be imported.
        line = line.encode("unicode_escape").decode("ascii")
    if is_interrupting and os.isatty(2):
        line = f"\n{line}"
    with suppress(OSError):
        # Not through sys.stderr: a signal handler may run in the middle of a write.
        os.write(2, f"{line}\n".encode(errors="backslashreplace"))


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


def pretty_rows(rows: Sequence[Mapping[str, object]]) -> str:
    """Write a list of flat objects as `pretty` does, many times as fast.

    Python's encoder in C does not indent, but takes a separator that does.
    """
    if not rows:
        return "[]"
    text = json_text.dumps(rows, separators=(",\n    ", ": "))
    # Inside of a string a newline is escaped.
    body = text[2:-2].replace("},\n    {", "\n  },\n  {\n    ")
    return f"[\n  {{\n    {body}\n  }}\n]"


def checks_shown(checks: Sequence[Check], *, as_json: bool) -> list[str]:
    """Write the checks of a doctor as JSON, or one line each with the fix."""
    if as_json:
        is_good = all(check.is_good for check in checks)
        return [pretty({"ok": is_good, "checks": [as_dict(each) for each in checks]})]
    return [
        visible(
            f"{'ok  ' if check.is_good else 'FAIL'} {check.name}:"
            f" {' '.join(check.detail.split())}"
            + (f" -> {check.fix}" if check.fix else "")
        )
        for check in checks
    ]
