"""Why a prompt waits, as people read it."""

from __future__ import annotations

from runner.cli import figures, format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_SAID = {
    None: "starts next",
    "writer": "another program writes",
    "pause": "paused",
    "login": "login refused (of the account)",
    "archived": "the task is archived",
}
_UNTIL = {
    "limit": "usage limit",
    "budget": "today's budget is spent",
    "rate": "starts per minute",
}


def reason(told: Mapping[str, Any]) -> str:
    """Say what a prompt waits for.

    Args:
        told: its `why`, one word or None, `until`, an RFC 3339 instant or None, and
            `detail`, a sentence or None.
    """
    word, detail = told["why"], format.line(told["detail"] or "")
    at, left = "", 0.0
    if told["until"]:
        at = figures.moment(told["until"])
        left = max(-figures.seconds_since(told["until"]), 0.0)
    if word == "session":
        number = detail.removeprefix("behind #").partition(" ")[0]
        return f"prompt {number}" if number.isdecimal() else "its own run"
    if word in _UNTIL:
        return f"{_UNTIL[word]}, until {at}" if at else _UNTIL[word]
    said = {
        "slot": f"no free slot ({detail.replace(' run', '')})",
        "time": f"at {at or 'its time'}",
        "retry": f"retry in {figures.span(left)} ({detail})",
        "held": f"held: {detail}" if detail else "held",
        **_SAID,
    }
    return said.get(word) or detail or str(word)


def style(told: Mapping[str, Any]) -> str:
    """Return the style of what a prompt waits for."""
    if told["why"] == "held":
        return "bold yellow"
    return "yellow" * (told["why"] in {"limit", "login"})
