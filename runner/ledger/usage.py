"""What runs have used and cost, as rows that can be summed without their records.

A run has one row for each model that it called, its sub-agents included. What is not
known is null, never 0.
"""

from __future__ import annotations

from parsers.accounting.tokens import SUMMED, read_usage
from parsers.struct import Struct
from runner.clock import iso
from runner.ledger.database import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping
    from typing import Any, TypeAlias

    from parsers.accounting.tokens import Usage
    from runner.ledger.database import Cell, Database
    from runner.model import Run

    Entry: TypeAlias = tuple[Cell, ...]

UNKNOWN_MODEL = "unknown"
_KEYS = {
    "day": "date(prepared_at, 'localtime')",
    "model": "model",
    "repo": "repo",
    "session": "session_id",
    "total": "'total'",
}
_ONE = "and session_id = ?"
COLUMNS = ("run_id", "model", "session_id", "repo", "prepared_at", *SUMMED, "usd")
_DIGITS = 9


class UsageTotal(Struct, kw_only=False):
    """Hold what the runs of one group have used and cost, in tokens and USD.

    The `unknown_` figures count the runs whose usage or cost nobody knows: the sums are
    without them. `unknown_parts` adds to the former the runs of which no more than all
    tokens together are known, as some logs tell it.
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
    unknown_parts: int = 0


def record_run(db: sqlite3.Connection, run: Run) -> None:
    """Write down what a finished run has used, in the transaction that stores it."""
    db.execute("delete from usage where run_id = ?", (run.run_id,))
    insert_usage(db, entries(run))


def insert_usage(db: sqlite3.Connection, rows: Iterable[Entry]) -> None:
    """Write rows down, except where a run has one of that model."""
    marks = ", ".join("?" * len(COLUMNS))
    db.executemany(f"insert or ignore into usage values ({marks})", rows)  # noqa: S608 - question marks


def entries(run: Run) -> list[Entry]:
    """Return the rows that a run has: none before it is over, or without a launch."""
    if not run.is_finished or run.launched_at is None:
        return []
    rows = rows_of(run.accounts, run.spec.codex.model)
    whose = (run.key, clean(run.spec.repo), iso(run.spec.prepared_at))
    return [(run.run_id, clean(model), *whose, *figures) for model, *figures in rows]


def noted(database: Database, run_id: str) -> list[Entry]:
    """Return the rows that the index has of a run.

    Raises:
        LedgerFault: the index cannot be read.
    """
    sql = f"select {', '.join(COLUMNS)} from usage where run_id = ?"  # noqa: S608 - names of columns
    return database.rows(sql, run_id)


def of_session(database: Database, session_id: str) -> list[Entry]:
    """Return the rows of a session.

    Raises:
        LedgerFault: the index cannot be read.
    """
    sql = f"select {', '.join(COLUMNS)} from usage where session_id = ?"  # noqa: S608 - names of columns
    return database.rows(sql, session_id)


def without_run(database: Database) -> list[Entry]:
    """Return the rows of runs that were removed.

    Raises:
        LedgerFault: the index cannot be read.
    """
    sql = (
        f"select {', '.join(COLUMNS)} from usage"  # noqa: S608 - names of columns
        " where run_id not in (select run_id from runs)"
    )
    return database.rows(sql)


def restore(database: Database, rows: Iterable[Entry]) -> None:
    """Write down again what removed runs have used.

    Raises:
        LedgerFault: the index cannot be written.
    """
    rows = [*rows]
    with database.transaction() as db:
        for run_id in {row[0] for row in rows}:
            db.execute("delete from usage where run_id = ?", (run_id,))
        insert_usage(db, rows)


def recount(database: Database, run: Run) -> None:
    """Write down anew what a run has used.

    Raises:
        LedgerFault: the index cannot be written.
    """
    with database.transaction() as db:
        record_run(db, run)


def is_same(some: Iterable[Entry], others: Iterable[Entry]) -> bool:
    """Tell whether rows say the same, whatever their order.

    A sum of prices may differ in its last digits from one Python to the next.
    """
    return sorted(map(_rounded, some)) == sorted(map(_rounded, others))


def run_ids(database: Database) -> set[str]:
    """Return the ids of the runs whose usage is on record, removed ones too."""
    rows = database.rows("select distinct run_id from usage")
    return {str(run_id) for (run_id,) in rows}


def rows_of(
    accounts: Mapping[str, Any], asked_for: str | None
) -> list[tuple[Cell, ...]]:
    """Split a run's accounts by model: model, five token figures, USD."""
    told = accounts.get("token_usage") or {}
    cost = accounts.get("cost") or {}
    usd = cost.get("usd")
    by_model = _by_model(told.get("by_model", {}), asked_for)
    if not by_model:
        model = accounts.get("model") or cost.get("model") or asked_for
        return [_row(model or UNKNOWN_MODEL, _whole(told), told, usd)]
    shares = {} if usd is None else _shares(by_model, cost)
    return [
        _row(model, used, {}, shares.get(model)) for model, used in by_model.items()
    ]


def totals(
    database: Database,
    by: str,
    since: str | None = None,
    session_id: str | None = None,
    without: str | None = None,
) -> list[UsageTotal]:
    """Sum up all finished runs that Codex was started for.

    Args:
        database: the index.
        by: day (of this machine's calendar), model, repo, session, or total: all in
            one row, where a run that called two models is one run.
        since: an RFC 3339 instant; runs prepared before it are left out.
        session_id: only the runs of this session.
        without: a run that is left out.

    Raises:
        LedgerFault: the index cannot be read.
    """
    rows = database.rows(
        f"select {_KEYS[by]}, count(distinct run_id),"  # noqa: S608 - ours, all of it
        f" {', '.join(f'sum({part})' for part in SUMMED)}, sum(usd),"
        f" {_without('total_tokens')}, {_without('usd')}, {_without('input_tokens')}"
        " from usage where prepared_at >= ? and run_id <> ?"
        f" {'' if session_id is None else _ONE} group by 1 order by 1",
        since or "",
        without or "",
        *(() if session_id is None else (session_id,)),
    )
    return [
        UsageTotal(str(name), *(figure or 0 for figure in figures))  # type: ignore[arg-type] # as the query says
        for name, *figures in rows
    ]


def titles(database: Database) -> dict[str, str]:
    """Return the titles of the sessions that have one.

    Raises:
        LedgerFault: the index cannot be read.
    """
    rows = database.rows(
        "select session_id, title from sessions where title is not null"
    )
    return {str(session_id): str(title) for session_id, title in rows}


def _without(figure: str) -> str:
    return f"count(distinct case when {figure} is null then run_id end)"


def _by_model(
    told: Mapping[str, object], asked_for: str | None
) -> dict[str, Usage | None]:
    """Read the usage of each model; calls that name none went to the one asked for."""
    found: dict[str, Usage | None] = {}
    for name, figures in told.items():
        model = asked_for or name if name == UNKNOWN_MODEL else name
        used, before = read_usage(figures), found.get(model)
        found[model] = before + used if before and used else before or used
    return found


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
    """Split a cost by model, as its parts tell; the shares add up to the whole.

    What is left over falls to a model that no part names, else to the first.
    """
    usd, parts = float(cost["usd"]), cost.get("parts") or {}
    if not all(isinstance(part, dict) for part in parts.values()):
        parts = {cost.get("model"): {"all": usd}}
    shares = {
        model: float(sum(v for v in part.values() if isinstance(v, float | int)))
        for model, part in parts.items()
        if model in by_model
    }
    heir = next(
        (model for model in by_model if model not in shares), next(iter(by_model))
    )
    rest = usd - sum(shares.values())
    return {
        model: shares.get(model, 0.0) + (rest if model == heir else 0.0)
        for model in by_model
    }


def _rounded(entry: Entry) -> tuple[str, ...]:
    return tuple(
        str(round(each, _DIGITS) if isinstance(each, float) else each) for each in entry
    )


def _row(
    model: str, used: Usage | None, told: Mapping[str, Any], usd: float | None
) -> tuple[Cell, ...]:
    if used is None:
        # A log may tell the total alone.
        return (model, None, None, None, None, told.get("total_tokens"), usd)
    return (model, *(getattr(used, part) for part in SUMMED), usd)
