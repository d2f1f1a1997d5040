"""What a run used and cost: its share of its thread's tokens, each call at its price.

Figures come from Codex's rollout files, else from `codex exec --json` or a log.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import chain

from parsers.accounting.prices import CostParts, PriceUnknownError, cost
from parsers.accounting.tokens import PARTS, Usage
from parsers.struct import EMPTY, Struct, as_dict, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Final, Literal

    from parsers.accounting.prices import PriceSource, Rates
    from parsers.facts import Facts
    from parsers.rollouts.thread import Call, Rollout

    RatesOf = Callable[[str], Rates]
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


class RunCost(Struct):
    """The cost of one run with its sub-agents; None with a `reason` if it is unknown.

    `estimate` names estimated parts. `by_model` has the parts of each model.
    """

    usd: Decimal | None = None
    model: str | None = None
    subagents_usd: Decimal | None = None
    by_model: Mapping[str, CostParts] = EMPTY
    sources: Mapping[str, PriceSource] = EMPTY
    estimate: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """Make the `cost` block of a summary."""
        sources = set(self.sources.values())
        parts: dict[str, object] = {
            model: {
                **_parts_to_json(by_kind),
                "price_source": self.sources[model].to_json(),
            }
            for model, by_kind in self.by_model.items()
        }
        if len(self.by_model) == 1:
            parts = _parts_to_json(*self.by_model.values())
        block: dict[str, object] = {
            "usd": None if self.usd is None else float(self.usd),
            "model": self.model,
            "price_source": sources.pop().to_json() if len(sources) == 1 else None,
            "parts": parts or None,
        }
        if self.subagents_usd is not None:
            block["subagents_usd"] = float(self.subagents_usd)
        notes = {"estimate": self.estimate, "reason": self.reason}
        return block | {name: note for name, note in notes.items() if note is not None}


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


def cost_of_run(
    used: RunUsage,
    facts: Facts | None,
    rates_of: RatesOf,
    *,
    model: str | None = None,
) -> RunCost:
    """Price each call of a run; where only their sum is known, price that as one call.

    Args:
        used: what the run has used.
        facts: the facts of its output: a model, or a cost where no usage is known.
        rates_of: finds a model's rates or raises `PriceUnknownError`.
        model: the model of calls that do not name theirs.
    """
    model = model or (facts.model if facts else None)
    if used.usage is None:
        if facts is None or facts.cost_usd is None:
            return RunCost(model=model, reason=used.reason or "the usage is not known")
        usd = Decimal(str(facts.cost_usd))
        return RunCost(usd=usd, model=model, estimate="the figure that the log names")
    try:
        return _priced(used, model, rates_of)
    except PriceUnknownError as error:
        return RunCost(model=error.model or model, reason=str(error))


def _priced(used: RunUsage, model: str | None, rates_of: RatesOf) -> RunCost:
    whole = used.usage or Usage()
    own: list[tuple[str | None, Usage]]
    own = [(call.model, call.usage) for call in used.calls]
    is_sum = not own and whole != Usage()
    if is_sum:
        own = [(None, whole)]
    agents = [(each.model, each.usage) for by in used.subagents for each in by.calls]
    charges: list[Decimal] = []
    by_model: dict[str, CostParts] = {}
    sources: dict[str, PriceSource] = {}
    estimate = None
    # One by one, because the tier depends on a call's own input.
    for named, usage in (*own, *agents):
        name = named or model
        if not name:
            reason = "neither the run's output nor its record names one"
            raise PriceUnknownError("", reason)
        rates = rates_of(name)
        if is_sum and not charges and rates.has_tiers:
            rates = rates.without_tiers()
            estimate = "no call is priced as a long one: only their sum is known"
        parts = cost(usage, rates)
        charges.append(parts.total)
        by_model[name] = by_model.get(name, CostParts()) + parts
        sources[name] = rates.source
    return RunCost(
        usd=sum(charges, Decimal(0)),
        model=next(iter(by_model), model),
        subagents_usd=(
            sum(charges[len(own) :], Decimal(0)) if used.subagents else None
        ),
        by_model=by_model,
        sources=sources,
        estimate=estimate,
    )


def _parts_to_json(parts: CostParts) -> dict[str, object]:
    return {part: float(usd) for part, usd in as_dict(parts).items()}
