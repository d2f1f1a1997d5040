"""Run a command: its settings, its exit code, and its errors."""

from __future__ import annotations

import os
import sys

from parsers.light import suppress
from parsers.struct import replace
from runner import config
from runner.cli.output import ReaderGoneError, document, error_json, report
from runner.errors import RunnerError, RunnerFault, UsageError
from runner.model import EXIT_INTERRUPTED, EXIT_READER_GONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from runner.cli.output import Output
    from runner.config import Config


def leave(code: int) -> NoReturn:
    """Exit at once: the interpreter's own shutdown takes 20 ms."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


class InterruptedCommandError(RunnerError):
    """Report a Ctrl-C; said in JSON only."""

    exit_code = EXIT_INTERRUPTED
    code = "interrupted"


def enter(
    command: Callable[[Config], int],
    output: Output | None = None,
    wrong_usage: int = UsageError.exit_code,
) -> int:
    """Run a command and return its exit code; show its error on standard error.

    Args:
        command: the command.
        output: where an error is an object, too (--json): unless the object of the
            command is there already.
        wrong_usage: the exit code of a usage error.
    """
    try:
        # Codex gets the caller's umask; files of this suite are private.
        umask = os.umask(0o077)
        return command(replace(config.load(), umask=umask))
    except ReaderGoneError:
        return EXIT_READER_GONE
    except RunnerError as error:
        wrong = error
    except OSError as error:
        wrong = _refused(error)
    except (ImportError, MemoryError) as error:
        # Loading a shared library fails with ImportError when memory is short.
        wrong = RunnerFault(str(error) or "there is not enough memory")
    except KeyboardInterrupt:
        wrong = InterruptedCommandError("interrupted")
    if not isinstance(wrong, InterruptedCommandError):
        report(wrong)
    if output is not None and output.is_empty:
        with suppress(ReaderGoneError, RunnerError):
            output.lines([document("error", {"error": error_json(wrong)})])
    is_usage = wrong.exit_code == UsageError.exit_code
    return wrong_usage if is_usage else wrong.exit_code


def line_of(words: Sequence[str]) -> list[str]:
    """Return the command line of this command with other arguments."""
    own = len(sys.orig_argv) - len(sys.argv) + 1
    return [sys.executable, *sys.orig_argv[1:own], *words]


def enter_scope(settings: Config) -> NoReturn:
    """Become this command in a scope of its own."""
    from runner.service import containment  # noqa: PLC0415 - for this alone

    containment.enter_scope([sys.executable, *sys.orig_argv[1:]], settings)


def _refused(error: OSError) -> RunnerError:
    if isinstance(error, FileNotFoundError) and error.filename is None:
        # A relative path fails when the current directory is gone.
        try:
            os.getcwd()  # noqa: PTH109 - pathlib would do no more
        except FileNotFoundError:
            message = "the current directory is gone: change to one that exists"
            return UsageError(message)
    # No module handles these: a name that is too long, a directory on the way that may
    # not be searched.
    place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    return RunnerFault(f"{place}{error.strerror or error}")
