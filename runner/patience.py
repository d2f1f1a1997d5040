"""How long a run may take, and how long it may stand still."""

from typing import TYPE_CHECKING

from runner import clock
from runner.codex import home
from runner.judge import Cause

if TYPE_CHECKING:
    from pathlib import Path

    from parsers.digest import Digest
    from runner.model import Limits

# A rollout is looked at this often within the stall limit.
_CHECKS_PER_LIMIT = 8


class Patience:
    """Tell when a run has used up its time, or has stood still for too long.

    Progress is an event that is no reconnect message, a command that is running, or
    a rollout file of the thread or of its sub-agents that has grown: while an agent
    waits for another, its own event stream says nothing.
    """

    def __init__(self, limits: "Limits", codex_home: "Path") -> None:
        self._limits = limits
        self._home = codex_home
        self._began = self._progressed = self._checked = clock.monotonic()
        self._progress = 0
        self._sizes: dict[str, int] = {}

    def exceeded(self, digest: "Digest") -> tuple[Cause, float] | None:
        """Name the limit that has been passed, with its seconds."""
        now = clock.monotonic()
        timeout, stall = self._limits.timeout, self._limits.stall
        if timeout is not None and now - self._began >= timeout:
            return Cause.TIMEOUT, timeout
        if stall is None:
            return None
        if digest.progress != self._progress or digest.is_command_running:
            self._progress, self._progressed = digest.progress, now
        if now - self._checked >= stall / _CHECKS_PER_LIMIT:
            self._checked = now
            if self._have_rollouts_grown(digest):
                self._progressed = now
        if now - self._progressed >= stall:
            return Cause.STALL, stall
        return None

    def _have_rollouts_grown(self, digest: "Digest") -> bool:
        threads = [t for t in (digest.thread_id, *digest.agent_threads) if t]
        sizes = {thread: self._size(thread) for thread in threads}
        has_grown = any(
            size > self._sizes[thread]
            for thread, size in sizes.items()
            if thread in self._sizes
        )
        self._sizes = sizes
        return has_grown

    def _size(self, thread_id: str) -> int:
        path = home.rollout_of(self._home, thread_id)
        try:
            return path.stat().st_size if path else 0
        except OSError:
            return 0
