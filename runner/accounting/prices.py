"""Rates of models, with a cache: the price table takes 140 ms to import.

`prices.toml` in the state directory adds or overrides rates, in the format of
`parsers.accounting.prices`. The rates of a model on a day are cached until another
version of the table is installed.
"""

from __future__ import annotations

from parsers import json_text, loose_json
from parsers.accounting import prices
from parsers.light import suppress
from parsers.paths import Path
from runner import files
from runner.errors import RunnerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.accounting.prices import Rates
    from parsers.light import datetime

OWN = "prices.toml"


def rates(state_home: Path, at: datetime, model: str) -> Rates:
    """Return the rates of a model.

    Args:
        state_home: the directory of the user's table and the cache.
        at: the day of the run.
        model: its name.

    Raises:
        PriceUnknownError: neither table has the model, or the user's is damaged.
    """
    day, kept_in = f"{at:%Y-%m-%d}", state_home / "prices-cache.json"
    table, damage = _read_table(state_home / OWN)
    if damage is not None:
        raise prices.PriceUnknownError(model, damage)
    if model in loose_json.mapping(table.get("models")):
        return prices.from_table(table, model, date=day)
    key, stamp = f"{model}@{day}", _stamp()
    kept = loose_json.mapping(files.read_json(kept_in))
    if kept.get("table") != stamp:
        kept = {"table": stamp}
    try:
        return prices.rates_from_json(kept.get(key))
    except prices.PriceUnknownError:
        found = prices.look_up(model, at)
    kept = {**kept, key: found.to_json()}
    with suppress(RunnerError):  # without the cache only the next look-up is slower
        files.replace(kept_in, json_text.dumps(kept, indent=1).encode())
    return found


def trouble(state_home: Path) -> str | None:
    """Return what is wrong with the user's table; None when it is valid."""
    path = state_home / OWN
    table, damage = _read_table(path)
    models = table.get("models")
    if table and not isinstance(models, dict):
        return f'{path} names no models: [models."name"] begins one'
    try:
        for model in loose_json.mapping(models):
            prices.from_table(table, model)
    except prices.PriceUnknownError as error:
        return f"{path}: {error}"
    return damage


def _read_table(path: Path) -> tuple[dict[str, object], str | None]:
    """Return the user's table (empty if there is none), and its error."""
    if not path.exists():
        return {}, None
    import tomllib  # noqa: PLC0415 - 6 ms, for those who have a table of their own

    try:
        return tomllib.loads(files.read_bytes(path).decode()), None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, RecursionError):
            reason = "it nests too deeply"
        return {}, f"{path} cannot be read: {reason}"


def _stamp() -> str:
    """Return the version of the installed price table without importing it."""
    from importlib.util import find_spec  # noqa: PLC0415 - only with a price to find

    spec = find_spec("genai_prices")
    if spec is None or spec.origin is None:
        return "none"
    data = files.status(Path(spec.origin).with_name("data.py"))
    return f"{data.st_size}:{data.st_mtime_ns}" if data else spec.origin
