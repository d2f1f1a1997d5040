"""Clean the log of a terminal: control sequences, and the signs of Codex's own screen.

Nothing else is changed: blank lines, indentation, repeated lines and `...` stay.
"""

from __future__ import annotations

from parsers.light import pattern
from parsers.text import strip

# A line is one of the screen only if it is nothing else.
_FURNITURE = pattern(
    r"^[ \t]*(?:"
    # A `>` alone is an empty line of a quotation.
    r"[\u203a\u258c]|[\u203a>\u258c][ \t]*\? for shortcuts.*"
    r"|\? for shortcuts[ \t]*(?:[0-9]+% context left)?"
    r"|[0-9]+% context left(?:[ \t·]+\? for shortcuts)?"
    r"|[•◦⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]?[ \t]*(?:Working|Thinking)[ \t]*"
    r"\([0-9hms ]+[ \t]*[•·][ \t]*esc to interrupt\)"
    r"|esc to interrupt"
    r"|[⏎↵][ \t]*send.*(?:newline|quit).*"
    r")[ \t]*$"
)
# The codes of one character for what two begin or end: DCS, CSI, ST, OSC.
_SHORT = {0x90: "\x1bP", 0x9B: "\x1b[", 0x9C: "\x1b\\", 0x9D: "\x1b]"}
_CONTROL = pattern(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Remove control sequences, and lines that are only signs of Codex's screen.

    A carriage return before a newline goes; of a line that was written over, the last
    writing stays.
    """
    kept = []
    for line in strip(text.translate(_SHORT)).split("\n"):
        shown = line.removesuffix("\r").rpartition("\r")[2]
        plain = _CONTROL.sub("", shown)
        if not plain or not _FURNITURE.match(plain):
            kept.append(plain)
    return "\n".join(kept)
