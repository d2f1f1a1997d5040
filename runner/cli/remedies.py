"""What helps a task that is held: a person does it, then resumes the task."""

from __future__ import annotations

from parsers.light import pattern
from runner.cli import format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# `/home/me/.codex/config.toml:12:8: …`
_PLACE = pattern(r"(/[^:\n]*\.(?:toml|rules))(?::(\d+))?")


def remedy(report: Mapping[str, Any]) -> str | None:
    """Say what to do about a held task; None when no fix is known.

    Args:
        report: of `service.status`.
    """
    told, name = report["shown"], report["short_id"]
    if told["state"] != "held":
        return None
    why, again = told["reason"], f"then codex-tasks resume {name}"
    place = format.short_path(str(report["working_dir"] or ""))
    fixes = {
        "configuration": f"correct {_broken(str(told['detail'] or ''))}",
        "untrusted": f"git init {format.line(place)}",
        "binary": "npm install -g @openai/codex",
        "sandbox_error": "allow unprivileged user namespaces (codex-tasks doctor)",
        "login": "codex login",
    }
    others = {
        "untrusted": "start it again with --skip-git-repo-check",
        "binary": "start it again with --codex-bin",
        "sandbox_error": "start it again with -s danger-full-access",
    }
    whole = {
        "thread_gone": "codex-tasks start begins another thread,"
        f" codex-tasks stop {name} ends this one",
        "option": f"codex-tasks stop {name}, and start it again without that option",
    }
    if why not in fixes:
        return whole.get(why)
    other = f"; or {others[why]}" if why in others else ""
    return f"{fixes[why]}, {again}{other}"


def _broken(error: str) -> str:
    """Name the file of a configuration that an error is about, and the line."""
    if (found := _PLACE.search(error)) is None:
        return "the configuration of Codex (~/.codex/config.toml)"
    path, number = found.groups()
    return f"{format.short_path(path)}{f' line {number}' if number else ''}"
