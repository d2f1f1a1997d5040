"""What a run used: its share of its thread's tokens.

Figures come from Codex's rollout files, else from `codex exec --json` or a log.
"""

from __future__ import annotations

from itertools import chain

from parsers.accounting.tokens import PARTS, Usage
from parsers.struct import Struct, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final, Literal

    from parsers.facts import Facts
    from parsers.rollouts.thread import Call, Rollout

    Source = Literal["rollout", "events", "log"]

_RESTARTED: Final = (
    "the thread's figure is smaller than before the run:"
    " Codex restarts it when the context window overflows"
)


class RunUsage(Struct):
    """The tokens of one run; an unknown figure is None, with a `reason`.

    Logs that name no parts give `total_tokens` alone. `calls` are those of the run's
    own thread, if it has a rollout; `subagents` are not part of `usage`.
    """

    usage: Usage | None = None
    total_tokens: int | None = None
    source: Source | None = None
    reason: str | None = None
    calls: tuple[Call, ...] = ()
    subagents: tuple[Rollout, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Make the `token_usage` block of a summary."""
        total = {"total_tokens": self.total_tokens}
        known = self.usage.to_json() if self.usage else total
        block = {**dict.fromkeys(PARTS), **known, "source": self.source}
        if self.reason is not None:
            block["reason"] = self.reason
        if self.subagents:
            block["subagents"] = [
                {"thread_id": agent.thread_id, **agent.usage.to_json()}
                for agent in self.subagents
            ]
        by_model: dict[str, Usage] = {}
        for call in chain(self.calls, *(agent.calls for agent in self.subagents)):
            name = call.model or "unknown"
            by_model[name] = by_model.get(name, Usage()) + call.usage
        if len(by_model) > 1:
            block["by_model"] = {m: usage.to_json() for m, usage in by_model.items()}
        return block


def usage_of_run(
    rollout: Rollout | None,
    subagent_rollouts: Iterable[Rollout],
    facts: Facts | None,
    previous: Usage | None,
    *,
    is_cumulative: bool = True,
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
    """
    has_answered = facts is not None and facts.ended == "completed"
    # No call although there is an answer: a window that misses the run, or a file that
    # was not written to its end.
    if rollout is None or (has_answered and not rollout.calls):
        own = _usage_of_facts(facts, previous if is_cumulative else Usage())
    else:
        own = RunUsage(usage=rollout.usage, source="rollout", calls=rollout.calls)
    own_ids = {None, rollout and rollout.thread_id, facts and facts.session_id}
    agents: dict[str | None, Rollout] = {}
    for agent in subagent_rollouts:
        if agent.calls and agent.thread_id not in own_ids:
            agents.setdefault(agent.thread_id, agent)
    return replace(own, subagents=tuple(agents.values()))


def _usage_of_facts(facts: Facts | None, before: Usage | None) -> RunUsage:
    if facts is None or (facts.usage is None and facts.total_tokens is None):
        return RunUsage(reason="neither the run's output nor a rollout file tells it")
    if before is None:
        return RunUsage(
            reason="only the thread's figure is known, not what it was before the run"
        )
    if facts.usage is not None:
        own = facts.usage - before
        if own.is_negative:
            return RunUsage(reason=_RESTARTED)
        return RunUsage(usage=own, source=None if facts.kind == "empty" else facts.kind)
    # A `tokens used` figure leaves cached input out.
    used_before = before.total_tokens - before.cached_input_tokens
    total = (facts.total_tokens or 0) - used_before
    if total < 0:
        return RunUsage(reason=_RESTARTED)
    return RunUsage(
        total_tokens=total,
        source="log",
        reason="the log tells only a total, without cached input",
    )
