"""How long a run may take, and how long it may stand still."""

from __future__ import annotations

from runner import clock, files
from runner.codex import home
from runner.lifecycle.judge import Cause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from parsers.exec_events.summary import EventSummary
    from runner.model import Limits

# A rollout is looked at this often within the stall limit.
_CHECKS_PER_LIMIT = 8
# Codex notes the rate limits with every reply, also of a stream that broke off, so a
# thread that reconnects for ever has a growing file (0.169).
_NO_PROGRESS = b'"type":"token_count"'
_HEAD_BYTES = 200


class LimitsWatch:
    """Tell when a run has used up its time, or has stood still for too long.

    Progress is an event that is no reconnect message, a command that is running, or
    a record in a rollout file of the thread or of its sub-agents: while an agent waits
    for another, its own event stream says nothing.
    """

    def __init__(self, limits: Limits, codex_home: Path) -> None:
        self._limits = limits
        self._home = codex_home
        self._began = self._progressed = self._checked = clock.monotonic()
        self._progress = 0
        self._sizes: dict[str, int] = {}

    def exceeded(self, summary: EventSummary) -> tuple[Cause, float] | None:
        """Name the limit that has been passed, with its seconds."""
        now = clock.monotonic()
        timeout, stall = self._limits.timeout, self._limits.stall
        if timeout is not None and now - self._began >= timeout:
            return Cause.TIMEOUT, timeout
        announcement = self._limits.announcement or float("inf")
        if summary.thread_id is None and now - self._began >= announcement:
            return Cause.SILENCE, announcement
        if stall is None:
            return None
        if summary.progress != self._progress or summary.is_command_running:
            self._progress, self._progressed = summary.progress, now
        if now - self._checked >= stall / _CHECKS_PER_LIMIT:
            self._checked = now
            if self._have_rollouts_grown(summary):
                self._progressed = now
        if now - self._progressed >= stall:
            return Cause.STALL, stall
        return None

    def _have_rollouts_grown(self, summary: EventSummary) -> bool:
        threads = [t for t in (summary.thread_id, *summary.agent_threads) if t]
        have_grown = [self._has_grown(thread) for thread in threads]
        return any(have_grown)

    def _has_grown(self, thread_id: str) -> bool:
        """Tell whether a thread's rollout has new records since the last look."""
        path = home.rollout_of(self._home, thread_id)
        before = self._sizes.get(thread_id)
        try:
            size = self._sizes[thread_id] = path.stat().st_size if path else 0
            return bool(path and before is not None and _holds_news(path, before, size))
        except OSError:
            return False


def _holds_news(path: Path, start: int, end: int) -> bool:
    if end <= start:
        return False
    with files.reader(path) as file:
        file.seek(start)
        return any(_NO_PROGRESS not in line[:_HEAD_BYTES] for line in file)
