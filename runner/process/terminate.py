"""End everything below the supervisor, gently first: INT, then TERM, then KILL.

INT goes to Codex alone, which then notes the abort in its rollout. TERM goes to
all that is still there when Codex has gone or has had its time, KILL to all that
outlives the grace time. What a tool starts meanwhile is found at the next step,
because every orphan is adopted by the supervisor.
"""

from __future__ import annotations

import contextlib
import signal

from runner import clock
from runner.errors import RunnerError
from runner.process.signals import send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.model import ProcessId

# Codex writes its last words within milliseconds; a launcher that swallows INT
# must not use up the time that the tools need to obey TERM.
_INT_SHARE = 0.2
# After KILL only a process in an uninterruptible wait is still there.
_GIVE_UP_SHARE = 1.5


class Termination:
    """End one run, a step at a time.

    Args:
        codex: names the process that gets INT first, None when it has gone.
        members: lists all that belongs to the run and is alive.
        grace: seconds from INT to KILL.
    """

    def __init__(
        self,
        codex: Callable[[], ProcessId | None],
        members: Callable[[], list[ProcessId]],
        grace: float,
    ) -> None:
        self._codex = codex
        self._members = members
        self._grace = grace
        self._began = clock.monotonic()
        self._sent: set[ProcessId] = set()
        # A process that cannot be named or reached now gets TERM with all others.
        with contextlib.suppress(OSError, RunnerError):
            if (first := codex()) is not None:
                send(first, signal.SIGINT)

    def step(self) -> bool:
        """Send what is due; tell whether nothing is left, or nothing can be done."""
        members = self._members()
        if not members:
            return True
        passed = clock.monotonic() - self._began
        if passed >= self._grace:
            for member in members:
                send(member, signal.SIGKILL)
            return passed >= self._grace * _GIVE_UP_SHARE
        if passed >= self._grace * _INT_SHARE or self._codex() is None:
            for member in members:
                if member not in self._sent:
                    self._sent.add(member)
                    send(member, signal.SIGTERM)
        return False
