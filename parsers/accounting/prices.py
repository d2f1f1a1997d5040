"""What tokens cost: rates of a model on a day, and the cost of one model call.

Prices come from `parsers.accounting.price_table` or from a user's `prices.toml`, and
have the form of the latter.

`prices.toml` gives US dollars per million tokens. Without `cached_input` or
`cache_write`, these tokens cost what input costs. A tier applies to all tokens of a
request with more than `above` input tokens; a price that the tier leaves out stays. A
service tier has a factor, or prices of its own. `[[models."…"]]`, written once for each
price, has the first day (UTC) of that price in `from`:

    [models."gpt-5.3-codex-spark"]
    aliases = ["spark"]
    input = 1.75
    cached_input = 0.175
    output = 14
    service_tiers = { flex = 0.5, priority = { input = 3.5, output = 28 } }

    [[models."gpt-5.3-codex-spark".tiers]]
    above = 272_000
    input = 3.5
    output = 21
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from parsers import loose_json
from parsers.light import pattern, suppress
from parsers.struct import Struct, as_dict, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

    from parsers.accounting.tokens import Usage

_MILLION: Final = Decimal(1_000_000)
_PARTS: Final = ("input", "cached_input", "cache_write", "output")
_TIER_KEYS: Final = (*_PARTS, "above")
_SERVICE_KEYS: Final = (*_PARTS, "tiers")
_KEYS: Final = (*_SERVICE_KEYS, "service_tiers", "from", "aliases")
_KINDS: Final = {"tiers": list, "service_tiers": dict, "aliases": list}
_HIGHEST: Final = Decimal(1_000_000_000)
_DAY: Final = pattern(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
LONG_AGO: Final = "1970-01-01"
# Names in Codex's configuration of what its rollouts and OpenAI call otherwise.
_SERVICE_TIERS: Final = {"fast": "priority", "default": "", "auto": "", "standard": ""}
# How many times the standard price a model costs in a service tier, for the days before
# `genai-prices` has prices of the tier (from 2026-10-12), and for `prices.toml`.
_FACTORS_FROM: Final = "OpenAI's price list of 2026-10-12"
_FACTORS: Final = {
    "flex 0.5": """gpt-5 gpt-5-codex gpt-5-mini gpt-5-nano gpt-5.1 gpt-5.1-codex
        gpt-5.1-codex-max gpt-5.2 gpt-5.2-codex gpt-5.4 gpt-5.4-mini gpt-5.4-nano
        gpt-5.4-pro gpt-5.5 gpt-5.5-codex gpt-5.5-pro gpt-5.6 gpt-5.6-luna gpt-5.6-sol
        gpt-5.6-terra gpt-6-astra gpt-6-luna gpt-6-sol gpt-6.1-sol gpt-6.1-terra o3
        o4-mini""",
    "priority 1.75": "gpt-4.1 gpt-4.1-mini o3",
    "priority 1.8": "gpt-5-mini",
    "priority 1.818182": "o4-mini",
    "priority 2": """gpt-4.1-nano gpt-5 gpt-5-codex gpt-5.1 gpt-5.1-codex
        gpt-5.1-codex-max gpt-5.2 gpt-5.2-codex gpt-5.3-codex gpt-5.4 gpt-5.4-mini
        gpt-5.6 gpt-5.6-luna gpt-5.6-sol gpt-5.6-terra gpt-6-astra gpt-6-luna gpt-6-sol
        gpt-6.1-sol gpt-6.1-terra""",
    "priority 2.5": "gpt-5.5 gpt-5.5-codex",
}


class PriceUnknownError(LookupError):
    """A model has no price, with the reason."""

    def __init__(self, model: str, reason: str) -> None:
        named = f"the model {model!r}" if model else "an unknown model"
        super().__init__(f"no price for {named}: {reason}")
        self.model, self.reason = model, reason


class NotInTableError(PriceUnknownError):
    """A user's table has no price for the model on that day."""


class Price(Struct):
    """US dollars per million tokens; tiers are (input tokens of the request, price).

    The highest tier whose start the request exceeds gives the price of all its tokens.
    """

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def of_request(self, input_tokens: int) -> Decimal:
        exceeded = [price for start, price in self.tiers if input_tokens > start]
        return exceeded[-1] if exceeded else self.base

    def __mul__(self, factor: Decimal) -> Price:
        tiers = tuple((start, price * factor) for start, price in self.tiers)
        return Price(base=self.base * factor, tiers=tiers)


class PriceSource(Struct):
    """Where rates come from.

    `date` is the day whose price it is (ISO 8601), or `FIRST/LAST` for several.
    `service_tier` names it, with the factor and its source if that is not of the table.
    """

    name: str
    version: str | None
    date: str | None
    service_tier: str | None = None

    def to_json(self) -> dict[str, object]:
        told = as_dict(self)
        if self.service_tier is None:
            del told["service_tier"]
        return told


class Rates(Struct):
    """The prices of one model on one day in one service tier.

    A request with more input tokens than one of `starts` has other prices. `estimate`
    says why they may not be what was paid.
    """

    model: str
    input: Price
    cached_input: Price | None = None
    cache_write: Price | None = None
    output: Price
    source: PriceSource
    starts: frozenset[int] = frozenset()
    estimate: str | None = None

    def least_like(self, request: int) -> int:
        """Return the input of the smallest request that has the prices of this one."""
        return max([start + 1 for start in self.starts if request > start], default=0)

    def times(self, factor: Decimal, source: PriceSource) -> Rates:
        """Multiply all prices."""
        prices = {part: getattr(self, part) for part in _PARTS}
        made = {part: price and price * factor for part, price in prices.items()}
        return replace(self, **made, source=source)


class CostParts(Struct):
    """US dollars by kind of token; `input` is that for tokens not cached or written."""

    input: Decimal = Decimal(0)
    cached_input: Decimal = Decimal(0)
    cache_write: Decimal = Decimal(0)
    output: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        return self.input + self.cached_input + self.cache_write + self.output

    def __add__(self, other: CostParts) -> CostParts:
        return CostParts(
            **{part: getattr(self, part) + getattr(other, part) for part in _PARTS}
        )


def cost(usage: Usage, rates: Rates, request: int | None = None) -> CostParts:
    """Price one request; cached and written tokens beyond its input cost nothing.

    `request` is the size of each of several requests whose sum `usage` is.
    """
    whole = max(usage.input_tokens, 0)
    size = whole if request is None else request
    cached = min(max(usage.cached_input_tokens, 0), whole)
    written = min(max(usage.cache_write_input_tokens, 0), whole - cached)

    def charge(tokens: int, price: Price | None) -> Decimal:
        return (price or rates.input).of_request(size) * tokens / _MILLION

    return CostParts(
        input=charge(whole - cached - written, rates.input),
        cached_input=charge(cached, rates.cached_input),
        cache_write=charge(written, rates.cache_write),
        output=charge(max(usage.output_tokens, 0), rates.output),
    )


def tier_named(name: str | None) -> str:
    """Return OpenAI's name of a service tier; an empty one is the standard."""
    return _SERVICE_TIERS.get(name or "", name or "")


def from_table(table: object, model: str, day: str, tier: str = "") -> Rates:
    """Find a model's rates on a day in a user's table, as `tomllib` has read it.

    Raises:
        NotInTableError: the table names no price of the model on that day.
        PriceUnknownError: the price is unusable, or has an unknown key.
    """
    models = loose_json.mapping(loose_json.mapping(table).get("models"))
    named = models.get(model)
    for each in models.values() if named is None else ():
        for entry in map(loose_json.mapping, _entries(each)):
            _refuse_unknown(model, entry, _KEYS)  # it may mean the aliases
            if model in loose_json.sequence(entry.get("aliases")):
                named = each
    if named is None:
        raise NotInTableError(model, "prices.toml does not name it")
    source = PriceSource(name="prices.toml", version=None, date=day)
    return rates_on(named, model, source, tier)


def mistakes(table: Mapping[str, object]) -> dict[str, list[str]]:
    """Check a user's table: return each mistake with its models.

    Of a model the first one is found: a price that cannot be used, or an unknown key.
    """
    found: dict[str, list[str]] = {}
    for model, named in loose_json.mapping(table.get("models")).items():
        try:
            _check(model, named)
        except PriceUnknownError as error:
            found.setdefault(error.reason, []).append(model)
    return found


def _check(model: str, named: object) -> None:
    source = PriceSource(name="prices.toml", version=None, date=None)
    with suppress(NotInTableError):  # an empty list
        rates_on(named, model, source, "")
    for each in _entries(named):
        entry = loose_json.mapping(each)
        for tier in ("", *loose_json.mapping(entry.get("service_tiers"))):
            rates_on(entry, model, source, tier)


def rates_on(
    named: object, model: str, source: PriceSource, tier: str, known_as: str = ""
) -> Rates:
    """Read the rates of a model from its prices, which have the form of `prices.toml`.

    Args:
        named: one price, or several.
        model: the model.
        source: with the day; of several prices the last one that had begun counts.
        tier: the service tier.
        known_as: another name of the model, for the factors of service tiers.

    Raises:
        PriceUnknownError: there is none on that day, or it is unusable.
    """
    fields, tier = _entry_on(named, model, source), tier_named(tier)
    _refuse_unknown(model, fields, _KEYS)
    base = _rates(model, fields, source)
    if not tier:
        return base
    tiers = loose_json.mapping(fields.get("service_tiers")).items()
    own = next((each for name, each in tiers if tier_named(name) == tier), None)
    if isinstance(own, dict):
        _refuse_unknown(model, own, _SERVICE_KEYS)
        kept = {part: fields[part] for part in _PARTS if part in fields}
        return _rates(model, kept | own, replace(source, service_tier=tier))
    if own is not None:
        told = f"{tier}, {own} times the standard price"
        return base.times(_decimal(model, own), replace(source, service_tier=told))
    for way, models in _FACTORS.items():
        name, factor = way.split()
        if name == tier and {model, known_as} & {*models.split()}:
            told = f"{tier}, {factor} times the standard price ({_FACTORS_FROM})"
            return base.times(Decimal(factor), replace(source, service_tier=told))
    estimate = f"no price of {model} for the service tier {tier}: the standard price"
    return replace(base, estimate=estimate)


def _entry_on(named: object, model: str, source: PriceSource) -> Mapping[str, object]:
    found: tuple[str, Mapping[str, object]] | None = None
    for fields in map(loose_json.mapping, _entries(named)):
        begins = str(fields.get("from", LONG_AGO))
        if not _DAY.fullmatch(begins):
            raise PriceUnknownError(model, f"from = {begins!r} is no day (2026-11-20)")
        if found is not None and found[0] == begins:
            raise PriceUnknownError(model, f"it has two prices from {begins}")
        if begins <= (source.date or begins) and (found is None or found[0] < begins):
            found = begins, fields
    if found is None:
        raise NotInTableError(model, f"{source.name} has none for {source.date}")
    return found[1]


def _entries(named: object) -> Sequence[object]:
    return named if isinstance(named, list) else [named]


def _refuse_unknown(
    model: str, fields: Mapping[str, object], known: Sequence[str]
) -> None:
    for name, value in fields.items():
        if name not in known:
            raise PriceUnknownError(
                model, f"unknown key {name!r} (known: {', '.join(known)})"
            )
        if not isinstance(value, _KINDS.get(name, object)):
            raise PriceUnknownError(model, f"{name} = {value!r} has a wrong type")


def _rates(model: str, fields: Mapping[str, object], source: PriceSource) -> Rates:
    """Read the prices of a model for requests of any size."""
    if not fields.keys() >= {"input", "output"}:
        reason = f"{source.name or 'the record'} names no input or no output price"
        raise PriceUnknownError(model, reason)
    tiers = [*map(loose_json.mapping, loose_json.sequence(fields.get("tiers")))]
    for tier in tiers:
        _refuse_unknown(model, tier, _TIER_KEYS)
    prices: dict[str, Any] = {}
    for part in filter(fields.__contains__, _PARTS):
        base = _decimal(model, fields[part])
        steps = (
            (_start(model, tier.get("above")), _decimal(model, tier[part]))
            for tier in tiers
            if part in tier
        )
        prices[part] = Price(base=base, tiers=tuple(sorted(steps)))
    starts = frozenset(start for price in prices.values() for start, _ in price.tiers)
    return Rates(model=model, source=source, starts=starts, **prices)


def _start(model: str, value: object) -> int:
    start = loose_json.integer(value)
    if start is None or start < 0:
        reason = f"a tier begins above {value!r}, which is no number of tokens"
        raise PriceUnknownError(model, reason)
    return start


def _decimal(model: str, value: object) -> Decimal:
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        price = Decimal(-1)
    if not (price.is_finite() and 0 <= price <= _HIGHEST):
        reason = f"{value!r} is no price in US dollars"
        raise PriceUnknownError(model, reason)
    return price
