"""The files of a run that are made of the ledger: `meta.json` and `summary.json`.

Both are pure functions of the run's record. They are written after the commit, and read
back by nothing but importers, a rebuild, and the judge of a run that was left behind.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from parsers import loose_json, run_summary
from parsers.facts import Facts
from runner import files
from runner.errors import RunnerError
from runner.exports import key_values
from runner.ledger import record
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from runner.ledger.record import Json
    from runner.model import Run

    # Takes a step that must not cost the run; what goes wrong may be told.
    Attempt: TypeAlias = Callable[[Callable[[], object]], None]

LOG_DIRS = "log-dirs"
# What Codex has said and done, as the record keeps it for the summary.
SAID = "said"


def best_effort(step: Callable[[], object]) -> None:
    """Take a step for which no command waits: `verify --repair` can take it again."""
    with suppress(RunnerError):
        step()


def render_meta(run: Run) -> bytes:
    """Make `meta.json`."""
    return record.encode(record.to_json(run), indent=2)


def render_summary(run: Run) -> bytes:
    """Make `summary.json` of a finished run."""
    return record.encode(summary_of(run), indent=2)


def summary_of(run: Run) -> Json:
    """Make the summary of a finished run from its record."""
    data = record.to_json(run)
    known = dict(loose_json.mapping(run.accounts.get(SAID)))
    data |= pointers(data, is_cut=bool(known.pop("is_cut", False)))
    facts = Facts(kind="empty")
    if not known:  # a record of a version before
        from runner.tail import summary_of_events  # noqa: PLC0415 - not for the launch

        facts = summary_of_events(run).facts()
    usage, cost = data["token_usage"], data["cost"]
    whole = run_summary.build(facts, data, run.outcome, usage, cost)
    whole |= known
    error = run.verdict.error if run.verdict else None
    errors = whole["errors"]
    if isinstance(errors, list) and error is not None and error not in errors:
        whole["errors"] = [*errors, error]
    return {**whole, "warnings": data["warnings"]}


def pointers(data: Json, *, is_cut: bool) -> Json:
    """Name the files that hold all of the texts which a summary cuts off.

    `data` is the run's record as far as there is one; `is_cut` says that the last
    message is longer than the summary shows.
    """
    found: Json = {}
    is_long = len(str(data.get("task") or "")) >= run_summary.PREVIEW_LENGTH
    if is_long and data.get("prompt_file"):
        found["task_file"] = data["prompt_file"]
    if is_cut:
        found["final_message_file"] = data.get("events_file") or data.get("log_file")
    return found


def write_meta(run: Run) -> None:
    """Write `meta.json`; FileFault says that it cannot be written."""
    files.export(files_of(run.spec).meta, render_meta(run))


def write_end(run: Run, attempt: Attempt = best_effort) -> None:
    """Write the files of a run that is over; `meta.json` comes last.

    `attempt` is called with the writing of each.
    """
    paths = files_of(run.spec)
    attempt(lambda: files.export(paths.summary, render_summary(run)))
    if run.spec.is_flat:
        footer = "\n" + key_values.text(key_values.footer(run))
        attempt(lambda: files.append_text(paths.log, footer))
    if copy := run.spec.report.json_out:
        attempt(lambda: files.copy_to(Path(copy), render_summary(run)))
    attempt(lambda: write_meta(run))


def note_directory(state_home: Path, directory: str) -> None:
    """Note that runs lie outside of the state directory; a rebuild looks there.

    Raises:
        FileFault: it cannot be written.
    """
    path, line = state_home / LOG_DIRS, os.fsencode(directory) + b"\n"
    # Two that note the same directory at once leave two lines, which does no harm.
    if b"\n" not in line[:-1] and line not in files.read_if_there(path):
        files.append(path, line)


def noted_directories(state_home: Path) -> list[Path]:
    """Return the directories that have been noted."""
    lines = files.read_if_there(state_home / LOG_DIRS).splitlines()
    return [Path(os.fsdecode(line)) for line in dict.fromkeys(lines) if line]
