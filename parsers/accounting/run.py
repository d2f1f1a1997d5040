"""What a run used: its share of its thread's tokens.

Figures come from Codex's rollout files, else from `codex exec --json` or a log.
"""

from __future__ import annotations

from itertools import chain

from parsers.accounting.tokens import PARTS, Usage, sum_usage
from parsers.exec_events.events import is_broken_stream
from parsers.struct import EMPTY, Struct, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final, Literal

    from parsers.facts import Facts
    from parsers.rollouts.thread import Call, Rollout, Turn

    Source = Literal["rollout", "events", "log"]

_NOWHERE: Final = "neither the run's output nor a rollout file tells it"
_UNKNOWN_KINDS: Final = "its rollout has no call, but records of unknown kinds"
_UNCACHED: Final = "the log tells only the tokens without cached input"
_RESTARTED: Final = (
    "the thread's figure is smaller than before the run:"
    " Codex restarts it when the context window overflows"
)


class RunUsage(Struct):
    """The tokens of one run; an unknown or doubtful figure has a `reason`.

    Logs that name no parts give `total_tokens` or `uncached_tokens` alone. `calls` are
    those of the run's own thread, if it has a rollout; `subagents` are not part of
    `usage`. `uncounted` is what is known to be missing.
    """

    usage: Usage | None = None
    total_tokens: int | None = None
    uncached_tokens: int | None = None
    uncounted: Mapping[str, int] = EMPTY
    source: Source | None = None
    reason: str | None = None
    calls: tuple[Call, ...] = ()
    subagents: tuple[Rollout, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Make the `token_usage` block of a summary."""
        total = {"total_tokens": self.total_tokens}
        known = self.usage.to_json() if self.usage else total
        block = {**dict.fromkeys(PARTS), **known, "source": self.source}
        if self.uncached_tokens is not None:
            block["uncached_tokens"] = self.uncached_tokens
        if self.reason is not None:
            block["reason"] = self.reason
        if self.uncounted:
            block["uncounted"] = dict(self.uncounted)
        if self.subagents:
            block["subagents"] = [
                {"thread_id": agent.thread_id, **agent.usage.to_json()}
                for agent in self.subagents
            ]
        by_model: dict[str, list[Usage]] = {}
        for call in chain(self.calls, *(agent.calls for agent in self.subagents)):
            by_model.setdefault(call.model or "unknown", []).append(call.usage)
        if len(by_model) > 1:
            sums = {model: sum_usage(some) for model, some in by_model.items()}
            block["by_model"] = {model: each.to_json() for model, each in sums.items()}
        return block


def usage_of_run(
    rollout: Rollout | None,
    subagent_rollouts: Iterable[Rollout],
    facts: Facts | None,
    previous: Usage | None,
    *,
    is_cumulative: bool = True,
    doubt: str | None = None,
) -> RunUsage:
    """Work out what a run has used, from its thread's rollout or else from its facts.

    Args:
        rollout: the thread's file, read with the window of the run.
        subagent_rollouts: the files of its sub-agents' threads, read likewise.
        facts: the facts of the run's own output.
        previous: the thread's usage before the run; `Usage()` for a new thread, None
            where it is not known.
        is_cumulative: whether Codex prints the thread's figure (0.80 and later) or the
            figure of its process.
        doubt: why the figure of the facts may be too large.
    """
    has_answered = facts is not None and facts.ended == "completed"
    # No call although there is an answer: a window that misses the run, or a file that
    # was not written to its end. Or no call is recognised.
    if rollout is None or (
        not rollout.calls and (has_answered or rollout.has_unknown_records)
    ):
        before = previous if is_cumulative else Usage()
        own = _usage_of_facts(facts, before, doubt)
        if own.source is None and rollout is not None and rollout.has_unknown_records:
            own = replace(own, reason=_UNKNOWN_KINDS)
    else:
        used, calls = rollout.usage, rollout.calls
        own = RunUsage(usage=used, source="rollout", calls=calls)
    own_ids = {None, rollout and rollout.thread_id, facts and facts.session_id}
    agents: dict[str | None, Rollout] = {}
    for agent in subagent_rollouts:
        if agent.calls and agent.thread_id not in own_ids:
            agents.setdefault(agent.thread_id, agent)
    missing, turns = {}, [*rollout.turns] if rollout else []
    for agent in agents.values():
        own_turns = {call.turn_id for call in agent.calls}
        turns += [turn for turn in agent.turns if turn.turn_id in own_turns]
    if own.source in {"rollout", "events"}:
        missing = _uncounted(turns, facts, rollout.compactions if rollout else 0)
    return replace(own, subagents=tuple(agents.values()), uncounted=missing)


def _uncounted(
    turns: Iterable[Turn], facts: Facts | None, compactions: int
) -> dict[str, int]:
    """Count the model calls without a figure, by why they have none."""
    found = {
        "compactions": compactions,
        "interrupted_calls": 0,
        "failed_calls": facts.broken_calls if facts else 0,
    }
    for turn in turns:
        if not turn.is_unanswered:
            continue
        failure = turn.error_message or (facts.failure if facts else None)
        # Without a connection there is no call; else it is a stream that broke.
        is_call = is_broken_stream(failure)
        has_ended = facts is not None and facts.ended is not None
        if has_ended or turn.state in {"completed", "failed"}:
            found["failed_calls"] += is_call
        else:
            found["interrupted_calls"] += is_call or failure is None
    return {name: count for name, count in found.items() if count}


def _usage_of_facts(
    facts: Facts | None, before: Usage | None, doubt: str | None
) -> RunUsage:
    if facts is None:
        return RunUsage(reason=_NOWHERE)
    if facts.is_share:
        before, doubt = Usage(), None
    figures = (facts.usage, facts.total_tokens, facts.uncached_tokens)
    if figures == (None, None, None):
        # Codex announces a turn before its first call.
        is_unused = facts.kind == "events" and not facts.has_begun
        nothing = RunUsage(usage=Usage(), source="events")
        return nothing if is_unused else RunUsage(reason=_NOWHERE)
    if before is None:
        return RunUsage(
            reason="only the thread's figure is known, not what it was before the run"
        )
    if facts.usage is not None:
        own, source = facts.usage - before, facts.kind
        if own.is_negative:
            return RunUsage(reason=_RESTARTED)
        return RunUsage(
            usage=own, source=None if source == "empty" else source, reason=doubt
        )
    if facts.total_tokens is not None:
        total = facts.total_tokens - before.total_tokens
        share = RunUsage(total_tokens=total, reason="the log tells only a total")
    else:
        total = (facts.uncached_tokens or 0) - before.uncached_tokens
        share = RunUsage(uncached_tokens=total, reason=_UNCACHED)
    if doubt is not None:
        share = replace(share, reason=f"{share.reason}; {doubt}")
    return RunUsage(reason=_RESTARTED) if total < 0 else replace(share, source="log")
