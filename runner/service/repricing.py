"""Price finished runs that have no price yet; a known price stays as it is.

The record of a run has what each price depends on, so nothing but the ledger is read.
"""

from __future__ import annotations

from functools import partial

from parsers import loose_json
from parsers.accounting.cost import Charge, charges_in, priced
from parsers.accounting.tokens import SUMMED, Usage
from parsers.light import suppress
from parsers.struct import replace
from runner import clock
from runner.accounting import prices
from runner.errors import NoSuchRunError
from runner.exports import run_exports
from runner.ledger import record
from runner.ledger.usage import USED, rows_of_run
from runner.model import Finished
from runner.service import rebuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsers.accounting.cost import RunCost
    from parsers.light import datetime
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.model import Run


def reprice(
    ledger: Ledger,
    settings: Config,
    since: datetime | None = None,
    *,
    is_trial: bool = False,
    is_forced: bool = False,
) -> Iterator[tuple[str, RunCost, bool]]:
    """Price runs one after the other; yield each with its cost, and whether it is new.

    Of a trial nothing is written; `is_forced` also replaces known prices.

    Raises:
        LedgerFault: the ledger cannot be read or written.
    """
    begin = "" if since is None else clock.iso(since)
    for row in ledger.all("runs_to_price", since=begin, all=is_forced):
        with suppress(NoSuchRunError):  # removed meanwhile
            run = ledger.runs.find(row["run_id"])
            was = loose_json.mapping(run.accounts.get("cost"))
            found = _priced(run, settings, is_forced=is_forced)
            known = was.get("usd") is not None, was.get("unpriced", 0)
            is_new = is_forced or known != (found.usd is not None, found.unpriced)
            if is_new and not is_trial:
                _write(run, found, ledger)
            yield run.run_id, found, is_new


def _priced(run: Run, settings: Config, *, is_forced: bool) -> RunCost:
    was = loose_json.mapping(run.accounts.get("cost"))
    charges = charges_in(run.accounts) or [
        # A record of the previous version has sums only.
        Charge(
            model=row["model"],
            quarter=row["quarter"],
            usage=Usage(
                cache_write_input_tokens=row["cache_write"],
                **{part: row[name] for part, name in zip(SUMMED, USED, strict=True)},
            ),
        )
        for row in rows_of_run(run)
        if row["input"] is not None
    ]
    is_kept = not is_forced and any(charge.parts for charge in charges)
    notes = [loose_json.text(was.get("estimate"))] if is_kept else []
    return priced(
        charges,
        partial(prices.rates, settings.state_home),
        model=loose_json.text(was.get("model")),
        is_forced=is_forced,
        notes=filter(None, notes),
    )


def _write(run: Run, found: RunCost, ledger: Ledger) -> None:
    """Record a cost with its rows, unless the run has changed since, and export it."""
    with ledger.transaction():
        now = ledger.runs.find(run.run_id)
        if now.accounts != run.accounts or not isinstance(now.state, Finished):
            return
        cost = {**found.to_json(), "repriced_at": clock.iso(clock.now())}
        charges = [charge.to_json() for charge in found.charges]
        accounts = {**now.accounts, "cost": cost, "charges": charges}
        now = replace(now, state=replace(now.state, accounts=accounts))
        ledger.change("save_record", run_id=run.run_id, record=record.pack(now))
        ledger.usage.record_run(now)
        if not rebuild.has_foreign_files(accounts):
            run_exports.best_effort(lambda: run_exports.write_records(now))
