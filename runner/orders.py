"""What a launching command hands over to the supervisor that it starts."""

from __future__ import annotations

import argparse
import signal
import sys

from parsers.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# What stops a run when it reaches its supervisor, or the command that watches it.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Orders(Value):
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

        `-P` keeps the caller's directory, where a `runner` of its own may lie, out of
        the search for modules.
        """
        argv = [sys.executable, "-P", "-m", "runner.supervisor", self.run_id]
        argv += ["--channel", str(self.channel), "--guard", str(self.guard)]
        if self.session_lock is not None:
            argv += ["--session-lock", str(self.session_lock)]
        return argv


def read(argv: Sequence[str] | None) -> Orders:
    """Read the command line of a supervisor back."""
    parser = argparse.ArgumentParser(prog="runner.supervisor")
    parser.add_argument("run_id")
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--guard", type=int, required=True)
    parser.add_argument("--session-lock", type=int)
    return Orders(**vars(parser.parse_args(argv)))
