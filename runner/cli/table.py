"""Tables: fitted to the terminal, or plain text for programs and files."""

from __future__ import annotations

from functools import cache

from parsers.struct import Struct, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.cli.look import Look, Styled

GAP = "  "
# Marks and joiners take no column of their own.
_JOINED = ("Mn", "Me", "Cf")
_AS_EMOJI = "\ufe0f"
# Lengths of a thread id's prefix: its time, then more and more random digits.
_BEGINNINGS = (13, 18, 23)


class Column(Struct, kw_only=False):
    """Hold one column: its heading, and a cell of plain text for each row.

    `least` is the width to which cells may be cut, None when they never are; the column
    has `room` for so much at least. With `is_end_kept` cells are cut at their
    beginning. `style` is that of all cells, `styles` has one for each.
    """

    heading: str
    cells: Sequence[str]
    is_right: bool = False
    least: int | None = None
    is_end_kept: bool = False
    style: str = ""
    styles: Sequence[str | None] = ()
    room: int = 0

    @property
    def width(self) -> int:
        cells = (self.heading, *self.cells)
        measure = len if "".join(cells).isascii() else width_of
        return max(self.room, *map(measure, cells))

    @property
    def least_width(self) -> int:
        return self.width if self.least is None else min(self.width, self.least)

    def padded(self) -> list[str]:
        """Return the heading and the cells, all of one width."""
        cells, width = (self.heading, *self.cells), self.width
        pad = str.rjust if self.is_right else str.ljust
        if "".join(cells).isascii():
            return [pad(cell, width) for cell in cells]
        return [pad(cell, width - width_of(cell) + len(cell)) for cell in cells]

    @property
    def all_styles(self) -> list[str]:
        """Return the style of the heading, and of each cell."""
        own = [each or "" for each in self.styles] or [self.style] * len(self.cells)
        return ["dim", *own]

    def cut(self, width: int) -> Column:
        """Cut a text to a width."""
        heading, *cells = (
            shortened(cell, width, is_end_kept=self.is_end_kept)
            for cell in (self.heading, *self.cells)
        )
        return replace(self, heading=heading, cells=cells)


def shortened(text: str, width: int, *, is_end_kept: bool = False) -> str:
    """Cut a text to a width in columns of the terminal, at its end or beginning."""
    if width_of(text) <= width:
        return text
    if is_end_kept:
        kept = fitting(text[::-1], width - 1)
        return f"…{text[len(text) - kept :].lstrip()}"
    return f"{text[: fitting(text, width - 1)].rstrip()}…"


def clipped(parts: Sequence[Styled], width: int) -> Sequence[Styled]:
    """Cut a line of styled texts to a width."""
    kept: list[Styled] = []
    for text, style in parts:
        count = fitting(text, width)
        kept.append((text[:count], style))
        width -= width_of(text[:count])
        if count < len(text):
            break
    return kept


def wrapped(parts: Sequence[Styled], width: int) -> list[list[Styled]]:
    """Break styled texts into lines of a width, between words where it can be."""
    lines: list[list[Styled]] = [[]]
    used = 0
    for text, style in parts:
        for number, each in enumerate(text.split(" ")):
            gap, word = " " if number else "", each
            while used and used + len(gap) + width_of(word) > width:
                lines.append([])
                gap, used = "", 0
            while width_of(word) > width:
                head = word[: max(fitting(word, width), 1)]
                lines[-1:] = [[*lines[-1], (gap + head, style)], []]
                word, gap, used = word[len(head) :], "", 0
            line = lines[-1]
            if line and line[-1][1] == style:
                line[-1] = (line[-1][0] + gap + word, style)
            else:
                line.append((gap + word, style))
            used += len(gap) + width_of(word)
    return lines


def fitting(text: str, width: int) -> int:
    """Return how many characters of a text take no more than a width."""
    used = 0
    for number, char in enumerate(text):
        used += _cells_of(char)
        if used > width:
            return number
    return len(text)


def plain(columns: Sequence[Column]) -> list[str]:
    """Write a table as aligned text."""
    return [GAP.join(row).rstrip() for row in _rows(columns)]


def drawn(
    tables: Sequence[Sequence[Column]],
    look: Look,
    *,
    has_total: bool = False,
    more: Callable[[int], Column | None] = lambda _: None,
) -> str:
    """Draw the first of some tables that fits the terminal.

    Args:
        tables: the columns of each, from wide to narrow; the last is drawn when none
            fits.
        look: of the terminal.
        has_total: the last row is a total.
        more: makes one more column for the width that is left.
    """
    width = look.width
    columns = _fitted(tables, width)
    last = more(width - whole_width(columns) - len(GAP))
    columns += [] if last is None else [last]
    lines = styled(columns)
    if has_total:
        lines[-1] = [(cell, "bold") for cell, _ in lines[-1]]
    return look.text(lines)


def styled(columns: Sequence[Column]) -> list[list[Styled]]:
    """Return the lines of a table, the heading first."""
    cells = zip(*(column.padded() for column in columns), strict=True)
    styles = zip(*(column.all_styles for column in columns), strict=True)
    lines: list[list[Styled]] = []
    for row, looks in zip(cells, styles, strict=True):
        line: list[Styled] = []
        for cell, style in zip(row, looks, strict=True):
            line += [(GAP, ""), (cell, style)]
        lines.append(line[1:])
    return lines


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


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


@cache
def _cells_of(char: str) -> int:
    """Return how many columns a character takes in a terminal."""
    import unicodedata  # noqa: PLC0415 - for other scripts

    if char == _AS_EMOJI:
        return 1  # what is before it becomes wide
    is_joined = unicodedata.category(char) in _JOINED
    return 0 if is_joined else 1 + (unicodedata.east_asian_width(char) in "WF")
