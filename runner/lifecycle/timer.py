"""Start the timer of a state directory, or tell it that the queue has changed.

The timer is a process that delivers what has to wait for a time, for the end of a run,
for a login or for another program (`runner.supervisor.timer`), and has webhooks sent.
It holds `timer.lock`
and reads `timer.fifo`.
"""

from __future__ import annotations

import errno
import os
import select

from parsers import json_text
from parsers.light import suppress
from parsers.struct import replace
from runner import clock, locks
from runner.config import RUN_MARKER
from runner.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsers.paths import Path
    from runner.config import Config
    from runner.ledger.ledger import Ledger

LOCK, FIFO = "timer.lock", "timer.fifo"
_PACE_SECONDS = 0.005
_PATIENCE_SECONDS = 5.0


def wake(ledger: Ledger, settings: Config, *, starts: bool = True) -> None:
    """Let the timer look at the queue again, after a commit; start it if it is needed.

    Without `starts` only a timer that runs is told.
    It is handed the secrets of waiting prompts that are here. A timer that is no longer
    needed ends. Inside a run nothing is started: it would end with the run.
    """
    if waits := ledger.has_waiting_prompts:
        from runner.ledger.environments import Senders  # noqa: PLC0415 - of what waits

        settings = replace(settings, handed=Senders(ledger, settings).known())
    if ring(settings.state_home, settings.handed):
        return
    if not starts or not (waits or ledger.outbox.has_notices):
        return
    is_inside = RUN_MARKER in settings.environment
    if is_inside or not settings.has_timer or not ledger.value("needs_timer"):
        return
    from runner.lifecycle.handoff import supervisor  # noqa: PLC0415 - a rare need
    from runner.process.fork import detach  # noqa: PLC0415 - as above

    run = supervisor().run_timer
    ledger.close()
    with suppress(OSError):
        _, pipe = detach(lambda _: run(settings))
        os.close(pipe)


def is_running(state_home: Path) -> bool:
    """Return whether a timer looks after the queue."""
    return locks.look(state_home / LOCK) is Lock.HELD


def ring(state_home: Path, handed: Mapping[str, str] | None = None) -> bool:
    """Tell a running timer that the queue has changed; return whether there is one.

    Secrets are handed to it in the FIFO, so no disk ever has them: each in one write,
    which a pipe does not mix with others.
    """
    if not is_running(state_home):
        return False
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(state_home / FIFO, flags)
    except OSError:
        return False  # it is starting, or about to end
    lines = [json_text.dumps([*each]) for each in (handed or {}).items()]
    try:
        for line in [each for each in lines if len(each) < select.PIPE_BUF] or [""]:
            os.write(descriptor, f"{line}\n".encode())
    except OSError as error:
        return error.errno == errno.EAGAIN  # it has bytes enough to read
    finally:
        os.close(descriptor)
    return True


def take_over(settings: Config) -> int | None:
    """Take the lock of the timer; None when another one has been told instead.

    A timer that is starting has its FIFO open before it reads the ledger, and one that
    ends gives up the lock before it reads the ledger a last time. So one of the two
    works soon.
    """
    home, deadline = settings.state_home, clock.monotonic() + _PATIENCE_SECONDS
    while (descriptor := locks.take(home / LOCK)) is None:
        if ring(home, settings.handed) or clock.monotonic() > deadline:
            return None
        clock.sleep(_PACE_SECONDS)
    return descriptor
