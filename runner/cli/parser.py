"""argparse for all commands: help, completions, and what is wrong with a line."""

from __future__ import annotations

import argparse
from argparse import SUPPRESS
from functools import partial

from parsers.paths import Path
from runner.cli.help import text_of
from runner.cli.options import Values, read_table
from runner.cli.output import Output
from runner.errors import UsageError
from runner.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any, NoReturn

    from runner.cli.help import About

SHELLS = ("bash", "zsh", "fish")
# Values that have an error message of their own when they are empty.
_TEXTS = ("TEXT", "PROMPT", "ORDER")
# Before each argument that follows `--`, which argparse of Python 3.11 forgets when it
# parses options and arguments apart.
_PLAIN = "\0"
_MISSING = "the following arguments are required: "


class Parser(argparse.ArgumentParser):
    """Parse a command line; report a wrong one as `UsageError`, in one line.

    Args:
        options: what `describe` takes.
        may_be_empty: names of options that count as not given when they are empty.
        about: the parts of its help.
        said: `prog` and `help`, as argparse has them.
    """

    def __init__(
        self,
        options: str,
        may_be_empty: Collection[str] = (),
        about: About | None = None,
        **said: Any,  # noqa: ANN401 - handed on
    ) -> None:
        # argparse makes a formatter for each option; a query of the terminal's width
        # each time takes as long as the rest of parsing.
        unasked = partial(argparse.HelpFormatter, width=80)
        super().__init__(**said, formatter_class=unasked, allow_abbrev=False)
        self._may_be_empty, self.about = may_be_empty, about
        self.describe(options)

    def values(self, words: Sequence[str]) -> Values:
        """Read a command line.

        Raises:
            UsageError: it is wrong.
            SystemExit: help, the version or a completion script was printed.
        """
        # Options may stand between arguments; with commands argparse cannot do it.
        parse = self.parse_known_intermixed_args
        found, rest = (self.parse_known_args if self._subparsers else parse)(
            self._joined(words), Values()
        )
        rest = [each.removeprefix(_PLAIN) for each in rest]
        if rest:
            # Report a misspelt option, not the value that follows it.
            options = [each for each in rest if each[:2] == "--" != each]
            known = {each.lstrip("-"): each for each in self._option_string_actions}
            near = meant(options[0].lstrip("-"), known) if options else ""
            self.error(f"unrecognized arguments: {' '.join(options or rest)}", near)
        if shell := vars(found).get("print_completion"):
            Output().text(completion_script(shell))
            self.exit()
        return found

    def _joined(self, words: Sequence[str]) -> list[str]:
        """Join an option with a text that begins with a dash and is no option.

        What follows `--` is marked.
        """
        known, found = self._option_string_actions, list[str]()
        for number, word in enumerate(words):
            option = known.get(found[-1]) if found and found[-1][:2] == "--" else None
            is_text = option is not None and option.metavar in _TEXTS
            if is_text and word[:1] == "-" and word.partition("=")[0] not in known:
                found[-1] += f"={word}"
            elif word == "--" and not self._subparsers:
                return [*found, *(_PLAIN + each for each in words[number + 1 :])]
            else:
                found.append(word)
        return found

    def error(self, message: str, near: str = "") -> NoReturn:
        hint = f"{near}, or {self.prog} --help" if near else f"{self.prog} --help"
        if message.endswith("expected one argument"):
            names = message.removeprefix("argument ").partition(":")[0].split("/")
            name = next((each for each in names if each[:2] == "--"), names[0])
            hint = f"give it a value: {name}=VALUE"
        elif message.startswith(_MISSING) and not message.startswith(f"{_MISSING}-"):
            hint += ", or before one that starts with -: --"
        # Of an invalid choice argparse lists all that are valid.
        raise UsageError(message, "" if "invalid choice" in message else hint)

    def format_help(self) -> str:
        return super().format_help() if self.about is None else text_of(self.about)

    def _print_message(self, message: str, _file: object = None) -> None:
        # argparse ignores the error of a full disk.
        Output().text(message)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> object:
        can_be_empty = action.metavar in _TEXTS or action.dest in self._may_be_empty
        if {"", _PLAIN}.intersection(arg_strings) and not can_be_empty:
            # An empty variable of a script must not be taken as a value.
            name = "/".join(action.option_strings) or action.metavar
            hint = f"{self.prog} --help"
            if words := action.option_strings:
                word = max(words, key=len)
                value = action.metavar or "VALUE"
                hint = f"leave it out, or give it a value: {word} {value}"
            message = f"{name} is empty"
            raise UsageError(message, hint)
        # Python 3.11 drops a `--` that is an option's value (`--task=--`).
        if arg_strings == ["--"] and action.option_strings and action.nargs is None:
            return self._get_value(action, "--")
        return super()._get_values(action, arg_strings)

    def _get_value(self, action: argparse.Action, arg_string: str) -> object:
        return super()._get_value(action, arg_string.removeprefix(_PLAIN))

    def describe(self, table: str) -> None:
        """Add the options and arguments of a table (`options.read_table`)."""
        groups: dict[str | None, argparse._ActionsContainer] = {None: self}
        for option in read_table(table):
            if option.group not in groups:
                groups[option.group] = self.add_argument_group(option.group)
            said: dict[str, object] = {"help": option.told or SUPPRESS}
            said["default"] = option.initial
            if option.choices:
                said["choices"] = option.choices
            elif option.value:
                said["metavar"] = option.value
            words = option.words
            if not words:
                words = (option.name,)
                said["nargs"] = "*" if option.is_many else None
            elif not option.value:
                said["action"] = "count" if option.is_many else "store_true"
            elif option.is_many:
                said["action"] = "append"
                said["nargs"] = "+" if option.takes_many else None
            groups[option.group].add_argument(*words, **said)  # type: ignore[arg-type]  # as it takes them

    def add_general(self, *, has_script: bool = True) -> None:
        """Add the options that every command has.

        Args:
            has_script: add the option that prints the completion script.
        """
        add = self.add_argument_group("general").add_argument
        if has_script:
            add(
                "--print-completion",
                metavar="SHELL",
                choices=SHELLS,
                help="print the completion script for bash, zsh or fish",
            )
        add("--version", action="version", version=f"{self.prog} {VERSION}")


def meant(word: str, known: Mapping[str, str]) -> str:
    """Return what the user may have meant by a word, "" for nothing.

    Args:
        word: the unknown word.
        known: valid words in the spelling to compare, and how to show each.
    """
    import difflib  # noqa: PLC0415 - for a mistake alone

    near = difflib.get_close_matches(word.partition("=")[0], known, n=1)
    return known[near[0]] if near else ""


def completion_script(shell: str) -> str:
    """Return the script that completes all commands in a shell."""
    place = Path(__file__).with_name("shells") / f"completion.{shell}"
    return place.read_text(encoding="utf-8")
