"""How a terminal is drawn on: with which colours and signs, and how wide it is.

A colour or a sign only repeats what a word says: without them nothing is lost.
"""

from __future__ import annotations

from parsers.light import pattern
from parsers.struct import Struct
from parsers.text import painted
from runner.cli.output import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeAlias

    # A text, and its style: words of `_CODES`, or parameters of SGR.
    Styled: TypeAlias = tuple[str, str]

SELECTED = "reverse"  # of a row; no word says it, and it is no colour
# Only what every theme of a terminal has: never colour 8, never a background.
_CODES = {
    "bold": "1",
    "dim": "2",
    SELECTED: "7",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}
# Each takes one column, so that what is aligned stays so.
_ASCII = str.maketrans("…\N{MINUS SIGN}●○◐✓✗■━╸─→≥“”↑↓", '~-*o~+x-==->>""^v')
_FLOOR = pattern(r"≥(\$[\d.,]+)")
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
_WIDTH = 80
_TURNED = ("R", "AL", "AN")


class Look(Struct):
    """Hold how standard output is drawn on.

    It is for people with `is_drawn`, else exact values for a program.
    """

    is_drawn: bool = False
    has_colour: bool = False
    is_ascii: bool = False

    @property
    def width(self) -> int:
        """Return how many columns the terminal has; 80 when that is unknown."""
        import shutil  # noqa: PLC0415 - on a terminal only

        return shutil.get_terminal_size((_WIDTH, 24)).columns

    def text(self, lines: Iterable[Sequence[Styled]]) -> str:
        """Write lines of texts with their styles."""
        return "".join(f"{self.line(cells)}\n" for cells in lines)

    def line(self, cells: Sequence[Styled]) -> str:
        """Write texts with their styles, without blanks at the end."""
        cells = [*cells]
        while cells and not cells[-1][0].strip():
            cells.pop()
        if cells and cells[-1][1] != SELECTED:
            cells[-1] = cells[-1][0].rstrip(), cells[-1][1]
        return "".join(self.painted(*cell) for cell in cells)

    def painted(self, text: str, style: str) -> str:
        """Write a text in a style."""
        text = self.signs(text)
        if style != SELECTED and not (style and self.has_colour):
            return text
        return painted(text, ";".join(_CODES.get(word, word) for word in style.split()))

    def signs(self, text: str) -> str:
        """Write a text with the signs that the terminal has, as wide as it was."""
        if text.isascii() or not self.is_ascii:
            return _isolated(text)
        return _FLOOR.sub(r"\1+", text).translate(_ASCII)


def of(environment: Mapping[str, str], colour: str | None, *, is_ascii: bool) -> Look:
    """Return how standard output is drawn on.

    Args:
        environment: `NO_COLOR`, `CLICOLOR_FORCE`, `TERM` and the locale.
        colour: `--color`, None where a command has none.
        is_ascii: `--ascii`.
    """
    get, is_shown = environment.get, is_terminal()
    is_dumb = get("TERM", "") in {"", "dumb"}
    locale = next(filter(None, map(get, _LOCALE)), "utf")
    if colour in {"always", "never"}:
        has_colour = colour == "always"
    elif get("NO_COLOR"):
        has_colour = False
    else:
        is_forced = get("CLICOLOR_FORCE", "") not in {"", "0"}
        has_colour = is_forced or (is_shown and not is_dumb)
    return Look(
        is_drawn=is_shown or colour == "always",
        has_colour=has_colour,
        is_ascii=is_ascii or get("TERM") == "dumb" or "utf" not in locale.lower(),
    )


def _isolated(text: str) -> str:
    """Keep a text from right to left from moving the cells beside it."""
    if text.isascii():
        return text
    import unicodedata  # noqa: PLC0415 - for other scripts

    is_turned = any(unicodedata.bidirectional(each) in _TURNED for each in text)
    return f"\u2068{text}\u2069" if is_turned else text
