"""The help of a command, made of its table of options, at the terminal's width."""

from __future__ import annotations

import shutil
from textwrap import wrap

from parsers.light import pattern
from parsers.struct import Struct
from runner import clock
from runner.cli.options import read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.cli.options import Option

_LEAST, _MOST = 60, 100  # columns that a help takes
_GROUP, _OPTION, _GAP = 8, 20, "  "
_ANY = "any command: 130 interrupted; 141 standard output was closed"
# What `Parser.add_general` adds.
GENERAL = """\
other:
--print-completion SHELL  print the completion script for bash, zsh or fish
--version                 print the version
"""
_DEFAULT = pattern(r"\[(default: [^]]*)\]")
_DURATIONS = ("TIME", "AGE")


class About(Struct):
    """Hold the parts of a help.

    `options` is a table (`options.read_table`), `examples` are lines, `notes` are
    paragraphs. Of `codes` each line is a list of exit codes, separated by semicolons;
    indented lines continue it.
    """

    usage: str
    summary: str
    options: str
    examples: str
    codes: str
    notes: tuple[str, ...] = ()


def text_of(about: About) -> str:
    """Write a help."""
    columns = shutil.get_terminal_size((80, 24)).columns
    width = min(max(columns, _LEAST), _MOST)
    options = [each for each in read_table(about.options) if each.told]
    notes = [*about.notes, *_durations(options)]
    parts = [
        _wrapped(about.usage, width, " " * 6),
        _wrapped(about.summary, width),
        "\n".join(_table(options, width)),
        "\n".join(["examples", *_examples(about.examples, width)]),
        *(_wrapped(each, width) for each in notes),
        "\n".join(_codes(about.codes, width)),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def fitted(text: str, column: int) -> str:
    """Wrap the lines of a text to the terminal; what is wrapped begins in a column."""
    width = max(shutil.get_terminal_size((80, 24)).columns, _LEAST)
    indent = " " * column
    return "\n".join(_wrapped(line, width, indent) for line in text.split("\n"))


def _wrapped(text: str, width: int, indent: str = "") -> str:
    lines = wrap(
        text,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def _durations(options: list[Option]) -> Iterator[str]:
    *most, last = clock.DURATIONS.split(", ")
    for name in _DURATIONS:
        if any(each.value == name for each in options):
            yield f"{name} is {', '.join(most)} or {last}."


def _table(options: list[Option], width: int) -> Iterator[str]:
    left = _GROUP if any(each.group for each in options) else len(_GAP)
    group = None
    for each in options:
        head = each.group if each.group != group else None
        group = each.group
        first = (head or "").ljust(left) + each.spelt.ljust(_OPTION) + _GAP
        indent = " " * (left + _OPTION + len(_GAP))
        told = _DEFAULT.sub(r"(\1)", each.told)
        if len(each.spelt) > _OPTION:
            yield first.rstrip()
            first = indent
        yield _wrapped(first + told, width, indent)


def _examples(lines: str, width: int) -> Iterator[str]:
    """Indent examples; of one that is too long, put its comment on another line."""
    for line in lines.strip("\n").split("\n"):
        command, _, comment = line.strip().partition("  ")
        if len(line) <= width or not comment:
            yield line
        else:
            yield f"  {command}"
            yield f"      {comment.strip()}"


def _codes(codes: str, width: int) -> Iterator[str]:
    """Write exit codes side by side, each with what it means."""
    head, indent = "exit  ", " " * len("exit  ")
    for line in (*codes.strip().replace("\n  ", " ").split("\n"), _ANY):
        first, *items = line.split("; ")
        rows = [first]
        for item in items:
            longer = f"{rows[-1]}   {item}"
            if len(head + longer) <= width:
                rows[-1] = longer
            else:
                rows.append(item)
        for row in rows:
            yield _wrapped(head + row, width, indent)
            head = indent
