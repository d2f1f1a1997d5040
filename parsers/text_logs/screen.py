"""Clean the log of a terminal: control sequences, and the signs of Codex's own screen.

Nothing else is changed: blank lines, indentation, repeated lines and `...` stay.
"""

from __future__ import annotations

from parsers.light import pattern
from parsers.text import strip

# A line is one of the screen only if it is nothing else.
_FURNITURE = pattern(
    r"^[ \t]*(?:"
    r"[\u203a>\u258c][ \t]*(?:\? for shortcuts.*)?"
    r"|\? for shortcuts[ \t]*(?:[0-9]+% context left)?"
    r"|[0-9]+% context left(?:[ \t·]+\? for shortcuts)?"
    r"|[•◦⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]?[ \t]*(?:Working|Thinking)[ \t]*"
    r"\([0-9hms ]+[ \t]*[•·][ \t]*esc to interrupt\)"
    r"|esc to interrupt"
    r"|[⏎↵][ \t]*send.*(?:newline|quit).*"
    r"|[╭╰][─]+[╮╯]"
    r")[ \t]*$"
)
_CONTROL = pattern(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Remove control sequences, and lines that are only signs of Codex's screen.

    A carriage return before a newline goes; of a line that was written over, the last
    writing stays.
    """
    kept = []
    for line in strip(text).split("\n"):
        shown = line.removesuffix("\r").rpartition("\r")[2]
        plain = _CONTROL.sub("", shown)
        if not plain or not _FURNITURE.match(plain):
            kept.append(plain)
    return "\n".join(kept)
