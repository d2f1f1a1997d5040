"""What tokens cost: rates of a model on a day, and the cost of one model call.

Rates come from the offline table of the `genai-prices` package or from a user's
`prices.toml`. They are plain values that a caller can store, because importing the
package takes longer than everything else that a summary does.

`prices.toml` gives US dollars per million tokens. Without `cached_input` or
`cache_write`, these tokens cost what input costs. A tier applies to all tokens of a
request with more than `above` input tokens; a price that the tier leaves out stays:

    [models."gpt-5.3-codex-spark"]
    input = 1.75
    cached_input = 0.175
    output = 14

    [[models."gpt-5.3-codex-spark".tiers]]
    above = 272_000
    input = 3.5
    output = 21
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from parsers import loose_json
from parsers.struct import Struct, as_dict, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from parsers.accounting.tokens import Usage
    from parsers.light import datetime

_MILLION: Final = Decimal(1_000_000)
_GENAI_NAMES: Final = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "output": "output_mtok",
}
_PARTS: Final = tuple(_GENAI_NAMES)
_HIGHEST: Final = Decimal(1_000_000_000)


class PriceUnknownError(LookupError):
    """A model has no price, with the reason."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"no price for the model {model!r}: {reason}")
        self.model = model


class Price(Struct):
    """US dollars per million tokens; tiers are (input tokens of the request, price).

    The highest tier whose start the request exceeds gives the price of all its tokens.
    """

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def of_request(self, input_tokens: int) -> Decimal:
        exceeded = [price for start, price in self.tiers if input_tokens > start]
        return exceeded[-1] if exceeded else self.base


class PriceSource(Struct):
    """Where rates come from; `date` is the day whose price it is (ISO 8601)."""

    name: str
    version: str | None
    date: str | None

    def to_json(self) -> dict[str, object]:
        return as_dict(self)


class Rates(Struct):
    """The prices of one model on one day."""

    model: str
    input: Price
    cached_input: Price | None = None
    cache_write: Price | None = None
    output: Price
    source: PriceSource

    @property
    def has_tiers(self) -> bool:
        """Whether a sum of requests cannot be priced as if it were one."""
        return self != self.without_tiers()

    def without_tiers(self) -> Rates:
        """Make rates that give every request the base price."""
        prices = {part: getattr(self, part) for part in _PARTS}
        base = {
            part: price and Price(base=price.base) for part, price in prices.items()
        }
        return replace(self, **base)

    def to_json(self) -> dict[str, object]:
        """Make an object that `rates_from_json` reads back without loss."""
        prices = [(part, getattr(self, part)) for part in _PARTS]
        return {
            "model": self.model,
            "source": self.source.to_json(),
            **{part: str(price.base) for part, price in prices if price},
            "tiers": [
                {"above": start, part: str(usd)}
                for part, price in prices
                for start, usd in (price.tiers if price else ())
            ],
        }


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


def cost(usage: Usage, rates: Rates) -> CostParts:
    """Price one request; cached and written tokens beyond its input cost nothing."""
    request = max(usage.input_tokens, 0)
    cached = min(max(usage.cached_input_tokens, 0), request)
    written = min(max(usage.cache_write_input_tokens, 0), request - cached)

    def charge(tokens: int, price: Price | None) -> Decimal:
        return (price or rates.input).of_request(request) * tokens / _MILLION

    return CostParts(
        input=charge(request - cached - written, rates.input),
        cached_input=charge(cached, rates.cached_input),
        cache_write=charge(written, rates.cache_write),
        output=charge(max(usage.output_tokens, 0), rates.output),
    )


def look_up(model: str, at: datetime) -> Rates:
    """Find an OpenAI model's rates on a day in the table of `genai-prices`, offline.

    Raises:
        PriceUnknownError: the table has no price for the model.
    """
    import genai_prices  # noqa: PLC0415  # takes 140 ms and 40 MB
    from genai_prices import data_snapshot, types  # noqa: PLC0415  # as above

    source = PriceSource(
        name="genai-prices",
        version=genai_prices.__version__,
        date=at.date().isoformat(),
    )
    try:
        _, found = data_snapshot.get_snapshot().find_provider_model(
            model, None, "openai", None
        )
    except LookupError as error:
        reason = f"genai-prices {source.version} does not know it"
        raise PriceUnknownError(model, reason) from error
    table = found.get_prices(at)
    entry: dict[str, object] = {}
    tiers: list[object] = []
    for part, name in _GENAI_NAMES.items():
        value = getattr(table, name)
        if isinstance(value, types.TieredPrices):
            tiers += [{"above": tier.start, part: tier.price} for tier in value.tiers]
            value = value.base
        if isinstance(value, Decimal):
            entry[part] = value
    return _rates(model, {**entry, "tiers": tiers}, source)


def from_table(table: object, model: str, *, date: str | None = None) -> Rates:
    """Find a model's rates in a user's `prices.toml`, as `tomllib` has read it.

    Raises:
        PriceUnknownError: the table does not name the model, or names no usable price.
    """
    models = loose_json.mapping(loose_json.mapping(table).get("models"))
    if model not in models:
        raise PriceUnknownError(model, "prices.toml does not name it")
    source = PriceSource(name="prices.toml", version=None, date=date)
    return _rates(model, models[model], source)


def rates_from_json(value: object) -> Rates:
    """Read rates that `Rates.to_json` made.

    Raises:
        PriceUnknownError: the value is not such an object.
    """
    fields = loose_json.mapping(value)
    source = loose_json.mapping(fields.get("source"))
    return _rates(
        loose_json.text(fields.get("model")) or "",
        fields,
        PriceSource(
            name=loose_json.text(source.get("name")) or "",
            version=loose_json.text(source.get("version")),
            date=loose_json.text(source.get("date")),
        ),
    )


def _rates(model: str, entry: object, source: PriceSource) -> Rates:
    """Read the prices of a model, which have the form of `prices.toml`."""
    fields = loose_json.mapping(entry)
    if not fields.keys() >= {"input", "output"}:
        reason = f"{source.name or 'the record'} names no input or no output price"
        raise PriceUnknownError(model, reason)
    tiers = [*map(loose_json.mapping, loose_json.sequence(fields.get("tiers")))]
    prices: dict[str, Price] = {}
    for part in filter(fields.__contains__, _PARTS):
        base = _decimal(model, fields[part])
        steps = (
            (_start(model, tier.get("above")), _decimal(model, tier[part]))
            for tier in tiers
            if part in tier
        )
        prices[part] = Price(base=base, tiers=tuple(sorted(steps)))
    return Rates(model=model, source=source, **prices)


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
