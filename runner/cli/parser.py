"""The parser of all commands, and the mapping of errors to exit codes."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from argparse import SUPPRESS
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from parsers.struct import replace
from runner import config
from runner.cli.output import Output, ReaderGoneError, note
from runner.config import Config
from runner.errors import RunnerError, UsageError
from runner.model import EXIT_INTERRUPTED, EXIT_READER_GONE, CodexOptions, Limits
from runner.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

SHELLS = ("bash", "zsh", "fish")
# Values that have an error message of their own when they are empty.
_MAY_BE_EMPTY = ("TEXT", "PROMPT")
_FLAG = {"action": "store_true"}
_LONGEST_NUMBER = 19
_MISSING = "the following arguments are required: "
# Read with `codex_of`.
CODEX_OPTIONS = """\
--codex-bin BIN               the binary [default: codex]
--sandbox, -s MODE            Codex's --sandbox
--model, -m MODEL             Codex's --model
--config, -c KEY=VALUE ...    a configuration value; repeatable
--skip-git-repo-check         also work outside of a git repository
"""


class _Help(argparse.HelpFormatter):
    """Wrap each paragraph to the terminal; keep the lines of examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill, paragraphs = super()._fill_text, text.strip("\n").split("\n\n")
        return "\n\n".join(
            each if "\n  " in each else fill(each, width, indent) for each in paragraphs
        )


class Parser(argparse.ArgumentParser):
    """Parse a command line; report a wrong one as `UsageError`, in one line.

    Args:
        options: what `describe` takes.
        said: `prog`, `description`, `usage` and `epilog`, as argparse has them.
    """

    def __init__(self, options: str, **said: Any) -> None:  # noqa: ANN401 - handed on
        # argparse makes a formatter for each option; a query of the terminal's width
        # each time takes as long as the rest of parsing.
        unasked = partial(_Help, width=80)
        super().__init__(**said, formatter_class=unasked, allow_abbrev=False)
        self.describe(options)

    def parse_args(  # type: ignore[override]  # of its overloads one is used
        self, args: Sequence[str], namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        found, rest = self.parse_known_args(args, namespace)
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

    def error(self, message: str, near: str = "") -> NoReturn:
        hint = f"{near}{self.prog} --help lists them"
        if message.endswith("expected one argument"):
            hint = "write a value that starts with - as --option=VALUE"
        elif message.startswith(_MISSING) and not message.startswith(f"{_MISSING}-"):
            hint += "; put -- before an argument that starts with -"
        # Of an invalid choice argparse lists all that are valid.
        has_hint = "invalid choice" not in message
        raise UsageError(f"{message} ({hint})" if has_hint else message)

    def format_help(self) -> str:
        self.formatter_class = _Help
        return super().format_help()

    def _print_message(self, message: str, _file: object = None) -> None:
        # argparse ignores the error of a full disk.
        Output().text(message)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> object:
        if "" in arg_strings and action.metavar not in _MAY_BE_EMPTY:
            # An empty variable of a script must not be taken as a value.
            name = "/".join(action.option_strings) or action.metavar
            hint = ", or leave it out" if action.option_strings else ""
            message = f"{name} is empty: give it a value{hint}"
            raise UsageError(message)
        # Python 3.11 drops a `--` that is an option's value (`--task=--`).
        if arg_strings == ["--"] and action.option_strings and action.nargs is None:
            return self._get_value(action, "--")
        return super()._get_values(action, arg_strings)

    def describe(self, table: str) -> None:
        """Add options and arguments from the text of their help.

        Each line is `-n, --lines N  HELP`; indented lines below continue the help.
        Without the N the option is a flag; `N ...` can be repeated, `N+ ...` takes many
        values; `{a,b}` are choices; `[default: x]` in the help is the default.
        `TASK` is an argument, `TASK ...` any number of them. A line that ends with a
        colon begins a group. An option without help is hidden.
        """
        add: Callable[..., object] = self.add_argument
        for line in table.replace("\n  ", " ").splitlines():
            usage, _, told = line.partition("  ")
            if usage.endswith(":"):
                add = self.add_argument_group(usage[:-1]).add_argument
                continue
            *words, last = usage.replace(", ", " ").split()
            is_many = last == "..."
            words += [] if is_many else [last]
            value = "" if words[-1].startswith("-") else words.pop()
            option: dict[str, object] = {"help": " ".join(told.split()) or SUPPRESS}
            if "[default: " in told:
                option["default"] = told.partition("[default: ")[2].partition("]")[0]
            if value.startswith("{"):
                option["choices"] = value[1:-1].split(",")
            elif value:
                option["metavar"] = value.removesuffix("+")
            if not words:
                words, option["nargs"] = [value.lower()], "*" if is_many else None
            elif not value:
                option |= {"action": "count", "default": 0} if is_many else _FLAG
            elif is_many:
                nargs = "+" if value.endswith("+") else None
                option |= {"action": "append", "default": [], "nargs": nargs}
            add(*words, **option)

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
    """Suggest what the user may have meant by a word, before another hint.

    Args:
        word: the unknown word.
        known: valid words in the spelling to compare, and how to show each.
    """
    import difflib  # noqa: PLC0415 - for a mistake alone

    near = difflib.get_close_matches(word.partition("=")[0], known, n=2)
    return f"did you mean {' or '.join(known[each] for each in near)}? " if near else ""


def refuse(*cases: tuple[object, str]) -> None:
    """Raise the message of the first case that holds.

    Raises:
        UsageError: a case holds.
    """
    for holds, message in cases:
        if holds:
            raise UsageError(message)


def codex_of(found: argparse.Namespace, extra: tuple[str, ...] = ()) -> CodexOptions:
    """Read the options of `CODEX_OPTIONS`.

    Args:
        found: the command line.
        extra: more arguments for Codex.
    """
    return CodexOptions(
        bin=found.codex_bin,
        sandbox=found.sandbox,
        model=found.model,
        overrides=tuple(found.config),
        skip_git_repo_check=found.skip_git_repo_check,
        extra=extra,
    )


def limits_of(found: argparse.Namespace, settings: Config) -> Limits:
    """Read `--timeout` and `--stall-timeout`.

    Raises:
        UsageError: a value is not a number of seconds.
    """
    timeout = settings.timeout_seconds
    if found.timeout is not None:
        timeout = config.seconds(found.timeout, "--timeout")
    stall = config.seconds(found.stall_timeout, "--stall-timeout")
    return Limits(timeout=timeout, stall=stall)


def whole_number(
    text: str | None, name: str, what: str, *, least: int = 0
) -> int | None:
    """Read a count; None means all.

    Raises:
        UsageError: the text is not a whole number, or below the least.
    """
    if text is None:
        return None
    is_number = text.isascii() and text.isdecimal()
    if is_number and len(text) >= _LONGEST_NUMBER:
        return None  # above any possible count
    if not is_number or int(text) < least:
        message = f"{name} {text!r} is not a number of {what}, {least} or more"
        raise UsageError(message)
    return int(text)


def completion_script(shell: str) -> str:
    """Return the script that completes all commands in a shell."""
    place = Path(__file__).with_name("shells") / f"completion.{shell}"
    return place.read_text(encoding="utf-8")


def leave(code: int) -> NoReturn:
    """Exit at once: the interpreter's own shutdown takes 20 ms."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def enter(command: Callable[[Config], int]) -> int:
    """Run a command and return its exit code; an error is one line on stderr."""
    try:
        # Codex gets the caller's umask; files of this suite are private.
        umask = os.umask(0o077)
        return command(replace(config.load(), umask=umask))
    except ReaderGoneError:
        return EXIT_READER_GONE
    except RunnerError as error:
        note(str(error))
        return error.exit_code
    except OSError as error:
        return _refused(error)
    except (ImportError, MemoryError) as error:
        # Loading a shared library fails with ImportError when memory is short.
        note(str(error) or "there is not enough memory")
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _refused(error: OSError) -> int:
    if isinstance(error, FileNotFoundError) and error.filename is None:
        # A relative path fails when the current directory is gone.
        try:
            os.getcwd()  # noqa: PTH109 - pathlib would do no more
        except FileNotFoundError:
            note("the current directory is gone: change to one that exists")
            return UsageError.exit_code
    # No module handles these: a name that is too long, a directory on the way that may
    # not be searched.
    place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    note(f"{place}{error.strerror or error}")
    return 1
