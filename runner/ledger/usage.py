"""The usage and cost of runs, as rows that can be summed without the records.

A run has one row for each model that it called, including its sub-agents. An unknown
figure is null, never 0. The rows stay when a run is removed, for the totals.
"""

from __future__ import annotations

import os

from parsers import loose_json
from parsers.accounting.tokens import SUMMED, read_usage
from parsers.struct import Struct
from runner.clock import iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from parsers.accounting.tokens import Usage
    from parsers.light import datetime
    from runner.ledger.database import Cell
    from runner.ledger.ledger import Ledger
    from runner.model import Run

UNKNOWN_MODEL = "unknown"
# The figures of `rows_of` after the model.
USED = ("input", "cached", "output", "reasoning", "total", "usd", "uncounted")
_QUARTER_SECONDS = 900
_LAST = 2**62
# The key of a sum.
_SUM = ("grouped", "key", "quarter")


class UsageTotal(Struct, kw_only=False):
    """Hold the usage and cost of the runs of one group, in tokens and USD.

    A figure is None when it is unknown for all runs. The `unknown_` figures count the
    runs with unknown usage or cost, which the sums do not include. `unknown_parts` also
    counts runs with only a known total, as in some logs. `uncounted` counts runs that
    have used more than the figures say.
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
        thread = run.thread or spec.resume_session
        for model, *figures in rows_of(run.accounts, spec.codex.model):
            self._ledger.change(
                "insert_usage",
                run_id=run.run_id,
                thread=thread or "",
                model=str(model),
                quarter=_quarter(spec.prepared_at),
                name=thread or run.run_id,
                prepared_at=iso(spec.prepared_at),
                repo=os.fsencode(spec.repo),
                home=None if spec.codex_home is None else os.fsencode(spec.codex_home),
                **dict(zip(USED, figures, strict=True)),
            )
        self._ledger.change("sum_usage", run_id=run.run_id, sign=1)

    def remove(self, run_id: str) -> None:
        """Remove the usage of a run, inside a transaction."""
        self._ledger.change("sum_usage", run_id=run_id, sign=-1)
        self._ledger.change("remove_usage", run_id=run_id)

    def totals(self, by: str, since: datetime | None = None) -> list[UsageTotal]:
        """Sum up all finished runs that Codex was started for.

        An unknown figure adds 0.

        Args:
            by: day (of this machine's calendar), model, repo, session, or total: all in
                one row.
            since: earlier runs are left out.
        """
        quarter = -1 if since is None else _quarter(since)
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


def _quarter(at: datetime) -> int:
    return int(at.timestamp()) // _QUARTER_SECONDS


def rows_of(
    accounts: Mapping[str, Any], asked_for: str | None
) -> list[tuple[Cell, ...]]:
    """Split a run's accounts by model: model, five token figures, USD, uncounted.

    What is not counted is in the first row: the number of calls and compactions.
    """
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
    counts = loose_json.mapping(told.get("uncounted")).values()
    missing = sum(loose_json.integer(count) or 0 for count in counts)
    missing += told.get("uncached_tokens") is not None
    return [
        (
            model,
            *(getattr(used, part) if used else None for part in SUMMED[:-1]),
            used.total_tokens if used else total,
            shares.get(model),
            0 if number else missing,
        )
        for number, (model, used) in enumerate(found.items())
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
    """Split a cost by model; the shares add up to the whole.

    The rest goes to a model without a part, else to the first.
    """
    usd, parts = float(cost["usd"]), cost.get("parts") or {}
    if not all(isinstance(part, dict) for part in parts.values()):
        parts = {cost.get("model"): {"all": usd}}
    shares = {
        model: float(sum(v for v in part.values() if isinstance(v, float | int)))
        for model, part in parts.items()
        if model in by_model
    }
    unnamed = (model for model in by_model if model not in shares)
    heir = next(unnamed, next(iter(by_model)))
    rest = usd - sum(shares.values())
    return {
        **dict.fromkeys(by_model, 0.0),
        **shares,
        heir: shares.get(heir, 0.0) + rest,
    }
