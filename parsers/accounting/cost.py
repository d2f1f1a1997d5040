"""What a run cost: each call at the price of its model, its service tier and its day.

Calls at the same price are added up in a `Charge`, which the record of a run keeps: the
cost follows from the charges, and what had no price can be priced later.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache

from parsers.accounting.prices import (
    CostParts,
    PriceSource,
    PriceUnknownError,
    Rates,
    cost,
    tier_named,
)
from parsers.accounting.tokens import (
    QUARTER_SECONDS,
    Usage,
    quarter_of,
    read_usage,
    sum_usage,
)
from parsers.light import UTC, datetime
from parsers.rollouts.records import parse_time
from parsers.struct import Struct, as_dict, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, Final

    from parsers.accounting.run import RunUsage
    from parsers.facts import Facts
    from parsers.rollouts.thread import Call, Rollout

    # The rates of a model on a day (ISO 8601) in a service tier.
    RatesOf = Callable[[str, str, str], Rates]
    # Those in a quarter of an hour.
    RatesAt = Callable[[str, int, str], Rates | PriceUnknownError]

_NAMELESS: Final = "neither the run's output nor its record names one"
_SHORT: Final = "no call is priced as a long one: only their sum is known"
_REROUTED: Final = (
    "another model answered from the middle of the turn on: all calls have its price"
)
_LOGGED: Final = "the figure that the log names"


class Charge(Struct):
    """Calls of one thread to one model in one service tier, at one price.

    `thread_id` is None for the run's own thread. `quarter` is that of an hour (UTC)
    since 1970. `request` is the input of each call, or an input with the same price;
    `calls` is 0 when only a sum of calls is known. `parts` is None without a price.
    """

    thread_id: str | None = None
    model: str
    tier: str = ""
    quarter: int
    request: int = 0
    calls: int = 0
    usage: Usage = Usage()
    parts: CostParts | None = None
    source: PriceSource | None = None

    @property
    def unpriced(self) -> int:
        """Count the calls without a price; a sum of calls counts as one."""
        return max(self.calls, 1) if self.parts is None else 0

    def to_json(self) -> dict[str, object]:
        """Make an object that `charges_in` reads back."""
        parts = self.parts and [str(usd) for usd in as_dict(self.parts).values()]
        return {**as_dict(self), "parts": parts}

    def __add__(self, other: Charge) -> Charge:
        parts = self.parts + other.parts if self.parts and other.parts else None
        usage, calls = self.usage + other.usage, self.calls + other.calls
        return replace(self, usage=usage, calls=calls, parts=parts)


class RunCost(Struct):
    """The cost of one run with its sub-agents; None with a `reason` if it is unknown.

    Without a price for some calls, which `unpriced` counts, `usd` is what the others
    cost. `estimate` names estimated parts.
    """

    usd: Decimal | None = None
    model: str | None = None
    subagents_usd: Decimal | None = None
    estimate: str | None = None
    reason: str | None = None
    unpriced: int = 0
    charges: tuple[Charge, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Make the `cost` block of a summary; it has the parts of each model."""
        named: dict[str, list[Charge]] = {}
        for each in self.charges:
            name = f"{each.model} ({each.tier})" if each.tier else each.model
            named.setdefault(name, []).extend([each] if each.parts else ())
        blocks = {name: _parts_to_json(some) for name, some in named.items() if some}
        sources = [each.source for each in self.charges if each.source]
        block: dict[str, object] = {
            "usd": None if self.usd is None else float(self.usd),
            "model": self.model,
            "price_source": _joined(sources),
            "parts": blocks or None,
        }
        if len(blocks) == 1:
            (only,) = blocks.values()
            del only["price_source"]
            block["parts"] = only
        agents = self.subagents_usd
        told = {
            "subagents_usd": None if agents is None else float(agents),
            "unpriced": self.unpriced or None,
            "estimate": self.estimate,
            "reason": self.reason,
        }
        return block | {name: each for name, each in told.items() if each is not None}


def cost_of_run(
    used: RunUsage,
    facts: Facts | None,
    rates_of: RatesOf,
    blank: Charge,
    notes: Iterable[str] = (),
) -> RunCost:
    """Price each call of a run; where only their sum is known, price that as one call.

    Args:
        used: what the run has used.
        facts: the facts of its output: a model, or a cost where no usage is known.
        rates_of: finds a model's rates or raises `PriceUnknownError`.
        blank: the model, tier and time of a sum, and of calls that do not name theirs.
        notes: why the cost is an estimate.
    """
    logged = None
    if facts is not None:
        logged = facts.cost_usd
        model, tier = _answered(blank.model or facts.model or "", blank.tier, facts)
        blank = replace(blank, model=model, tier=tier)
        notes = (*notes, _REROUTED) if facts.has_late_reroute else notes
    # The log's own cost is nearer to its calls than the price of their sum.
    if used.usage is not None and (logged is None or used.source != "log"):
        notes = (used.reason,) if used.reason else notes
        rates_of = cache(rates_of)
        charges = _charges(used, blank, _by_quarter(rates_of))
        found = priced(charges, rates_of, model=blank.model, notes=notes)
        if logged is None or not found.unpriced:
            return found
    if logged is None:
        reason = used.reason or "the usage is not known"
        return RunCost(model=blank.model or None, reason=reason)
    usd = Decimal(str(logged))
    return RunCost(usd=usd, model=blank.model or None, estimate=_LOGGED)


def priced(
    charges: Iterable[Charge],
    rates_of: RatesOf,
    *,
    model: str | None = None,
    is_forced: bool = False,
    notes: Iterable[str] = (),
) -> RunCost:
    """Price the charges without a price, with `is_forced` all, and add up.

    `model` is that of a run without charges, `notes` say why its cost is an estimate.
    """
    rates_at = _by_quarter(rates_of)
    doubts, reasons = dict.fromkeys(notes), dict[str, None]()
    found: dict[tuple[object, ...], Charge] = {}
    for charge in charges:
        each = charge
        if each.parts is None or is_forced:
            rates = rates_at(each.model, each.quarter, each.tier)
            if isinstance(rates, PriceUnknownError):
                reasons[str(rates)] = None
            else:
                each, note = _price(charge, rates)
                doubts |= {note: None} if note else {}
        name = (each.thread_id, each.model, each.tier, each.quarter, each.request)
        key = (*name, each.source)
        found[key] = found[key] + each if key in found else each
    whole = _sum_of(tuple(found.values()), model or None)
    why = "; ".join(doubts if any(each.parts for each in whole.charges) else ())
    return replace(whole, estimate=why or None, reason="; ".join(reasons) or None)


def billed(thread: Rollout, tier: str, facts: Facts | None = None) -> Rollout:
    """Name the model that answered each call, and the service tier that it was sent in.

    Args:
        thread: what was asked for.
        tier: the tier of calls that do not name theirs.
        facts: the facts of the thread's events, which alone have what became of them.
    """
    calls = []
    for call in thread.calls:
        asked = call.model or "", tier if call.tier is None else call.tier
        model, sent = _answered(*asked, facts)
        is_same = (model, sent) == (call.model, call.tier)
        calls.append(call if is_same else replace(call, model=model or None, tier=sent))
    return replace(thread, calls=tuple(calls))


def _answered(model: str, tier: str, facts: Facts | None) -> tuple[str, str]:
    tier = tier_named(tier)
    if facts is None:
        return model, tier
    is_omitted = (model, tier) in facts.omitted_tiers
    return facts.reroutes.get(model, model), "" if is_omitted else tier


def charges_in(accounts: Mapping[str, Any]) -> list[Charge]:
    """Read the charges of a run's accounts; raise an error for any other value."""
    return [
        Charge(
            thread_id=told["thread_id"],
            model=str(told["model"]),
            tier=str(told["tier"]),
            **{name: int(told[name]) for name in ("quarter", "request", "calls")},
            usage=read_usage(told["usage"]) or Usage(),
            parts=told["parts"] and CostParts(*map(Decimal, told["parts"])),
            source=told["source"] and PriceSource(**told["source"]),
        )
        for told in accounts.get("charges", ())
    ]


def _charges(used: RunUsage, blank: Charge, rates_at: RatesAt) -> Iterator[Charge]:
    """Build a charge for all calls at the same price; for their sum if none is known.

    A call without a price is alone, as is one with more cached tokens than input: those
    beyond it cost nothing.
    """
    if not used.calls and used.usage is not None and used.usage != Usage():
        yield replace(blank, usage=used.usage)
    own: tuple[str | None, tuple[Call, ...]] = (None, used.calls)
    found: dict[tuple[str, str, int, int, bool], list[Usage]]
    for thread_id, calls in (own, *((a.thread_id, a.calls) for a in used.subagents)):
        found = {}
        for call in calls:
            at, usage = parse_time(call.at), call.usage
            quarter = quarter_of(at) if at else blank.quarter
            model, tier = call.model or blank.model, call.tier or ""
            size = max(usage.input_tokens, 0)
            part = usage.cached_input_tokens + usage.cache_write_input_tokens
            rates = rates_at(model, quarter, tier)
            if is_usual := isinstance(rates, Rates) and part <= size:
                size = rates.least_like(size)
            key = (model, tier, quarter, size, is_usual)
            found.setdefault(key, []).append(usage)
        for (model, tier, quarter, size, _), some in found.items():
            yield Charge(
                thread_id=thread_id,
                model=model,
                tier=tier,
                quarter=quarter,
                request=size,
                calls=len(some),
                usage=sum_usage(some),
            )


def _by_quarter(rates_of: RatesOf) -> RatesAt:
    """Look up the rates of a model in a quarter of an hour once, or why it has none."""

    @cache
    def rates_at(model: str, quarter: int, tier: str) -> Rates | PriceUnknownError:
        day = datetime.fromtimestamp(quarter * QUARTER_SECONDS, UTC).date()
        try:
            if model:
                return rates_of(model, day.isoformat(), tier)
        except PriceUnknownError as error:
            return error
        return PriceUnknownError("", _NAMELESS)

    return rates_at


def _price(charge: Charge, rates: Rates) -> tuple[Charge, str | None]:
    """Price a charge; say why its price is an estimate."""
    size, parts = charge.request, cost(charge.usage, rates, charge.request)
    note = rates.estimate or (_SHORT if rates.starts and not charge.calls else None)
    request, source = rates.least_like(size), rates.source
    return replace(charge, request=request, parts=parts, source=source), note


def _sum_of(charges: tuple[Charge, ...], model: str | None) -> RunCost:
    agents = [each for each in charges if each.thread_id is not None]
    usd, of_agents = (
        sum((each.parts.total for each in some if each.parts), Decimal(0))
        for some in (charges, agents)
    )
    is_known = any(each.parts for each in charges) or not charges
    return RunCost(
        usd=usd if is_known else None,
        model=(charges[0].model if charges else model) or model,
        subagents_usd=of_agents if agents and is_known else None,
        unpriced=sum(each.unpriced for each in charges),
        charges=charges,
    )


def _parts_to_json(charges: list[Charge]) -> dict[str, object]:
    parts = sum((each.parts for each in charges if each.parts), CostParts())
    source = _joined([each.source for each in charges if each.source])
    told = {part: float(usd) for part, usd in as_dict(parts).items()}
    return {**told, "price_source": source}


def _joined(sources: list[PriceSource]) -> dict[str, object] | None:
    """Join sources that differ in their days; None if they differ in more."""
    if len({replace(each, date=None) for each in sources}) != 1:
        return None
    days = sorted(day for each in sources for day in (each.date or "").split("/"))
    date = "/".join(dict.fromkeys((days[0], days[-1]))) or None
    return replace(sources[0], date=date).to_json()
