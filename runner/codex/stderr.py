"""Codex's last words on standard error, for runs whose events do not tell why.

Codex (0.50 to 0.169) writes warnings and log lines there before the one line that
counts; its argument parser writes `error: …`, what would be right, and then the usage.
What is wrong with a `config.toml` stands on two lines, and a drawing of the place may
follow.
"""

from __future__ import annotations

import re

from parsers.text import strip
from runner import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_TAIL_BYTES = 16384
_LONGEST = 500
_NOISE = re.compile(
    r"WARNING: |Reading prompt from stdin|For more information|Usage: "
    r"|\d{4}-\d\d-\d\dT\S+\s+(?:TRACE|DEBUG|INFO|WARN)\b"
)
_CHOICES = "[possible values: "
_CONFIGURATION = re.compile(r"Error loading [^:]+:")
_ERROR = re.compile(rf"(?:error|Error|ERROR): |{_CONFIGURATION.pattern}")


def read_tail(path: Path) -> str:
    """Return the end of a file of standard error; "" when it cannot be read."""
    try:
        with files.reader(path) as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return strip(file.read().decode(errors="replace"))
    except OSError:
        return ""


def error_message(text: str) -> str | None:
    """Return the line or lines that say why Codex ended; None when it said nothing."""
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not _NOISE.match(line)]
    if not said:
        return None
    named = next((at for at, line in enumerate(said) if _ERROR.match(line)), None)
    if named is not None:
        first, *more = said[named:]
        if more and (_CONFIGURATION.match(first) or more[0].startswith(_CHOICES)):
            first += f" {more[0]}"
        return first[:_LONGEST]
    has_panicked = len(said) > 1 and "panicked at" in said[-2]
    return " ".join(said[-2:] if has_panicked else said[-1:])[:_LONGEST]


def error_class(text: str) -> str | None:
    return None
