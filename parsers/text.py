"""Escape sequences, UUIDs and version numbers in text."""

from __future__ import annotations

from parsers.light import pattern

# CSI, OSC (ended by BEL or ST), the string sequences (DCS, SOS, PM, APC), two-character
# escapes and charset selections: what programs under Codex print, unfinished ones not.
_SEQUENCE = pattern(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|[PX^_][^\x1b]*\x1b\\|[@-Z\\-_]|[ -/]+[0-~])"
)
# From U+00AD on they are invisible or reverse the direction of what follows, so that
# one word can look like another. Scripts and emojis need the joiners U+200C and U+200D.
_CONTROL = pattern(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
    r"\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
_LAST_OF_ONE_BYTE = 0xFF
_PLAIN = "\x1b[0m"

HEX = frozenset("0123456789abcdef")
_LENGTHS = [8, 4, 4, 4, 12]
_VERSION_DIGITS = 9


def strip(text: str) -> str:
    """Remove terminal control sequences from a text."""
    return _SEQUENCE.sub("", text) if "\x1b" in text else text


def visible(text: str) -> str:
    r"""Replace control characters, except tab and newline, by their codes.

    They look like `\x1b` or `\u202e`. A carriage return before a newline is dropped: it
    is part of a line ending.
    """
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text  # most texts: compiling the expression takes 1 ms
    found = set(_CONTROL.findall(text))
    if "\r" in found:
        text = text.replace("\r\n", "\n")
    for char in found:
        code = ord(char)
        shown = f"\\x{code:02x}" if code <= _LAST_OF_ONE_BYTE else f"\\u{code:04x}"
        text = text.replace(char, shown)
    return text


def clean(text: str) -> str:
    """Replace bytes of a command line that are not UTF-8, such as of a title."""
    if text.isascii():
        return text
    # Not by the locale: under C a title would lose its letters.
    return text.encode(errors="surrogateescape").decode(errors="replace")


def painted(line: str, colour: str) -> str:
    """Colour a line that holds no control characters.

    Args:
        line: one line, without its newline.
        colour: parameters of SGR such as `1;36`; "" for none.
    """
    return f"\x1b[{colour}m{line}{_PLAIN}" if line and colour else line


def uuid(value: object) -> str | None:
    """Narrow to a UUID in lower case; None for anything else."""
    found = value.strip().lower() if isinstance(value, str) else ""
    parts = found.split("-")
    is_one = [*map(len, parts)] == _LENGTHS and HEX.issuperset("".join(parts))
    return found if is_one else None


def release(version: str | None) -> tuple[int, ...] | None:
    """Read the first two numbers of a version; None where they are not numbers."""
    numbers = (version or "").split("-")[0].split(".")[:2]
    if not all(n.isdecimal() and len(n) <= _VERSION_DIGITS for n in numbers):
        return None
    return tuple(map(int, numbers))
