"""How sessions and runs look to people: blocks, tables, times."""

from __future__ import annotations

import os
import re
from datetime import datetime

from runner import clock
from runner.cli.output import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from typing import Literal

    Columns = Mapping[str, Sequence[str]]

TIME_FORMAT = (
    "--time-format {human,iso}  how times are written for people [default: human]"
)
_KILO = 1000
_UNITS = ("", "kB", "MB", "GB", "TB")
_LARGEST = 3 * (len(_UNITS) - 1)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
# Of a thread id: its time, then more and more of what chance has given.
_BEGINNINGS = (13, 18, 23)
# Cut to less, a title or a path tells nothing.
_LEAST = 8
_STYLES = {"RUNNING": "green", "DIED": "red", "ARCHIVED": "dim"}


def time(text: str, time_format: str) -> str:
    """Write an instant of a record in local time."""
    local = datetime.fromisoformat(text).astimezone()
    if time_format == "iso":
        return local.isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"{local:%a %b} {local.day:2d} {local:%H:%M:%S %Y}"


def short_time(text: str, time_format: str) -> str:
    """Write an instant of a record in local time, as short as it can be told."""
    if time_format == "iso":
        return time(text, time_format)
    local, now = datetime.fromisoformat(text).astimezone(), clock.now().astimezone()
    if local.date() == now.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%b} {local.day:2d} {local:%H:%M}" + (
        "" if local.year == now.year else f" {local.year}"
    )


def short_path(path: str) -> str:
    """Write a path with `~` for the home directory."""
    home = os.path.expanduser("~")  # noqa: PTH111 - it never fails
    return f"~{path[len(home) :]}" if path.startswith(f"{home}/") else path


def blocks(reports: Sequence[Mapping[str, object]], time_format: str) -> Iterator[str]:
    """Write reports for people, a blank line between them."""
    for number, report in enumerate(reports):
        if number:
            yield ""
        yield from _block(report, time_format)


def _block(report: Mapping[str, object], time_format: str) -> Iterator[str]:
    yield f"Task ID: {report['id']}"
    if report["title"]:
        yield f"Title: {line(report['title'])}"
    yield f"State: {report['state']}"
    if report["outcome"]:
        why = f" ({line(report['error'])})" if report["error"] else ""
        yield f"Outcome: {report['outcome']}{why}"
    for name, key in (("Created At", "created_at"), ("Updated At", "updated_at")):
        yield f"{name}: {time(str(report[key]), time_format)}"
    yield f"Working Dir: {line(report['working_dir'] or '<none>')}"
    if report["unknown"]:
        yield f"Unknown Here: {line(report['unknown'])}"
    if report["pid"]:
        yield f"PID: {report['pid']}"
    if isinstance(other := report["other_writer"], dict):
        yield f"Written By: another program (pid {other['pid'] or 'unknown'})"
    yield from _left_running(report["left_running"])
    if report["queue"]:
        yield f"Queue: {report['queue']} waiting{_held(report, time_format)}"
    yield from _prompts(report["prompts"], time_format)
    if isinstance(skipped := report["skipped"], int) and skipped:
        yield f"Skipped: {count(skipped, 'prompt')}, never delivered"
    yield f"Usage: {_usage(report)}"
    yield from _text("Last Prompt", report["last_prompt"])
    yield from _text("Last Result", report["last_result"])
    previous = report["previous_result"]
    if isinstance(previous, dict):
        yield from _text(f"Previous Result (run {previous['run']})", previous["text"])


def _left_running(left: object) -> Iterator[str]:
    """Name the processes that runs have left; `stop` ends them."""
    for each in left if isinstance(left, list) else ():
        yield f"Left Running: {line(each['name'])} (pid {each['pid']})"


def _prompts(prompts: object, time_format: str) -> Iterator[str]:
    """Say of each waiting prompt why it waits."""
    for each in prompts if isinstance(prompts, list) else ():
        until = f" until {time(each['until'], time_format)}" if each["until"] else ""
        why = each["detail"] or each["why"] or "starts next"
        yield f"  #{each['id']} {each['why'] or 'next'}{until}: {line(why)}"


def _held(report: Mapping[str, object], time_format: str) -> str:
    """Tell why the queue waits, its instants as all others are written."""
    if not report["queue_held"]:
        return ""
    why = line(report["queue_held"])
    return f", held: {_INSTANT.sub(lambda at: _timed(at[0], time_format), why)}"


def _timed(text: str, time_format: str) -> str:
    """Write what looks like an instant as one, and what is none as it is."""
    try:
        return time(text, time_format)
    except ValueError:
        return text


def _usage(report: Mapping[str, object]) -> str:
    tokens = _known(report["usage"], "total_tokens", "{:,} tokens")
    return f"{tokens or 'unknown'}, {_known(report['cost'], 'usd') or 'cost unknown'}"


def _known(sums: object, name: str, pattern: str = "${:.4f}") -> str | None:
    """Write a sum over the runs, and how many of them it is without."""
    if not isinstance(sums, dict) or sums[name] is None:
        return None
    missing = sums["unknown_runs"]
    return pattern.format(sums[name]) + (f" + {missing} unknown" if missing else "")


def _text(name: str, text: object) -> Iterator[str]:
    if text is None:
        yield f"{name}: <none>"
        return
    yield f"{name}:"
    yield from (visible(str(text)) or "<empty>").splitlines()


def line(value: object) -> str:
    """Write a text on one line; control characters are shown, not obeyed."""
    return " ".join(visible(str(value)).split())


def count(number: int, what: str) -> str:
    """Write a number of things."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def size(count: int) -> str:
    """Write a number of bytes."""
    if count < _KILO:
        return f"{count} bytes"
    power = min(len(str(count)) - 1, _LARGEST) // 3
    return f"{count / _KILO**power:.1f} {_UNITS[power]}"


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Write a table in plain text, for programs and files."""
    table = [columns, *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(columns))]
    for row in table:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def table(
    tables: Sequence[Columns], whole: Collection[str], right: Collection[str] = ()
) -> str:
    """Draw the first of some tables that the terminal is wide enough for.

    Args:
        tables: headings and their cells as plain text, with less and less in them; the
            last one is shown when none fits.
        whole: the columns whose cells are never cut: the others give way.
        right: the columns whose cells stand on the right: figures.
    """
    from rich.console import Console  # noqa: PLC0415 - 30 ms, on a terminal only
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    fitting = (each for each in tables if _least_width(each, whole) <= console.width)
    columns = next(fitting, tables[-1])
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        side: Literal["left", "right"] = "right" if name in right else "left"
        heading = Text(name, no_wrap=True)
        made.add_column(heading, justify=side, no_wrap=name in whole)
    for row in zip(*columns.values(), strict=True):
        made.add_row(
            *(
                Text(cell, _STYLES.get(cell, ""), no_wrap=True, overflow="ellipsis")
                for cell in row
            )
        )
    # Not printed by the console: it writes in the locale's letters, or not at all.
    with console.capture() as drawn:
        console.print(made)
    return drawn.get()


def _least_width(columns: Columns, whole: Collection[str]) -> int:
    from rich.cells import cell_len  # noqa: PLC0415 - as above

    least = 2 * (len(columns) - 1)
    for name, cells in columns.items():
        width = max(map(cell_len, (name, *cells)))
        least += width if name in whole else min(width, _LEAST)
    return least


def beginnings(ids: Sequence[str]) -> list[str]:
    """Shorten ids to beginnings that still tell them apart: a task goes by them too."""
    for length in _BEGINNINGS:
        if len({each[:length] for each in ids}) == len(set(ids)):
            return [each[:length] for each in ids]
    return list(ids)
