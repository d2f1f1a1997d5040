"""Try notifications: send a test event, and report what came back."""

from __future__ import annotations

import os

from parsers.struct import Struct
from runner import clock, config
from runner.errors import RunnerError
from runner.notify import command_of, desktop, event, start_with, webhook
from runner.process.signals import kill_child
from runner.process.start import Launch
from runner.terms import masked_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config import Config
    from runner.terms import Terms

_PACE_SECONDS = 0.02
_ERROR = 2  # standard error


class Tried(Struct):
    """Hold where an event was sent, and the error, None when it has arrived."""

    target: str
    error: str | None
    seconds: float


def try_all(terms: Terms, settings: Config) -> Iterator[Tried]:
    """Send a test event to each target of some terms, one after the other.

    `settings` are those in force.

    Raises:
        UsageError: the command cannot be split into words.
    """
    told = event.event_of(event.trial(clock.iso(clock.now())), None)
    line, began = event.line_of(told), clock.monotonic()
    if terms.notify is not None:
        argv = command_of(terms.notify, "--notify")
        yield _tried("notify", _run(argv, line, settings), began)
    if terms.webhook is not None:
        began = clock.monotonic()
        answer = webhook.post(terms.webhook, line, str(told["id"]), settings)
        target = f"webhook {masked_address(terms.webhook)}"
        yield _tried(target, answer.error, began)
    if terms.is_on_desktop:
        began = clock.monotonic()
        argv = desktop.argv_of(*event.summary_of(told))
        is_there = desktop.is_there(settings.environment)
        error = _run(argv, line, settings) if is_there else desktop.MISSING
        yield _tried("desktop", error, began)


def _tried(target: str, error: str | None, began: float) -> Tried:
    return Tried(target=target, error=error, seconds=clock.monotonic() - began)


def _run(argv: list[str], line: bytes, settings: Config) -> str | None:
    """Run a program with its output on standard error; return the error."""
    how = Launch(
        argv=argv,
        environment=config.hook_environment(settings, "none"),
        cwd=".",
        umask=settings.umask,
        stdout=_ERROR,
        stderr=_ERROR,
    )
    try:
        pid = start_with(line, how)
    except (OSError, RunnerError) as error:
        return f"it cannot be started: {error}"
    deadline = clock.monotonic() + settings.hook_seconds
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if clock.monotonic() >= deadline:
            kill_child(pid)
            os.waitpid(pid, 0)
            return f"it took longer than {settings.hook_seconds:g} s"
        clock.sleep(_PACE_SECONDS)
    code = os.waitstatus_to_exitcode(ended[1])
    return f"it exited with {code}" if code else None
