"""The commands of `codex-tasks`; a command loads its own module only.

A module has `HELP` (one line, the options as `Parser.describe` takes them, examples)
and `main(found, context)`, which returns the exit code. In a module of several
commands all but the first append `_name` to these names.
"""

from __future__ import annotations

COMMANDS = {
    "start": "start",
    "send": "start",
    "status": "status",
    "result": "log",
    "log": "log",
    "diff": "changes",
    "merge": "changes",
    "stop": "closing",
    "queue": "queue",
    "slots": "queue",
    "pause": "queue",
    "resume": "queue",
    "deliver": "queue",
    "retry": "queue",
    "install-timer": "autostart",
    "config": "config",
    "notify": "notify",
    "ls": "ls",
    "archive": "closing",
    "unarchive": "closing",
    "rm": "closing",
    "prune": "closing",
    "import": "upkeep",
    "usage": "usage",
    "budget": "budget",
    "du": "disk",
    "reprice": "usage",
    "doctor": "upkeep",
    "verify": "upkeep",
    "migrate": "upkeep",
    "restore": "upkeep",
    "uninstall": "disk",
    "completion": "completion",
}
