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

GRACE_SECONDS = 10.0
# Codex writes its last words within milliseconds; a launcher that swallows INT
# must not use up the time that the tools need to obey TERM.
_INT_SECONDS = 2.0
# After KILL only a process in an uninterruptible wait is still there.
_GIVE_UP_SECONDS = GRACE_SECONDS + 5.0


class Termination:
    """Bring down one run, a step at a time.

    Args:
        codex: names the process that is to be told first, None when it has gone.
        members: lists all that belongs to the run and is alive.
    """

    def __init__(
        self,
        codex: Callable[[], ProcessId | None],
        members: Callable[[], list[ProcessId]],
    ) -> None:
        self._codex = codex
        self._members = members
        self._began = clock.monotonic()
        self._told: set[ProcessId] = set()
        # Who cannot be named or reached now is told TERM with all others.
        with contextlib.suppress(OSError, RunnerError):
            if (first := codex()) is not None:
                send(first, signal.SIGINT)

    def step(self) -> bool:
        """Send what is due; tell whether nothing is left, or nothing can be done."""
        members = self._members()
        if not members:
            return True
        passed = clock.monotonic() - self._began
        if passed >= GRACE_SECONDS:
            for member in members:
                send(member, signal.SIGKILL)
            return passed >= _GIVE_UP_SECONDS
        if passed >= _INT_SECONDS or self._codex() is None:
            for member in members:
                if member not in self._told:
                    self._told.add(member)
                    send(member, signal.SIGTERM)
        return False
