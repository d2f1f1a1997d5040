"""Terminal control sequences in text: taken out, or made visible; never obeyed."""

from __future__ import annotations

import re

# CSI, OSC (ended by BEL or ST), the string sequences (DCS, SOS, PM, APC), two-character
# escapes and charset selections: what programs under Codex print, unfinished ones not.
_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|[PX^_][^\x1b]*\x1b\\|[@-Z\\-_]|[ -/]+[0-~])"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def strip(text: str) -> str:
    """Take terminal control sequences out of a text."""
    return _SEQUENCE.sub("", text) if "\x1b" in text else text


def visible(text: str) -> str:
    r"""Show control characters (`\x1b`) instead of obeying them; tab and newline stay.

    A carriage return before a newline is dropped: it is a line ending, not a command.
    """
    found = set(_CONTROL.findall(text))
    if "\r" in found:
        text = text.replace("\r\n", "\n")
    for char in found:
        text = text.replace(char, f"\\x{ord(char):02x}")
    return text
