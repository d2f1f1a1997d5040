"""Check what the index says that the runs of a session have used."""

from __future__ import annotations

from functools import partial

from runner.ledger.usage import entries, is_same, noted, recount
from runner.service.verify_findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.service.verify_session import Case


def usage_differences(case: Case) -> Iterator[Finding]:
    """Hold the rows that are summed up against the records of the runs."""
    database = case.ledger.database
    for run in case.runs:
        known = noted(database, run.run_id)
        if not is_same(known, entries(run)):
            yield Finding(
                subject=run.run_id,
                kind="usage-differs",
                detail="what the index counts for it is not what its record says",
                mend=partial(recount, database, run),
            )
