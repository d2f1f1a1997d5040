"""The commands of `codex-tasks`; only the module of the one asked for is loaded.

A module has `HELP` (one line, the options as `Parser.describe` takes them, examples)
and `main(found, context)`, which returns the exit code. Where it is the module of
several commands, `_name` is behind these names for all but the first.
"""

from __future__ import annotations

COMMANDS = {
    "start": "start",
    "send": "start",
    "status": "status",
    "result": "log",
    "log": "log",
    "stop": "closing",
    "ls": "ls",
    "archive": "closing",
    "unarchive": "closing",
    "rm": "closing",
    "prune": "closing",
    "import": "upkeep",
    "usage": "usage",
    "doctor": "upkeep",
    "verify": "upkeep",
    "migrate": "upkeep",
    "restore": "upkeep",
    "completion": "completion",
}
