"""What a task has used so far, its model, and why a cost is not known."""

from __future__ import annotations

from parsers import loose_json
from parsers.accounting.tokens import SUMMED
from parsers.paths import Path
from runner.codex import home
from runner.errors import RunnerError
from runner.ledger.usage import USED, UsageTotal, rows_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.model import Run

    Row = Mapping[str, Any]


def model_of(run: Run, before: Run | None, settings: Config) -> str | None:
    """Return the model of a run: its last one, asked for, configured, or that before.

    Args:
        run: the last run of a session.
        before: the last one that Codex was started for, which has ended.
        settings: with the home directory of Codex.
    """
    known = loose_json.text(run.accounts.get("model")) or run.spec.codex.model
    if known is None and not run.is_finished:
        from runner.accounting.run import given_to  # noqa: PLC0415 - 40 ms, if one lives

        place = Path(run.spec.codex_home or settings.codex_home)
        named = home.configured(place, given_to(run.spec.codex), "model")
        known = loose_json.text(named)
    if known is None and before is not None:
        known = loose_json.text(before.accounts.get("model")) or before.spec.codex.model
    return known


def why_unknown(cost: Row, rows: Iterable[Row], run: Run, ledger: Ledger) -> str | None:
    """Say why a cost is not known, or is a floor; None when it is known.

    Args:
        cost: the block of the report.
        rows: what a living run has used.
        run: the last one of the session.
        ledger: has what the others have used.
    """
    if not (cost["usd"] is None or cost.get("unpriced") or cost["unknown_runs"]):
        return None
    known = ledger.all("usage_rows", session=run.session)
    models = {
        str(row["model"])
        for each in (known, rows)
        for row in each
        if row["input"] and (row["usd"] is None or row["unpriced"])
    }
    if models:
        fix = "codex-tasks reprice after adding it to prices.toml"
        return f"no price for {', '.join(sorted(models))}: {fix}"
    return loose_json.text(loose_json.mapping(run.accounts.get("cost")).get("reason"))


def so_far(run: Run, ledger: Ledger, settings: Config) -> list[Row]:
    """Count the usage of a living run; before its first answer that is nothing."""
    from runner.accounting.run import account_run  # noqa: PLC0415 - 40 ms, if one lives

    try:
        counted = account_run(run, ledger, settings, is_over=False)
    except RunnerError:
        return []
    rows = rows_of(counted.to_json(), run.spec.codex.model, run.spec.prepared_at)
    return [row for row in rows if row["total"] is not None]


def totals_of(run: Run, rows: Sequence[Row]) -> list[UsageTotal]:
    """Return what a living run has used, to be added to what the others have."""
    is_unpriced = all(row["usd"] is None for row in rows)
    return [
        UsageTotal(
            key=run.run_id,
            title=None,
            runs=int(not number),
            **{n: row[c] or 0 for n, c in zip(SUMMED, USED, strict=True)},
            usd=row["usd"] or 0.0,
            unknown_usage=0,
            unknown_parts=int(row["input"] is None),
            unknown_cost=int(not number and is_unpriced),
            unpriced=row["unpriced"],
            uncounted=int(row["uncounted"] > 0),
        )
        for number, row in enumerate(rows)
    ]


def budget_of(run: Run, living: Sequence[UsageTotal], ledger: Ledger) -> object:
    """Report the budget of the prompt of a run; None without one."""
    if run.is_finished or not run.spec.terms.has_budget:
        return run.accounts.get("budget")
    from runner.accounting import budgets  # noqa: PLC0415 - 40 ms, where there is one

    spent = budgets.spent_before(run, ledger)
    for row in living:
        tokens, usd = row.total_tokens or 0, row.usd or 0.0
        spent += budgets.Spent(tokens=tokens, usd=usd, unpriced=row.unpriced)
    return budgets.report(run.spec.terms, spent)
