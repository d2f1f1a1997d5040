"""Check what the index says that the runs of a session have used."""

from __future__ import annotations

from functools import partial

from runner.service.verify_findings import Finding
from runner.store import consumption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.service.verify_session import Case


def usage_differences(case: Case) -> Iterator[Finding]:
    """Hold the rows that are summed up against the records of the runs."""
    database = case.ledger.database
    for run in case.runs:
        noted = consumption.noted(database, run.run_id)
        if not consumption.is_same(noted, consumption.entries(run)):
            yield Finding(
                subject=run.run_id,
                kind="usage-differs",
                detail="what the index counts for it is not what its record says",
                mend=partial(consumption.recount, database, run),
            )
