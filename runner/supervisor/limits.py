"""The limits of a run: its time, time without progress, until its thread and answer."""

from __future__ import annotations

from runner import clock, files
from runner.codex import home
from runner.lifecycle.judge import Cause
from runner.tail import START_STALL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.exec_events.summary import EventSummary
    from parsers.paths import Path
    from runner.model import Limits

# How many times a rollout is checked within the stall limit.
_CHECKS_PER_LIMIT = 8
# Codex waits longer and longer between reconnect messages. Between two that are further
# apart than this, and than so many of the pause before, the model may have worked.
_PAUSE, _GROWTH = 120.0, 3
# Codex records the rate limits with every reply, even of a broken stream, so the file
# of a thread that reconnects for ever grows (0.169).
_NO_PROGRESS = b'"type":"token_count"'
_HEAD_BYTES = 200


class LimitsWatch:
    """Check the time limit and the stall limit of a run.

    Progress is an event other than a reconnect message, a running command, or a new
    record in a rollout file of the thread or of its sub-agents: while an agent waits
    for another, its own event stream is silent. Before its first answer, a run that
    only reconnects is ended sooner (`START_STALL`); one that waits in silence is not.
    """

    def __init__(self, limits: Limits, codex_home: Path) -> None:
        self._limits = limits
        self._home = codex_home
        self._began = self._progressed = self._checked = clock.monotonic()
        self._progress = 0
        self._sizes: dict[str, int] = {}
        self._reconnects, self._lost, self._reconnected = 0, 0.0, float("-inf")
        self._pause = 0.0  # between the last two reconnect messages of a series

    def exceeded(self, summary: EventSummary) -> tuple[Cause, float] | None:
        """Return the limit that was exceeded, with its seconds."""
        now = clock.monotonic()
        timeout, stall = self._limits.timeout, self._limits.stall
        if timeout is not None and now - self._began >= timeout:
            return Cause.TIMEOUT, timeout
        announcement = self._limits.announcement or float("inf")
        if summary.thread_id is None and now - self._began >= announcement:
            return Cause.SILENCE, announcement
        if stall is None:
            return None
        if self._only_reconnects(summary, now):
            return Cause.STALL, START_STALL
        if summary.progress != self._progress or summary.is_command_running:
            self._progress, self._progressed = summary.progress, now
        if now - self._checked >= stall / _CHECKS_PER_LIMIT:
            self._checked = now
            threads = (summary.thread_id, *summary.agent_threads)
            # A list, not a generator: the size of every rollout is recorded.
            have_grown = [self._has_grown(thread) for thread in threads if thread]
            if any(have_grown):
                self._progressed = now
        if now - self._progressed >= stall:
            return Cause.STALL, stall
        return None

    def next_look(self, summary: EventSummary) -> float | None:
        """Return when to call `exceeded` again, in monotonic seconds."""
        timeout, stall = self._limits.timeout, self._limits.stall
        times = [] if timeout is None else [self._began + timeout]
        if summary.thread_id is None and self._limits.announcement is not None:
            times.append(self._began + self._limits.announcement)
        if stall is not None:
            times.append(self._checked + stall / _CHECKS_PER_LIMIT)
            times.append(self._progressed + stall)
            early = self._lost + START_STALL
            if (
                not summary.has_answered
                and self._reconnects
                and early > clock.monotonic()
            ):
                times.append(early)
        return min(times, default=None)

    def _only_reconnects(self, summary: EventSummary, now: float) -> bool:
        """Return whether reconnect messages are all that came for too long.

        Pauses grow: until a message is older than the pause before it, Codex still
        waits for its next try. Later it may have succeeded, so the next message counts.
        """
        if summary.has_answered:
            return False
        silence, is_new = (
            now - self._reconnected,
            summary.reconnects != self._reconnects,
        )
        if is_new:
            if silence > max(_PAUSE, _GROWTH * self._pause):
                self._lost, silence = now, 0.0
            self._reconnects, self._reconnected = summary.reconnects, now
            self._pause = silence
        does_wait = is_new or silence <= self._pause
        return does_wait and now - self._lost >= START_STALL

    def _has_grown(self, thread_id: str) -> bool:
        """Return whether a thread's rollout has new records since the last check."""
        path = next(reversed(home.rollouts_of(self._home, thread_id)), None)
        before = self._sizes.get(thread_id)
        try:
            size = self._sizes[thread_id] = path.stat().st_size if path else 0
            if path is None or before is None or size <= before:
                return False
            with files.reader(path) as file:
                file.seek(before)
                return any(_NO_PROGRESS not in line[:_HEAD_BYTES] for line in file)
        except OSError:
            return False
