"""Write the event log of a session, `task.log`: all its runs as JSON lines.

The format is that of the older `codex-tasks` (0.3): the lines of `codex exec --json` as
they are, and between them the prompts and what Codex wrote to standard error.
"""

from __future__ import annotations

import json


def prompt(text: bytes) -> bytes:
    """Make the line for a run's prompt, which comes before the run's events."""
    return _line("user_message", text)


def stderr(line: bytes) -> bytes:
    """Make the line for a line that Codex wrote to standard error."""
    return _line("stderr", line)


def event(line: bytes) -> bytes:
    """Return an event as it is; wrap a line that is not a JSON object in one."""
    bare = line.strip()
    try:
        is_object = isinstance(json.loads(bare.decode()), dict)
    except (ValueError, RecursionError):
        is_object = False
    return bare + b"\n" if is_object else _line("stdout", line)


def _line(kind: str, text: bytes) -> bytes:
    message = text.decode("utf-8", "replace").rstrip("\r\n")
    return json.dumps({"type": kind, "message": message}).encode() + b"\n"
