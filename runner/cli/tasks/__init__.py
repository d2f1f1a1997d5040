"""The commands of `codex-tasks`, a module each; only the one asked for is loaded.

A module has `SUMMARY` (one line), `EXAMPLES`, `arguments(parser)` and
`main(found, house)`, which returns the exit code.
"""

from __future__ import annotations

COMMANDS = (
    "start",
    "send",
    "status",
    "result",
    "log",
    "stop",
    "ls",
    "archive",
    "unarchive",
    "rm",
    "prune",
    "import",
    "usage",
    "doctor",
    "verify",
    "migrate",
    "restore",
    "completion",
)


def module_of(command: str) -> str:
    """Name the module of a command; `import` is a word of the language."""
    return f"{__name__}.{command}_" if command == "import" else f"{__name__}.{command}"
