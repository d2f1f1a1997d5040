"""What a run cost: each model call at the rates of its model, then summed."""

from __future__ import annotations

from decimal import Decimal

from parsers.accounting.prices import CostParts, PriceUnknownError, cost
from parsers.accounting.tokens import Usage
from parsers.struct import EMPTY, Struct, as_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from parsers.accounting.prices import PriceSource, Rates
    from parsers.accounting.run_usage import RunUsage
    from parsers.facts import Facts
    from parsers.rollouts.thread import Call

    RatesOf = Callable[[str], Rates]


class RunCost(Struct):
    """The cost of one run with its sub-agents; None with a `reason` if it is unknown.

    `estimate` says what is only estimated. `by_model` has the parts of each model.
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
    bill = _Bill(rates_of=rates_of, default_model=model)
    try:
        own = bill.charge_own(used)
        agents = bill.charge_calls(
            call for agent in used.subagents for call in agent.calls
        )
    except PriceUnknownError as error:
        return RunCost(model=error.model or model, reason=str(error))
    return RunCost(
        usd=own + agents,
        model=bill.first_model or model,
        subagents_usd=agents if used.subagents else None,
        by_model=bill.by_model,
        sources=bill.sources,
        estimate=bill.estimate,
    )


class _Bill:
    def __init__(self, rates_of: RatesOf, default_model: str | None) -> None:
        self.rates_of = rates_of
        self.default_model = default_model
        self.by_model: dict[str, CostParts] = {}
        self.sources: dict[str, PriceSource] = {}
        self.estimate: str | None = None
        self.first_model: str | None = None

    def charge_own(self, used: RunUsage) -> Decimal:
        """Price the run's own thread; a run that called no model costs nothing."""
        if used.calls or used.usage is None or used.usage == Usage():
            return self.charge_calls(used.calls)
        rates = self._rates(None)
        if rates.has_tiers:
            rates = rates.without_tiers()
            self.estimate = "no call is priced as a long one: only their sum is known"
        return self._charge(used.usage, rates)

    def charge_calls(self, calls: Iterable[Call]) -> Decimal:
        """Price calls one by one, because the tier depends on a call's own input."""
        charges = (self._charge(call.usage, self._rates(call.model)) for call in calls)
        return sum(charges, Decimal(0))

    def _rates(self, model: str | None) -> Rates:
        name = model or self.default_model or ""
        if not name:
            reason = "neither the run's output nor its record names one"
            raise PriceUnknownError(name, reason)
        return self.rates_of(name)

    def _charge(self, usage: Usage, rates: Rates) -> Decimal:
        parts = cost(usage, rates)
        self.first_model = self.first_model or rates.model
        self.by_model[rates.model] = self.by_model.get(rates.model, CostParts()) + parts
        self.sources[rates.model] = rates.source
        return parts.total


def _parts_to_json(parts: CostParts) -> dict[str, object]:
    return {part: float(usd) for part, usd in as_dict(parts).items()}
