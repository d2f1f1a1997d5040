"""The model calls of one thread's rollout, each counted once.

Codex 0.169 writes a `token_usage_record` for each call. A record with a known response
id is a repeat, unless the thread's total in it has advanced: a provider may use an id
again. Where a turn has no records, its calls are differences of the running totals in
`token_count`, which all versions from 0.50 write:

* a total that did not advance is a repeat;
* a total that equals the last call's usage has restarted: a process of 0.50, which
  counts for itself, or a thread that ran out of its context window;
* a fork's first total holds its parent's, that after a revert the rest of its thread's:
  only the last call's usage is its own.
"""

from __future__ import annotations

from parsers import loose_json
from parsers.accounting.tokens import Usage, read_usage
from parsers.struct import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsers.rollouts.records import Step

_NOTHING = Usage()
_IN_TOTAL = ("input_tokens", "output_tokens")


class CallCounter:
    """Takes the usage records of one thread in order; returns each call's own usage.

    `is_rooted` is false for a thread that starts with another thread's totals.
    `is_recorded` is true once the turn has usage records: its totals add no calls then.
    The reader resets it for each turn: one process, so one version of Codex, writes it.
    `total` is the thread's figure as its file says it; a fork's includes its parent's.
    """

    def __init__(self, *, is_rooted: bool = True) -> None:
        self.is_rooted = is_rooted
        self.is_recorded = False
        self._total: object = None
        self._running: Usage | None = None
        self._is_new_process = False
        self._responses: set[str] = set()
        self._recorded = 0

    @property
    def total(self) -> Usage | None:
        return read_figure(self._total)

    def take_record(self, payload: Mapping[str, object]) -> Usage | None:
        """Take the thread's own `token_usage_record`; None when it is a repeat."""
        self.is_recorded = True
        self._total = payload.get("thread_token_usage") or self._total
        total = _total_of(payload.get("thread_token_usage"))
        has_advanced = total > self._recorded
        self._recorded = max(self._recorded, total)
        response = loose_json.text(payload.get("response_id"))
        if response in self._responses and not has_advanced:
            return None
        if response is not None:
            self._responses.add(response)
        return read_figure(payload.get("usage"))

    def take_total(self, info: Mapping[str, object]) -> Usage | None:
        """Take a `token_count`; None when it shows no new call."""
        running = read_figure(info.get("total_token_usage"))
        if running is None:
            # A process without a total yet: each process of 0.50 begins like this.
            self._is_new_process = True
            return None
        last = read_figure(info.get("last_token_usage")) or _NOTHING
        own = self._advance(running, last)
        self._running, self._is_new_process = running, False
        if self.is_recorded or own == _NOTHING:
            return None
        self._total = info.get("total_token_usage")
        return own

    def rebase(self) -> None:
        """Go on from an earlier total of the thread, to which it was reverted."""
        self.is_rooted, self._running, self._recorded = False, None, 0

    def take_baseline(self, info: Mapping[str, object]) -> None:
        """Take a `token_count` that was copied from a parent: it shows no own call."""
        self._running = read_figure(info.get("total_token_usage")) or self._running

    def _advance(self, running: Usage, last: Usage) -> Usage:
        before = self._running
        if before is None:
            before = _NOTHING if self.is_rooted else running - last
        if running == before and not (self._is_new_process and running == last):
            return _NOTHING
        if running in {last, before + last}:
            return last
        advance = running - before
        return running if advance.is_negative else advance


class CallInFlight:
    """Follows a turn: whether a model call has begun that has no usage yet.

    A call begins with the turn, with the answers to a response's tool calls, and after
    a compaction. Some versions write the usage of a response after these answers.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._has_called = self._is_answered = False

    def begin(self) -> None:
        self.is_open, self._has_called, self._is_answered = True, False, False

    def take(self, step: Step) -> None:
        """Take what the model or a tool has done."""
        if step == "call":
            self._has_called = True
        elif step == "answer" and self.is_open:
            self._is_answered = self._has_called
        else:
            self.begin()

    def take_usage(self) -> None:
        """Take the usage of the call, or of a compaction."""
        self.is_open = self._is_answered
        self._has_called = self._is_answered = False


def _total_of(value: object) -> int:
    """Read only the total of a usage object, as `read_figure` does."""
    fields = loose_json.mapping(value)
    own, made = map(loose_json.integer, map(fields.get, _IN_TOTAL))
    return max(own or 0, 0) + max(made or 0, 0)


def read_figure(value: object) -> Usage | None:
    """Read a usage object of a rollout, with the sum of its parts as the total.

    Codex writes the window's size as the total when a thread overflows its window.
    """
    usage = read_usage(value)
    if usage is None or usage.total_tokens == usage.input_tokens + usage.output_tokens:
        return usage
    return replace(usage, total_tokens=usage.input_tokens + usage.output_tokens)
