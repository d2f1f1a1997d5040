"""What a launching command hands over to the supervisor that it starts."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from parsers.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# What stops a run when it reaches its supervisor, or the command that watches it.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# What the `stop` verb sends to a supervisor: its run is stopped on purpose, not
# interrupted by whatever ends processes.
STOP_SIGNAL = signal.SIGUSR1
_NONE = -1
_NAME = "runner.supervisor"  # for whoever looks at the list of processes
_PROGRAM = f"""\
import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from runner.supervisor.main import run; run()"""


class SupervisorArgs(Struct):
    """Hold what a supervisor needs besides the record.

    `guard` is the lock of the events file, open as long as the supervisor lives;
    `session_lock` is that of the session, when it has been taken already; `channel`
    leads back to whoever watches. All three are inherited descriptors.
    """

    run_id: str
    channel: int
    guard: int
    session_lock: int | None

    def to_argv(self) -> list[str]:
        """Build the command line of the supervisor.

        The caller's directory and PYTHONPATH, where a `runner` or `parsers` of its own
        may lie, come behind this suite in the search for modules.
        """
        descriptors = (self.channel, self.guard, self.session_lock)
        return [
            *(sys.executable, "-P", "-c", _PROGRAM, _NAME, self.run_id),
            *(str(_NONE if each is None else each) for each in descriptors),
        ]


def read(argv: Sequence[str]) -> SupervisorArgs:
    """Read the command line of a supervisor back."""
    _, run_id, *descriptors = argv
    channel, guard, lock = map(int, descriptors)
    return SupervisorArgs(
        run_id=run_id,
        channel=channel,
        guard=guard,
        session_lock=None if lock == _NONE else lock,
    )
