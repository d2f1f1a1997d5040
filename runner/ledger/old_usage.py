"""What runs of the versions before have used, as far as the index does not say it.

An index of schema 1 has not counted its runs. One that was made anew may lack what
removed runs have used: the file `removed.jsonl` has it too.
"""

from __future__ import annotations

from parsers import loose_json
from runner import files
from runner.ledger import record
from runner.ledger.database import clean
from runner.ledger.old_places import encoded
from runner.ledger.steps import load
from runner.ledger.usage import rows_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.ledger.steps import Steps

_REMOVED = "removed.jsonl"
_FIGURES = ("input", "cached", "output", "reasoning", "total", "usd")
_KEYS = ("input", "cached_input", "output", "reasoning_output", "total")
_SHOWN = 80
_WRONG = (ValueError, KeyError, TypeError, AttributeError)


def count(steps: Steps) -> None:
    """Count the finished runs that the index has not counted."""
    for (run_id,) in steps.do("uncounted").fetchall():
        row = steps.do("uncounted_run", run_id=run_id).fetchone()
        data = record.unpack(row["record"])
        request = loose_json.mapping(data.get("request"))
        try:
            rows = rows_of(data, loose_json.text(request.get("model")))
        except _WRONG:
            rows = rows_of({}, None)
        for model, *figures in rows:
            steps.do(
                "insert_usage",
                run_id=row["run_id"],
                key=row["key"],
                model=clean(str(model)),
                prepared_at=row["prepared_at"],
                repo=encoded(str(data.get("repo", ""))),
                **dict(zip(_FIGURES, figures, strict=True)),
            )


def read_removed(steps: Steps) -> None:
    """Take over what removed runs have used that the index lacks."""
    for line in files.read_text(steps.home / _REMOVED).splitlines():
        try:
            if line:
                _read_line(line, steps)
        except _WRONG:
            steps.note(f"line of {_REMOVED} damaged", line[:_SHOWN])


def _read_line(line: str, steps: Steps) -> None:
    told: Mapping[str, Any] = load(line)
    if steps.do("is_counted", run_id=told["run_id"]).fetchone() is not None:
        return
    for row in told["usage"]:
        steps.do(
            "insert_usage",
            run_id=told["run_id"],
            key=row["session_id"],
            model=row["model"],
            prepared_at=row["prepared_at"],
            repo=row["repo"].encode(),
            usd=row["usd"],
            **{
                name: row[f"{key}_tokens"]
                for name, key in zip(_FIGURES[:-1], _KEYS, strict=True)
            },
        )
