"""Tables: fitted to the terminal, or plain text for programs and files."""

from __future__ import annotations

import unicodedata

from parsers.struct import Struct, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

GAP = "  "
_STYLES = {"RUNNING": "green", "DIED": "red", "ARCHIVED": "dim"}
# Marks and joiners take no column of their own.
_JOINED = ("Mn", "Me", "Cf")
_AS_EMOJI = "\ufe0f"
_TURNED = ("R", "AL", "AN")
# Lengths of a thread id's prefix: its time, then more and more random digits.
_BEGINNINGS = (13, 18, 23)


class Column(Struct, kw_only=False):
    """Hold one column: its heading, and a cell of plain text for each row.

    `least` is the minimum width, None when cells are never cut. With `is_end_kept`
    cells are cut at their beginning. `style` is that of all cells, `styles` has one for
    each.
    """

    heading: str
    cells: Sequence[str]
    is_right: bool = False
    least: int | None = None
    is_end_kept: bool = False
    style: str = ""
    styles: Sequence[str | None] = ()

    @property
    def width(self) -> int:
        cells = (self.heading, *self.cells)
        return max(map(len if "".join(cells).isascii() else _width, cells))

    @property
    def least_width(self) -> int:
        return self.width if self.least is None else min(self.width, self.least)

    def padded(self) -> list[str]:
        """Return the heading and the cells, all of one width."""
        cells, width = (self.heading, *self.cells), self.width
        pad = str.rjust if self.is_right else str.ljust
        if "".join(cells).isascii():
            return [pad(cell, width) for cell in cells]
        return [pad(cell, width - _width(cell) + len(cell)) for cell in cells]

    def cut(self, width: int) -> Column:
        """Cut a text to a width."""
        heading, *cells = (
            shortened(cell, width, is_end_kept=self.is_end_kept)
            for cell in (self.heading, *self.cells)
        )
        return replace(self, heading=heading, cells=cells)


def shortened(text: str, width: int, *, is_end_kept: bool = False) -> str:
    """Cut a text to a width in columns of the terminal, at its end or beginning."""
    if _width(text) <= width:
        return text
    while _width(text) >= width:
        text = text[1:] if is_end_kept else text[:-1]
    return f"…{text}" if is_end_kept else f"{text}…"


def plain(columns: Sequence[Column]) -> list[str]:
    """Write a table as aligned text."""
    return [GAP.join(row).rstrip() for row in _rows(columns)]


def drawn(
    tables: Sequence[Sequence[Column]],
    *,
    has_total: bool = False,
    more: Callable[[int], Column | None] = lambda _: None,
) -> str:
    """Draw the first of some tables that fits the terminal.

    Args:
        tables: the columns of each, from wide to narrow; the last is drawn when none
            fits.
        has_total: the last row is a total.
        more: makes one more column for the width that is left.
    """
    width = width_of_terminal()
    columns = _fitted(tables, width)
    last = more(width - whole_width(columns) - len(GAP))
    columns += [] if last is None else [last]
    rows = list(_rows(columns))

    lines = list[list[tuple[str, str]]]()
    for number, row in enumerate(rows):
        named = zip(columns, row, strict=True)
        styles = [_style(column, number, cell) for column, cell in named]
        if number == 0 or (has_total and number == len(rows) - 1):
            styles = ["bold"] * len(row)
        lines.append([*zip(row, styles, strict=True)])
    return styled(lines)


def styled(lines: Iterable[Sequence[tuple[str, str]]], gap: str = GAP) -> str:
    """Write lines of texts with their styles, for a terminal."""
    from rich.console import Console  # noqa: PLC0415 - 30 ms, on a terminal only
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    # Not printed by the console: it encodes in the locale, and may fail.
    with console.capture() as written:
        for line in lines:
            text = Text(gap).join(Text(_isolated(cell), style) for cell, style in line)
            text.rstrip()
            console.print(text, no_wrap=True, overflow="ignore", crop=False)
    return written.get()


def width_of_terminal() -> int:
    """Return how many columns the terminal has; 80 when that is unknown."""
    import shutil  # noqa: PLC0415 - on a terminal only

    return shutil.get_terminal_size((80, 24)).columns


def whole_width(columns: Sequence[Column]) -> int:
    """Return how wide a table is."""
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def beginnings(ids: Sequence[str]) -> list[str]:
    """Shorten ids to prefixes that are still unique: commands take these too."""
    for length in _BEGINNINGS:
        if len({each[:length] for each in ids}) == len(set(ids)):
            return [each[:length] for each in ids]
    return list(ids)


def _fitted(tables: Sequence[Sequence[Column]], width: int) -> list[Column]:
    """Choose a table, and cut its widest column until it fits."""
    for columns in tables:
        least = sum(column.least_width + len(GAP) for column in columns) - len(GAP)
        if least <= width:
            break
    widths = [column.width for column in columns]
    excess = sum(widths) + len(GAP) * (len(columns) - 1) - width
    for _ in range(excess):
        at = max(
            (at for at, each in enumerate(columns) if widths[at] > each.least_width),
            key=widths.__getitem__,
            default=None,
        )
        if at is None:
            break
        widths[at] -= 1
    return [column.cut(room) for column, room in zip(columns, widths, strict=True)]


def _rows(columns: Sequence[Column]) -> Iterator[tuple[str, ...]]:
    return zip(*(column.padded() for column in columns), strict=True)


def _style(column: Column, number: int, cell: str) -> str:
    own = column.styles[number - 1] if number and column.styles else column.style
    return own or _STYLES.get(cell.strip(), "")


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def _cells_of(char: str) -> int:
    """Return how many columns a character takes in a terminal."""
    if char == _AS_EMOJI:
        return 1  # what is before it becomes wide
    is_joined = unicodedata.category(char) in _JOINED
    return 0 if is_joined else 1 + (unicodedata.east_asian_width(char) in "WF")


def _isolated(cell: str) -> str:
    """Keep a text from right to left from moving the cells beside it."""
    is_turned = any(unicodedata.bidirectional(each) in _TURNED for each in cell)
    return f"\u2068{cell}\u2069" if is_turned else cell
