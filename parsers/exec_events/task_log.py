"""Write the event log of a session, `task.log`: all its runs as JSON lines.

The format is that of the older `codex-tasks` (0.3): the lines of `codex exec --json` as
they are, and between them the prompts and what Codex wrote to standard error.
"""

from __future__ import annotations

from parsers import json_text
from parsers.exec_events import events
from parsers.light import pattern

# The beginning of an event, and a line without what no JSON text holds.
_EVENT = b'{"type"'
_CLEAN = pattern(rb"\{[^\0-\x1f]*\}")


def prompt(text: bytes) -> bytes:
    """Make the line for a run's prompt, which comes before the run's events."""
    return _line("user_message", text)


def stderr(line: bytes) -> bytes:
    """Make the line for a line that Codex wrote to standard error."""
    return _line("stderr", line)


def event(line: bytes, found: events.Event | None) -> bytes:
    """Return an event as it is; wrap a line that is not a JSON object in one.

    Args:
        line: the line.
        found: what it was decoded to; None if it was recognised by its ends.
    """
    bare = line.strip()
    if isinstance(found, events.Undecodable):
        return _line("stdout", line)
    # A line that was cut, with another after it, begins and ends as an event does.
    is_whole = found is not None or _EVENT not in bare[1:]
    is_object = is_whole and _is_clean(bare)
    return bare + b"\n" if is_object or _is_object(bare) else _line("stdout", line)


def _is_clean(bare: bytes) -> bool:
    """Return whether a line has none of the damage that `events.decode` tolerates."""
    try:
        bare.decode()
    except UnicodeDecodeError:
        return False
    return _CLEAN.fullmatch(bare) is not None


def _is_object(bare: bytes) -> bool:
    try:
        return isinstance(json_text.loads(bare.decode()), dict)
    except (ValueError, RecursionError):
        return False


def _line(kind: str, text: bytes) -> bytes:
    message = text.decode("utf-8", "replace").rstrip("\r\n")
    return json_text.dumps({"type": kind, "message": message}).encode() + b"\n"
