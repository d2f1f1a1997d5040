"""Notifications of the desktop, by the program of the system."""

from __future__ import annotations

import os
import sys

from parsers.paths import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)
MISSING = "there is no desktop session"
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def is_there(environment: Mapping[str, str]) -> bool:
    """Return whether a desktop can show something: macOS, or a session bus."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    bus = environment.get("DBUS_SESSION_BUS_ADDRESS")
    is_running = bool(bus or (runtime and os.access(Path(runtime) / "bus", os.F_OK)))
    return sys.platform == "darwin" or is_running


def argv_of(title: str, text: str) -> list[str]:
    """Build the command that shows a text, which is neither an option nor markup.

    Both begin with words of this suite, so `osascript` takes neither for an option.
    """
    if sys.platform == "darwin":
        lines = (word for line in _SCRIPT for word in ("-e", line))
        return ["osascript", *lines, title, text]
    plain = "".join(_ENTITIES.get(char, char) for char in text)
    return ["notify-send", "--app-name=codex-runner", "--", title, plain]
