"""What a command line can go on with, told by the parsers themselves."""

from __future__ import annotations

from parsers.struct import Struct
from runner.cli.codex_tasks import load, parser_of, whole_parser
from runner.cli.tasks import COMMANDS
from runner.model import TaskState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Action, ArgumentParser
    from collections.abc import Callable, Sequence
    from typing import Literal

    Kind = Literal["words", "files", "directories"]
    # A word and what it means.
    Pair = tuple[str, str]
    TasksOf = Callable[[str, str], Sequence[Pair]]

_FILES = ("FILE", "BIN")
_DIRECTORIES = ("DIR", "URL")
_TASK = "TASK"
_WORDS = {
    "MODE": ("read-only", "workspace-write", "danger-full-access"),
    "STATE": tuple(TaskState),
}
_MANY = ("*", "+")


class Candidates(Struct, kw_only=False):
    """Hold what a word can become: some words, or the name of a file."""

    kind: Kind
    pairs: tuple[Pair, ...] = ()

    def behind(self, head: str) -> Candidates:
        """Return them for a word that begins with something of its own."""
        return Candidates(
            self.kind, tuple((head + w, means) for w, means in self.pairs)
        )


_NONE = Candidates("words")


class _Place(Struct):
    """Hold where a command line stands before its last word.

    `pending` is the option whose value comes next, `used` are those that are there, and
    `given` the words that are no options. After `--` there are `no_options` any more.
    """

    pending: Action | None
    used: tuple[Action, ...]
    given: tuple[str, ...]
    no_options: bool


def complete(words: Sequence[str], tasks_of: TasksOf) -> Candidates:
    """Tell what the last of the words behind the command's name can become.

    Args:
        words: the words, the last one as far as it has been typed.
        tasks_of: finds the tasks that a command takes and that fit what was typed.
    """
    *before, current = words or ("",)
    if before and before[0] in COMMANDS:
        command, *before = before
        parser = parser_of(command, load(command))
    else:
        command, parser = "", whole_parser()
    place = _walk(parser, before)
    return _next(parser, place, current, lambda text: tasks_of(command, text))


def _walk(parser: ArgumentParser, words: Sequence[str]) -> _Place:
    options = _options(parser)
    pending: Action | None = None
    used: list[Action] = []
    given: list[str] = []
    for number, word in enumerate(words):
        if word == "--":
            given += words[number + 1 :]
            return _Place(
                pending=None, used=tuple(used), given=tuple(given), no_options=True
            )
        name, equals, _ = word.partition("=")
        if name in options:
            used.append(options[name])
            pending = None if equals or options[name].nargs == 0 else options[name]
        elif pending is None:
            given += [] if word.startswith("-") and word != "-" else [word]
        elif pending.nargs not in _MANY:
            pending = None
    return _Place(
        pending=pending, used=tuple(used), given=tuple(given), no_options=False
    )


def _next(
    parser: ArgumentParser,
    place: _Place,
    current: str,
    tasks_of: Callable[[str], Sequence[Pair]],
) -> Candidates:
    options = _options(parser)
    name, equals, value = current.partition("=")
    if place.pending is not None and not current.startswith("-"):
        return _values(place.pending, current, tasks_of)
    if current.startswith("-") and not place.no_options:
        if equals and name in options:
            found = _values(options[name], value, tasks_of)
            return found.behind(f"{name}=")
        return _flags(parser, place.used, current)
    action = _positional(parser, len(place.given))
    if action is None:
        return _NONE
    found = _values(action, current, tasks_of)
    return Candidates(
        found.kind, tuple(p for p in found.pairs if p[0] not in place.given)
    )


def _options(parser: ArgumentParser) -> dict[str, Action]:
    return {flag: each for each in _actions(parser) for flag in each.option_strings}


def _positional(parser: ArgumentParser, given: int) -> Action | None:
    """Return the argument that comes after so many others."""
    wanted = [each for each in _actions(parser) if not each.option_strings]
    if given < len(wanted):
        return wanted[given]
    return wanted[-1] if wanted and wanted[-1].nargs in _MANY else None


def _actions(parser: ArgumentParser) -> list[Action]:
    """Return what a parser understands and its help shows."""
    actions = parser._actions  # noqa: SLF001 - argparse has no other way to tell
    return [each for each in actions if each.help != "==SUPPRESS=="]


def _flags(parser: ArgumentParser, used: Sequence[Action], current: str) -> Candidates:
    """Return the options that are not there yet, or can be again."""
    pairs = [
        (flag, each.help or "")
        for each in _actions(parser)
        for flag in each.option_strings
        if flag.startswith(current)
        and (each not in used or isinstance(each.default, list))
    ]
    return Candidates("words", tuple(pairs))


def _values(
    action: Action, current: str, tasks_of: Callable[[str], Sequence[Pair]]
) -> Candidates:
    metavar = str(action.metavar)
    if metavar == _TASK:
        return Candidates("words", tuple(tasks_of(current)))
    if metavar in _FILES:
        return Candidates("files")
    if metavar in _DIRECTORIES:
        return Candidates("directories")
    if isinstance(action.choices, dict):
        words = [(name, load(name).SUMMARY) for name in action.choices]
    else:
        words = [(str(w), "") for w in action.choices or _WORDS.get(metavar, ())]
    return Candidates("words", tuple(p for p in words if p[0].startswith(current)))
