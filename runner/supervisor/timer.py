"""The timer: deliver what waits for a time, with one process per state directory.

It also has the notifications sent that no supervisor sends, by copies of itself.
It lives while something waits and a time, a run, a login or another program can end
the wait. It sleeps until the next time in the ledger, a line in its FIFO, or the end of
a supervisor; then it does what every command does first: sweep. It polls nothing but
logins and other programs' locks, once a minute.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct

from parsers import json_text
from parsers.light import signal, suppress
from parsers.struct import replace
from runner import clock
from runner.ledger.ledger import Ledger
from runner.lifecycle import timer
from runner.lifecycle.liveness import place_of
from runner.lifecycle.recover import sweep
from runner.model import Running
from runner.process import libc
from runner.process.signals import WAITED, reap
from runner.process.table import is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config import Config

_LOOK_SECONDS = 60.0
# Someone is about to judge, or to start, what has just ended.
_SETTLING_SECONDS = 0.25
_REALTIME = 0
_ABSOLUTE, _CANCEL_ON_SET = 1, 2
_CAN_POLL = hasattr(os, "pidfd_open")


def run(settings: Config) -> None:
    """Deliver what can be delivered, until nothing waits that this process can end."""
    home = settings.state_home
    if (held := timer.take_over(settings)) is None:
        return
    # A stop of the system, or of its user, ends the timer; the next command starts it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WAITED)
    bell, alarm = _open_bell(str(home / timer.FIFO)), _Alarm()
    ledger = Ledger(home)
    while True:
        handed = _read_handed(_drain(bell))
        settings = replace(settings, handed={**(settings.handed or {}), **handed})
        clock.renew_zone()
        # After the FIFO is read, so what it told of is seen.
        ledger.close()
        sweep(ledger, settings, is_timer=True)
        for _ in reap():
            pass
        if ledger.value("needs_timer"):
            alarm.set(ledger.value("next_deadline"))
            _sleep(bell, alarm, ledger)
            continue
        # A command that commits from now on starts a new timer; what was committed
        # before is seen here.
        fcntl.flock(held, fcntl.LOCK_UN)
        if not ledger.value("needs_timer"):
            return
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return


def _open_bell(path: str) -> int:
    with suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


def _drain(descriptor: int) -> bytes:
    found = b""
    with suppress(OSError):
        while data := os.read(descriptor, 4096):
            found += data
    return found


def _read_handed(told: bytes) -> dict[str, str]:
    """Read the secrets that senders have handed over, by their digests."""
    return dict(json_text.loads(line) for line in told.splitlines() if line)


def _sleep(bell: int, alarm: _Alarm, ledger: Ledger) -> None:
    """Sleep until there may be something to do."""
    poll, handles = select.poll(), []
    for descriptor in filter(None, (bell, alarm.descriptor)):
        poll.register(descriptor, select.POLLIN)
    limits = [alarm.limit] if alarm.limit is not None else []
    if ledger.value("polls"):
        limits.append(_LOOK_SECONDS)
    for pid in _owners(ledger):
        try:
            handles.append(os.pidfd_open(pid) if _CAN_POLL else -1)
        except OSError:
            limits.append(_SETTLING_SECONDS)
    for handle in handles:
        if handle >= 0:
            poll.register(handle, select.POLLIN)
    if -1 in handles:
        limits.append(_LOOK_SECONDS)
    ledger.close()
    with suppress(OSError):
        # Of the memory that the command and the sweep have freed, a tenth of the timer.
        libc.call("malloc_trim", 0)
    try:
        poll.poll(min(limits) * 1000 if limits else None)
    finally:
        for handle in handles:
            if handle >= 0:
                os.close(handle)


def _owners(ledger: Ledger) -> Iterator[int]:
    """Yield the processes whose end leaves a run to be judged."""
    for each in ledger.runs.unfinished():
        owner = each.supervisor
        if owner is None or not place_of(each).is_here:
            continue
        if not is_alive(owner) and isinstance(each.state, Running):
            owner = each.state.codex
        yield owner.pid


class _Alarm:
    """An absolute alarm on the clock of the wall, which also goes off when it is set.

    Without the system's timers (`descriptor` is None) `limit` is the seconds to wait.
    """

    def __init__(self) -> None:
        self.descriptor: int | None = None
        self.limit: float | None = None
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        with suppress(OSError):
            self.descriptor = libc.call("timerfd_create", _REALTIME, flags)

    def set(self, at: str | None) -> None:
        """Set it to an RFC 3339 instant; None is never."""
        seconds = 0.0 if at is None else max(clock.parse_iso(at).timestamp(), 0.001)
        if self.descriptor is None:
            left = seconds - clock.now().timestamp()
            self.limit = None if at is None else min(max(left, 0.0), _LOOK_SECONDS)
            return
        _drain(self.descriptor)
        whole, part = int(seconds), int(seconds % 1 * 1e9)
        spec = struct.pack("qqqq", 0, 0, whole, part)
        flags = _ABSOLUTE | _CANCEL_ON_SET
        libc.call("timerfd_settime", self.descriptor, flags, spec, 0)
