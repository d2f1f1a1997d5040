"""The offline prices of the `genai-prices` package, as plain values.

They have the form of `prices.toml`, and a caller can store them: importing the package
takes longer than all else that a summary does.
"""

from __future__ import annotations

from parsers.accounting.prices import LONG_AGO, PriceUnknownError
from parsers.light import datetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from genai_prices.types import ModelInfo, ModelPrice

_NAMES: Final = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "output": "output_mtok",
}
_TIERS: Final = ("flex", "priority")


def look_up(model: str) -> dict[str, object]:
    """Find an OpenAI model in the table of `genai-prices`, offline.

    Returns:
        Its name there, its prices in the form of `prices.toml`, and the package's
        version, as JSON values.

    Raises:
        PriceUnknownError: the table has no price for the model.
    """
    import genai_prices  # noqa: PLC0415  # takes 140 ms and 40 MB
    from genai_prices import data_snapshot  # noqa: PLC0415  # as above

    try:
        _, found = data_snapshot.get_snapshot().find_provider_model(
            model, None, "openai", None
        )
    except LookupError as error:
        reason = f"genai-prices {genai_prices.__version__} does not know it"
        raise PriceUnknownError(model, reason) from error
    entries: list[dict[str, object]] = []
    for day in sorted({LONG_AGO, *_starts_of(found)}):
        at = datetime.fromisoformat(f"{day}T00:00:00+00:00")
        standard = found.get_prices(at)
        tiers = {t: found.get_prices(at, {"service_tier": t}) for t in _TIERS}
        own = {name: _entry(each) for name, each in tiers.items() if each != standard}
        entries.append({**_entry(standard), "from": day, "service_tiers": own})
    version = genai_prices.__version__
    return {"id": found.id, "version": version, "entries": entries}


def table_state() -> tuple[str, str]:
    """Return the version of `genai-prices`, and the day of its newest OpenAI price."""
    import genai_prices  # noqa: PLC0415  # as above
    from genai_prices import data_snapshot  # noqa: PLC0415  # as above

    models = next(
        each.models
        for each in data_snapshot.get_snapshot().providers
        if each.id == "openai"
    )
    days = {day for model in models for day in _starts_of(model)}
    return genai_prices.__version__, max(days, default=LONG_AGO)


def _starts_of(model: ModelInfo) -> set[str]:
    """Return the days on which prices of a model begin."""
    priced = model.prices if isinstance(model.prices, list) else []
    constraints = [each.constraint for each in (*priced, *(model.price_variants or ()))]
    starts = (getattr(each, "start_date", None) for each in constraints)
    return {start.isoformat() for start in starts if start}


def _entry(table: ModelPrice) -> dict[str, object]:
    entry: dict[str, object] = {}
    tiers: list[object] = []
    for part, name in _NAMES.items():
        value = getattr(table, name)
        tiers += [
            {"above": tier.start, part: str(tier.price)}
            for tier in getattr(value, "tiers", ())
        ]
        if value is not None:
            entry[part] = str(getattr(value, "base", value))
    return {**entry, "tiers": tiers}
