"""The usage and cost of runs, as rows that can be summed without the records.

A run has one row for each thread, model and service tier that it called in a quarter of
an hour, including its sub-agents. An unknown figure is null, never 0. The rows stay
when a run is removed, for the totals.
"""

from __future__ import annotations

import os

from parsers import loose_json
from parsers.accounting.tokens import SUMMED, quarter_of, read_usage
from parsers.struct import Struct
from runner.clock import iso
from runner.ledger import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from parsers.accounting.tokens import Usage
    from parsers.light import datetime, sqlite3
    from runner.ledger.database import Cell
    from runner.ledger.ledger import Ledger
    from runner.ledger.recorded import Recorded
    from runner.model import Run

UNKNOWN_MODEL = "unknown"
# The columns of the figures of SUMMED.
USED = ("input", "cached", "output", "reasoning", "total")
_KEYS = ("thread_id", "model", "tier", "quarter")
_ADDED = ("calls", "unpriced", "uncounted", "cache_write", *USED, "usd")
_COMPARED = (*_KEYS, *_ADDED[:-1], "price_source")
_DIGITS = 9
_LAST = 2**62
# The key of a sum.
_SUM = ("grouped", "key", "quarter")


class UsageTotal(Struct, kw_only=False):
    """Hold the usage and cost of the runs of one group, in tokens and USD.

    A figure is None when it is unknown for all runs. The `unknown_` figures count the
    runs with unknown usage or cost, which the sums do not include. `unknown_parts` also
    counts runs with only a known total, as in some logs. `unpriced` counts the calls
    without a price; `usd` is what the others cost. `uncounted` counts runs that have
    used more than the figures say. A run counts on the day of its first call.
    """

    key: str
    title: str | None
    runs: int
    input_tokens: int | None
    cached_input_tokens: int | None
    output_tokens: int | None
    reasoning_output_tokens: int | None
    total_tokens: int | None
    usd: float | None
    unknown_usage: int
    unknown_parts: int
    unknown_cost: int
    unpriced: int
    uncounted: int


class UsageTable:
    """Read and write the usage of runs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def record_run(self, run: Run) -> None:
        """Insert the usage of a finished run, inside a transaction.

        A run that was never launched has no usage. One whose supervisor was killed
        before it noted the launch has, once its turn had begun.
        """
        self.remove(run.run_id)
        if run.launched_at is None and not run.has_begun:
            return
        spec = run.spec
        # The usage of a run that never announced its thread is in the session's.
        name = run.thread or spec.resume_session or run.run_id
        for row in rows_of_run(run):
            self._ledger.change(
                "insert_usage",
                **row,
                run_id=run.run_id,
                name=name,
                prepared_at=iso(spec.prepared_at),
                repo=os.fsencode(spec.repo),
                home=None if spec.codex_home is None else os.fsencode(spec.codex_home),
            )
        self._ledger.change("sum_usage", run_id=run.run_id, sign=1)

    def remove(self, run_id: str) -> None:
        """Remove the usage of a run, inside a transaction."""
        self._ledger.change("sum_usage", run_id=run_id, sign=-1)
        self._ledger.change("remove_usage", run_id=run_id)

    def wrong(self, session: int, runs: Iterable[Recorded]) -> Iterator[str]:
        """Yield the runs of a session whose rows differ from their records.

        Records of the previous version do not tell what its rows have.
        """
        rows: dict[str, list[sqlite3.Row]] = {}
        for row in self._ledger.all("usage_rows", session=session):
            rows.setdefault(row["run_id"], []).append(row)
        for run in runs:
            if loose_json.mapping(run.data["accounts"]).get("charges"):
                wanted = rows_of_run(record.from_json(run.data))
                have = rows.get(run.run_id, [])
                if {*map(_compared, have)} != {*map(_compared, wanted)}:
                    yield run.run_id

    def totals(self, by: str, since: datetime | None = None) -> list[UsageTotal]:
        """Sum up all finished runs that Codex was started for.

        An unknown figure adds 0.

        Args:
            by: day (of this machine's calendar), model, repo, session, or total: all in
                one row.
            since: earlier runs are left out.
        """
        quarter = -1 if since is None else quarter_of(since)
        rows = self._ledger.all(
            "usage_totals",
            by=by,
            since="" if since is None else iso(since),
            quarter=quarter,
            until=_LAST if by == "session" and since else quarter,
        )
        return [
            UsageTotal(
                key.decode(errors="replace") if isinstance(key, bytes) else str(key),
                *figures,
            )
            for key, *figures in rows
        ]

    def of_session(self, name: str) -> list[UsageTotal]:
        """Sum up the finished runs of the session with this name."""
        rows = self._ledger.all("usage_of_session", name=name)
        return [UsageTotal(name, None, *row[len(_SUM) :]) for row in rows]

    def sum_all(self) -> None:
        """Compute the sums again from the usage of all runs, inside a transaction."""
        self._ledger.change("sum_all_usage")

    def known_ids(self) -> set[str]:
        """Return the ids of counted runs, and of removed runs and threads."""
        return {row["run_id"] for row in self._ledger.all("counted_or_removed")}


def rows_of_run(run: Run) -> list[dict[str, Any]]:
    """Split the accounts of a finished run into rows."""
    thread = run.thread or run.spec.resume_session or ""
    accounts, asked_for = run.accounts, run.spec.codex.model
    return rows_of(accounts, asked_for, run.spec.prepared_at, thread)


def rows_of(
    accounts: Mapping[str, Any],
    asked_for: str | None,
    at: datetime,
    thread: str = "",
) -> list[dict[str, Any]]:
    """Split a run's accounts by thread, model, service tier and quarter of an hour.

    What is not counted is in the first row: the number of calls and compactions.

    Args:
        accounts: the accounts.
        asked_for: the model of calls without one.
        at: the time of what has none.
        thread: the run's own thread.
    """
    from parsers.accounting.cost import charges_in  # noqa: PLC0415 - not at a start

    found: dict[tuple[object, ...], dict[str, Any]] = {}
    for charge in charges_in(accounts):
        parts, source, usage = charge.parts, charge.source, charge.usage
        row = {
            "thread_id": charge.thread_id or thread,
            "model": charge.model or asked_for or UNKNOWN_MODEL,
            "tier": charge.tier,
            "quarter": charge.quarter,
            "calls": charge.calls,
            "unpriced": charge.unpriced,
            "uncounted": 0,
            "cache_write": usage.cache_write_input_tokens,
            "usd": float(parts.total) if parts else None,
            "price_source": source and f"{source.name} {source.version or ''}".rstrip(),
            **{n: getattr(usage, part) for n, part in zip(USED, SUMMED, strict=True)},
        }
        same = found.get(key := tuple(row[name] for name in _KEYS))
        for name in _ADDED if same else ():
            known = [r[name] for r in (same or {}, row) if r[name] is not None]
            row[name] = sum(known) if known else None
        found[key] = row
    told = loose_json.mapping(accounts.get("token_usage"))
    counts = loose_json.mapping(told.get("uncounted")).values()
    missing = sum(loose_json.integer(count) or 0 for count in counts)
    missing += told.get("uncached_tokens") is not None
    blank = {**dict.fromkeys(_COMPARED, 0), "thread_id": thread, "tier": ""}
    blank |= {"quarter": quarter_of(at), "price_source": None}
    names = ("model", "usd", *USED, "cache_write")
    rows = [*found.values()] or [
        {**blank, **dict(zip(names, figures, strict=True))}
        for figures in _by_model(accounts, asked_for)
    ]
    return [{**rows[0], "uncounted": missing}, *rows[1:]]


def _compared(row: Any) -> tuple[object, ...]:  # noqa: ANN401 - a row or a mapping
    """Return what two rows must agree in; a sum in another order has other digits."""
    usd = None if row["usd"] is None else round(row["usd"], _DIGITS)
    return (*(row[name] for name in _COMPARED), usd)


def _by_model(
    accounts: Mapping[str, Any], asked_for: str | None
) -> list[tuple[Cell, ...]]:
    """Split accounts without charges by model: model, USD, the token figures."""
    told = accounts.get("token_usage") or {}
    cost = accounts.get("cost") or {}
    usd, total = cost.get("usd"), None
    found: dict[str, Usage | None] = {}
    for name, figures in told.get("by_model", {}).items():
        # Calls without a model count for the requested model.
        model = asked_for or name if name == UNKNOWN_MODEL else name
        used, before = read_usage(figures), found.get(model)
        found[model] = before + used if before and used else before or used
    shares: dict[str, Any]
    if found:
        shares = {} if usd is None else _shares(found, cost)
    else:
        model = accounts.get("model") or cost.get("model") or asked_for
        # A log may have only the total, or the total without cached input.
        total = told.get("total_tokens")
        total = told.get("uncached_tokens") if total is None else total
        found = {model or UNKNOWN_MODEL: _whole(told)}
        shares = dict.fromkeys(found, usd)
    parts = (*SUMMED, "cache_write_input_tokens")
    unknown = (None, None, None, None, total, 0)
    return [
        (
            str(model),
            shares.get(model),
            *((getattr(used, part) for part in parts) if used else unknown),
        )
        for model, used in found.items()
    ]


def _whole(told: Mapping[str, Any]) -> Usage | None:
    """Add a run's own tokens and those of its sub-agents."""
    own = read_usage(told) if told.get("input_tokens") is not None else None
    if own is None:
        return None
    agents = [read_usage(agent) for agent in told.get("subagents", ())]
    return sum((agent for agent in agents if agent is not None), own)


def _shares(
    by_model: Mapping[str, object], cost: Mapping[str, Any]
) -> dict[str, float]:
    """Split a cost by model; what no part names is the first model's."""
    parts = cost.get("parts") or {}
    shares = {
        model: float(sum(v for v in part.values() if isinstance(v, float | int)))
        for model in by_model
        if isinstance(part := parts.get(model, {}), dict)
    }
    first = next(iter(by_model))
    rest = float(cost["usd"]) - sum(shares.values())
    return {**shares, first: shares.get(first, 0.0) + rest}
