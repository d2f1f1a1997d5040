"""What runs have used and cost, as rows that can be summed without their records.

A run has one row for each model that it called, its sub-agents included. What is not
known is null, never 0.
"""

from __future__ import annotations

import os

from parsers.usage import read_usage
from parsers.value import Value
from runner.clock import iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from typing import Any

    from parsers.usage import Usage
    from runner.model import Run
    from runner.store.database import Cell, Database

UNKNOWN_MODEL = "unknown"
_KEYS = {
    "day": "date(prepared_at, 'localtime')",
    "model": "model",
    "repo": "repo",
    "session": "session_id",
}
_ONE = "and session_id = ?"


class Total(Value, kw_only=False):
    """Hold what the runs of one group have used and cost, in tokens and USD.

    The `unknown_` figures count the runs whose usage or cost nobody knows: the sums are
    without them.
    """

    key: str
    runs: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_output_tokens: int
    total_tokens: int
    usd: float
    unknown_usage: int
    unknown_cost: int


def note(db: sqlite3.Connection, run: Run) -> None:
    """Write down what a finished run has used, in the transaction that stores it."""
    if run.launched_at is None:
        return
    rows = rows_of(run.accounts, run.spec.codex.model)
    repo = os.fsencode(run.spec.repo).decode(errors="replace")
    whose = (run.key, repo, iso(run.spec.prepared_at))
    db.execute("delete from usage where run_id = ?", (run.run_id,))
    db.executemany(
        "insert into usage values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(run.run_id, model, *whose, *figures) for model, *figures in rows],
    )


def rows_of(
    accounts: Mapping[str, Any], asked_for: str | None
) -> list[tuple[Cell, ...]]:
    """Split a run's accounts by model: model, five token figures, USD."""
    told = accounts.get("token_usage") or {}
    cost = accounts.get("cost") or {}
    usd = cost.get("usd")
    by_model = {
        model: read_usage(used) for model, used in told.get("by_model", {}).items()
    }
    if not by_model:
        model = accounts.get("model") or cost.get("model") or asked_for
        return [_row(model or UNKNOWN_MODEL, _whole(told), told, usd)]
    shares = _shares(by_model, cost)
    return [
        _row(model, used, {}, shares.get(model) if usd is not None else None)
        for model, used in by_model.items()
    ]


def totals(
    database: Database,
    by: str,
    since: str | None = None,
    session_id: str | None = None,
) -> list[Total]:
    """Sum up all finished runs that Codex was started for.

    Args:
        database: the index.
        by: day, model, repo or session.
        since: an RFC 3339 instant; runs prepared before it are left out.
        session_id: only the runs of this session.

    Raises:
        LedgerFault: the index cannot be read.
    """
    key = _KEYS[by]
    rows = database.rows(
        f"select {key}, count(distinct run_id), sum(input_tokens),"  # noqa: S608 - one of ours
        " sum(cached_input_tokens), sum(output_tokens), sum(reasoning_output_tokens),"
        " sum(total_tokens), sum(usd), sum(total_tokens is null), sum(usd is null)"
        f" from usage where prepared_at >= ? {'' if session_id is None else _ONE}"
        " group by 1 order by 1",
        since or "",
        *(() if session_id is None else (session_id,)),
    )
    return [
        Total(str(name), *(figure or 0 for figure in figures))  # type: ignore[arg-type] # as the query says
        for name, *figures in rows
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
    """Split a cost by model, as its parts tell; one that is not named costs nothing."""
    parts = cost.get("parts") or {}
    if all(isinstance(part, dict) for part in parts.values()):
        priced = {
            model: sum(v for v in part.values() if isinstance(v, float | int))
            for model, part in parts.items()
        }
    else:
        priced = {str(cost.get("model")): cost.get("usd") or 0.0}
    return {model: priced.get(model, 0.0) for model in by_model}


def _row(
    model: str, used: Usage | None, told: Mapping[str, Any], usd: float | None
) -> tuple[Cell, ...]:
    if used is None:
        # A log may tell the total alone.
        return (model, None, None, None, None, told.get("total_tokens"), usd)
    return (
        model,
        used.input_tokens,
        used.cached_input_tokens,
        used.output_tokens,
        used.reasoning_output_tokens,
        used.total_tokens,
        usd,
    )
