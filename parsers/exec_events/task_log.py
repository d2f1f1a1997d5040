"""The event log of a session, `task.log`: what Codex wrote in all runs, as JSON lines.

The format of the older `codex-tasks` (0.3): the lines of `codex exec --json` as they
are, and between them the prompts and what Codex said on standard error.
"""

from __future__ import annotations

import json

_NOT_JSON = "stdout"


def prompt(text: bytes) -> bytes:
    """Make the line that stands before the events of a run: its prompt."""
    return _line("user_message", text)


def stderr(line: bytes) -> bytes:
    """Make the line for one that Codex wrote on its standard error."""
    return _line("stderr", line)


def event(line: bytes) -> bytes:
    """Return an event as it is; what is no JSON object is wrapped in one."""
    bare = line.strip()
    if bare.startswith(b"{") and bare.endswith(b"}"):
        return bare + b"\n"
    return _line(_NOT_JSON, line)


def _line(kind: str, text: bytes) -> bytes:
    message = text.decode("utf-8", "replace").rstrip("\r\n")
    return json.dumps({"type": kind, "message": message}).encode() + b"\n"
