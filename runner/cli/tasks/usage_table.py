"""How usage looks to people: a table with a bar for each row, or plain text."""

from __future__ import annotations

import unicodedata

from parsers.struct import Struct
from runner.cli import format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.service.usage import Line, Report

    Figure = Callable[[int], str]

_GAP = "  "
_EIGHTHS = " ▏▎▍▌▋▊▉"
_WIDEST_BAR = 24
_NARROWEST_BAR = 6
_NARROWEST = 13
_WIDEST_TITLE = 32
_TOKENS = {
    "Input": "input_tokens",
    "Cached": "cached_input_tokens",
    "Output": "output_tokens",
    "Tokens": "total_tokens",
}
_PARTS = ("Input", "Cached", "Output")
# What is not known is told in few words rather than in none.
_NOTE = " + {} unknown"
_SHORT_NOTE = " +{}?"
_KILO = 1000
_BAR = "Slice"
_STYLES = {"Cost": "green", "Title": "dim", _BAR: "cyan"}


class Column(Struct, kw_only=False):
    """Hold one column: its heading, a cell for each row, on which side they stand."""

    heading: str
    cells: Sequence[str]
    is_right: bool = True

    @property
    def width(self) -> int:
        return max(map(_width, (self.heading, *self.cells)))

    def padded(self) -> Iterator[str]:
        """Return the heading and the cells, all of one width."""
        width = self.width
        for cell in (self.heading, *self.cells):
            space = " " * (width - _width(cell))
            yield space + cell if self.is_right else cell + space


def plain(report: Report) -> list[str]:
    """Write the rows and the total as aligned text, with exact figures."""
    columns = _columns(report, _exact)
    return [_GAP.join(row).rstrip() for row in _rows(columns)]


def drawn(report: Report) -> str:
    """Write the same for this terminal, as wide as it is, with a bar for each row."""
    from rich.console import Console  # noqa: PLC0415 - 30 ms, on a terminal only
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    columns = _fitted(report, console.width)
    rows = list(_rows(columns))
    styles = [_STYLES.get(column.heading, "") for column in columns]
    with console.capture() as written:
        for number, row in enumerate(rows):
            is_edge = number in {0, len(rows) - 1}
            cells = zip(row, ["bold"] * len(row) if is_edge else styles, strict=True)
            text = Text(_GAP).join(Text(cell, style) for cell, style in cells)
            text.rstrip()
            console.print(text, no_wrap=True, overflow="ignore", crop=False)
    return written.get()


def _rows(columns: Sequence[Column]) -> Iterator[tuple[str, ...]]:
    return zip(*(column.padded() for column in columns), strict=True)


def _columns(report: Report, figure: Figure, note: str = _NOTE) -> list[Column]:
    lines = [*report.lines, *([report.total] if report.total else [])]
    whose = [format.line(line.key) for line in report.lines]
    columns = [
        Column(report.by.capitalize(), [*whose, "total"], is_right=False),
        Column("Runs", [_exact(line.runs) for line in lines]),
    ]
    for name, part in _TOKENS.items():
        told = [getattr(line, part) for line in lines]
        numbers = [None if number is None else figure(number) for number in told]
        columns.append(Column(name, _amounts(numbers, _missing(name, lines), note)))
    columns.append(Column("Cost", _costs(lines, note)))
    if any(line.title for line in lines):
        titles = [format.line(line.title or "") for line in lines]
        columns.append(Column("Title", titles, is_right=False))
    return columns


def _missing(name: str, lines: Sequence[Line]) -> list[int]:
    """Count what a column is without; a part says so where it lacks more than all."""
    if name not in _PARTS:
        return [line.unknown_usage for line in lines]
    return [
        line.unknown_parts if line.unknown_parts > line.unknown_usage else 0
        for line in lines
    ]


def _costs(lines: Sequence[Line], note: str) -> list[str]:
    numbers = [None if line.usd is None else f"${line.usd:,.4f}" for line in lines]
    return _amounts(numbers, [line.unknown_cost for line in lines], note)


def _amounts(
    numbers: Sequence[str | None], missing: Sequence[int], note: str
) -> list[str]:
    """Write figures one below the other, each with how many it is without."""
    notes = [
        note.format(count) if count and number is not None else ""
        for number, count in zip(numbers, missing, strict=True)
    ]
    width = max(map(len, notes), default=0)
    return [
        "unknown" if number is None else number + note.ljust(width)
        for number, note in zip(numbers, notes, strict=True)
    ]


def _fitted(report: Report, width: int) -> list[Column]:
    """Leave out, cut off and add what makes the table as wide as the terminal."""
    is_by_session = report.by == "session"
    key, *others = _columns(report, _short)
    title = others.pop() if others[-1].heading == "Title" else None
    reserved = width - (_NARROWEST + len(_GAP) if title else 0)
    if _whole([key, *others]) > reserved:
        others = [column for column in others if column.heading not in _PARTS]
    if is_by_session and _whole([key, *others]) > reserved:
        key = Column(key.heading, format.beginnings(key.cells), is_right=False)
    least = key if is_by_session else _cut(key, _NARROWEST)
    others = _given_way(report, others, width - least.width - len(_GAP))
    room = max(width - _whole(others) - len(_GAP), least.width)
    columns = [_cut(key, room, from_left=report.by == "repo"), *others]
    if title is not None:
        room = min(width - _whole(columns) - len(_GAP), _WIDEST_TITLE)
        if room >= _NARROWEST:
            columns.insert(1, _cut(title, room))
    room = min(width - _whole(columns) - len(_GAP), _WIDEST_BAR)
    if room >= _NARROWEST_BAR and report.lines:
        columns.append(_bars(report, room))
    return columns


def _given_way(report: Report, columns: list[Column], width: int) -> list[Column]:
    """Say in fewer words what is unknown, then leave out what costs can do without."""
    if _whole(columns) <= width:
        return columns
    names = {column.heading for column in columns}
    short = [c for c in _columns(report, _short, _SHORT_NOTE) if c.heading in names]
    for name in ("Runs", "Tokens"):
        if _whole(short) > width:
            short = [column for column in short if column.heading != name]
    return short


def _bars(report: Report, width: int) -> Column:
    """Draw each row's share of the dearest; of tokens where no cost is known."""
    has_cost = any(line.usd for line in report.lines)
    sizes = [
        (line.usd if has_cost else line.total_tokens) or 0 for line in report.lines
    ]
    largest = max(sizes) or 1
    bars = [_bar(size / largest, width) for size in sizes]
    return Column(_BAR, [*bars, ""], is_right=False)


def _bar(share: float, width: int) -> str:
    """Draw a bar in eighths of a character; what is not nothing can be seen."""
    eighths = round(share * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(eighths, 8)
    return "█" * full + _EIGHTHS[rest].strip()


def _whole(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


def _cut(column: Column, width: int, *, from_left: bool = False) -> Column:
    cells = [
        cell if _width(cell) <= width else _shortened(cell, width, from_left=from_left)
        for cell in column.cells
    ]
    return Column(column.heading, cells, is_right=column.is_right)


def _shortened(text: str, width: int, *, from_left: bool) -> str:
    while _width(text) >= width:
        text = text[1:] if from_left else text[:-1]
    return f"…{text}" if from_left else f"{text}…"


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def _exact(number: int) -> str:
    return f"{number:,}"


def _short(number: int) -> str:
    """Write a number in three or four digits: 1234567 as 1.23M."""
    if number < 10 * _KILO:
        return f"{number:,}"
    value, units = number / _KILO, iter("kMGT")
    unit = next(units)
    while value >= _KILO - 0.5 and (larger := next(units, "")):
        value, unit = value / _KILO, larger
    return f"{value:#.3g}".rstrip(".") + unit
