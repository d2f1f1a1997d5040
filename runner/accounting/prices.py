"""Rates of models on a day, each table read once by a process.

`prices.toml` in the state directory adds or overrides prices, in the format of
`parsers.accounting.prices`. The prices of other models are cached in a file until
another version of the price table is installed: it takes 140 ms to import.
"""

from __future__ import annotations

from functools import cache, lru_cache

from parsers import json_text, loose_json
from parsers.accounting import price_table, prices
from parsers.accounting.prices import PriceSource, PriceUnknownError
from parsers.light import suppress
from parsers.paths import Path
from runner import files
from runner.errors import RunnerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.accounting.prices import Rates

OWN = "prices.toml"
_KEPT = "prices-cache.json"


def rates(state_home: Path, model: str, day: str, tier: str = "") -> Rates:
    """Return the rates of a model.

    Args:
        state_home: the directory of the user's table and the cache.
        model: the model of a call.
        day: its day, in UTC (ISO 8601).
        tier: its service tier.

    Raises:
        PriceUnknownError: neither table has the model, or the user's is damaged.
    """
    table, damage = _own_table(state_home / OWN)
    if damage is not None:
        raise PriceUnknownError(model, damage)
    with suppress(prices.NotInTableError):
        return prices.from_table(table, model, day, tier)
    found = _known(state_home / _KEPT, model)
    if reason := loose_json.text(found.get("reason")):
        raise PriceUnknownError(model, reason)
    version, name = (loose_json.text(found.get(key)) for key in ("version", "id"))
    source = PriceSource(name="genai-prices", version=version, date=day)
    return prices.rates_on(found.get("entries"), model, source, tier, name or model)


def trouble(state_home: Path) -> str | None:
    """Return what is wrong with the user's table; None when it is valid."""
    return _own_table(state_home / OWN)[1]


def _own_table(path: Path) -> tuple[dict[str, object], str | None]:
    """Return the user's table (empty if there is none), and its error."""
    status = files.status(path)
    if status is None:
        return {}, None
    return _read_table(path, (status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=1)
def _read_table(
    path: Path, _: tuple[int, int, int]
) -> tuple[dict[str, object], str | None]:
    """Read the user's table; it is read again when the file has changed.

    A mistake in it may be about any model: none gets a price that would be frozen.
    """
    import tomllib  # noqa: PLC0415 - 6 ms, for those who have a table of their own

    try:
        table = tomllib.loads(files.read_bytes(path).decode())
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, RecursionError):
            reason = "it nests too deeply"
        return {}, f"{path} cannot be read: {reason}"
    mistake = _mistake(table)
    return ({}, f"{path}: {mistake}") if mistake else (table, None)


def _mistake(table: dict[str, object]) -> str | None:
    if unknown := [name for name in table if name != "models"]:
        return f"unknown key {unknown[0]!r} (known: models)"
    if not isinstance(table.get("models", {}), dict):
        return 'it names no models: [models."name"] begins one'
    found = [
        f"no price for {'the models' if models[1:] else 'the model'}"
        f" {', '.join(map(repr, models))}: {reason}"
        for reason, models in prices.mistakes(table).items()
    ]
    return "; ".join(found) or None


@cache
def _known(kept_in: Path, model: str) -> dict[str, object]:
    """Return the prices of a model in the installed table, or the reason for none."""
    kept, stamp = loose_json.mapping(files.read_json(kept_in)), _stamp()
    models = loose_json.mapping(kept.get("models"))
    if kept.get("table") != stamp:
        models = {}
    if isinstance(found := models.get(model), dict) and found.get("entries"):
        return found
    try:
        found = price_table.look_up(model)
    except PriceUnknownError as error:
        return {"reason": error.reason}
    kept = {"table": stamp, "models": {**models, model: found}}
    with suppress(RunnerError):  # without the cache only the next look-up is slower
        files.replace(kept_in, json_text.dumps(kept, indent=1).encode())
    return found


def _stamp() -> str:
    """Return the version of the installed price table without importing it."""
    from importlib.util import find_spec  # noqa: PLC0415 - only with a price to find

    spec = find_spec("genai_prices")
    if spec is None or spec.origin is None:
        return "none"
    data = files.status(Path(spec.origin).with_name("data.py"))
    return f"{data.st_size}:{data.st_mtime_ns}" if data else spec.origin
