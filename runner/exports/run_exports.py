"""The exports of a run: `meta.json` and `summary.json`.

Both are pure functions of the run's record. They are written after the commit. Only an
import, a rebuild, and the judge of an abandoned run read them.
"""

from __future__ import annotations

import os

from parsers import json_text, loose_json, run_summary
from parsers.facts import Facts
from parsers.light import suppress
from parsers.paths import Path
from parsers.struct import replace
from parsers.text import visible
from runner import files
from runner.errors import RunnerError
from runner.exports import key_values
from runner.exports.key_values import masked, unmasked
from runner.ledger import record
from runner.ledger.record import DamagedRecordError
from runner.model import OUTCOMES, Outcome, Verdict
from runner.run_files import files_of
from runner.terms import VERIFY_FAILED, masked_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeAlias

    from runner.ledger.record import Json
    from runner.model import Run

    # Runs a step whose error must not end the run; it may be reported.
    Attempt: TypeAlias = Callable[[Callable[[], object]], None]

# A setting without an effect: it marks the run of a demonstration, whose costs are made
# up. Codex would warn of one that it does not know, such as the marker of 0.2.
DEMONSTRATION = "shell_environment_policy.set.CODEX_RUNNER_DEMONSTRATION='true'"
_MARKERS = (DEMONSTRATION, "codex_runner_demonstration=true")
LOG_DIRS = "log-dirs"
_EXIT_CODES = range(256)
NO_FACTS = Facts(kind="empty")
# Codex's answer and actions in the record, for the summary.
SAID = "said"


def best_effort(step: Callable[[], object]) -> None:
    """Run a step and ignore its error: `verify --repair` can run it again."""
    with suppress(RunnerError):
        step()


def render_meta(run: Run, data: Json | None = None) -> bytes:
    """Render `meta.json`; `data` is the run's record, if it was made."""
    return record.encode(meta_in(data or record.to_json(run)), indent=2)


def meta_in(data: Json) -> Json:
    """Build `meta.json` from a record: with the bash runner's keys, without secrets."""
    request = dict(loose_json.mapping(data["request"]))
    for name in ("overrides", "extra", "once"):
        request[name] = [*map(masked, map(str, loose_json.sequence(request[name])))]
    terms = loose_json.mapping(request.get("terms"))
    if address := loose_json.text(terms.get("webhook")):
        request["terms"] = {**terms, "webhook": masked_address(address)}
    return {
        **data,
        "request": request,
        **run_summary.model_and_cache(data),
        "one_line_summary": run_summary.one_line(data) if data["outcome"] else None,
    }


def run_in(data: Mapping[str, object]) -> Run:
    """Read a `meta.json`; a masked setting is left out.

    Raises:
        DamagedRecordError: it is not a record, or one of a demonstration.
    """
    run = record.from_json(data)
    codex = run.spec.codex
    if any(each in codex.overrides for each in _MARKERS):
        raise DamagedRecordError(run.run_id, "it is a demonstration")
    kept = {name: unmasked(getattr(codex, name)) for name in ("overrides", "extra")}
    known = {
        "codex": replace(codex, **kept),
        "terms": replace(run.spec.terms, webhook=None),
    }
    return replace(run, spec=replace(run.spec, **known))


def render_summary(run: Run, data: Json | None = None) -> bytes:
    """Render `summary.json` of a finished run; `data` as in `render_meta`."""
    return record.encode(summary_of(run, data), indent=2)


def summary_of(run: Run, data: Json | None = None) -> Json:
    """Build the summary of a finished run from its record."""
    data, facts = data or record.to_json(run), NO_FACTS
    if not said_in(data):  # a record of a previous version
        from runner.tail import summary_of_events  # noqa: PLC0415 - not for the launch

        facts = summary_of_events(run).facts()
    return summary_in(data, facts)


def summary_in(data: Json, facts: Facts = NO_FACTS) -> Json:
    """Build the summary of a finished run from its record and what that lacks."""
    known = dict(said_in(data))
    data = data | pointers(data, is_cut=bool(known.pop("is_cut", False)))
    usage, cost = data["token_usage"], data["cost"]
    outcome, error = (loose_json.text(data[name]) for name in ("outcome", "error"))
    whole = run_summary.build(facts, data, outcome, usage, cost)
    whole |= known
    errors = whole["errors"]
    if isinstance(errors, list) and error is not None and error not in errors:
        whole["errors"] = [*errors, error]
    accounts = loose_json.mapping(data["accounts"])
    named = ("budget", record.VERIFY, record.CHANGES)
    more = {name: accounts[name] for name in named if accounts.get(name) is not None}
    return {**whole, "warnings": data["warnings"], **more}


def said_in(data: Json) -> Mapping[str, object]:
    """Return Codex's answer and actions in a record."""
    return loose_json.mapping(loose_json.mapping(data["accounts"]).get(SAID))


def verdict_in_summary(run: Run) -> Verdict | None:
    """Read the verdict from a `summary.json` that was written without a `meta.json`."""
    told = loose_json.mapping(files.read_json(files_of(run.spec).summary))
    outcome = loose_json.text(told.get("outcome")) or ""
    code = loose_json.integer(told.get("exit_code"))
    # Codex can write to a --log-dir in its repository: it may be nonsense.
    is_ours = told.get("run_id") == run.run_id and outcome in OUTCOMES
    if not is_ours or code is None or code not in _EXIT_CODES:
        return None
    errors = loose_json.sequence(told.get("errors"))
    error = loose_json.text(errors[-1]) if errors and not told.get("success") else None
    return Verdict(outcome=Outcome(outcome), exit_code=code, error=error)


def pointers(data: Json, *, is_cut: bool) -> Json:
    """Name the files with the whole texts that a summary truncates.

    `data` is the run's record, if any; `is_cut` is true when the summary truncates the
    last message.
    """
    found: Json = {}
    is_long = len(str(data.get("task") or "")) >= run_summary.PREVIEW_LENGTH
    if is_long and data.get("prompt_file"):
        found["task_file"] = data["prompt_file"]
    if is_cut:
        found["final_message_file"] = data.get("events_file") or data.get("log_file")
    return found


def end_of(run: Run) -> dict[str, Any]:
    """Build the last message of a run: its exit code, its last lines, its error."""
    verdict = run.verdict
    if verdict is None:
        return {}
    whole = json_text.dumps(summary_of(run), separators=(",", ":"))
    return {
        "finished": verdict.exit_code,
        "has_begun": run.has_begun,
        "tokens": key_values.end_of_turn(run),
        "lines": key_values.text([*key_values.footer(run), f"summary_json={whole}"]),
        "error": _error_of(verdict),
        "doubts": run_summary.doubts(run.accounts.get("warnings")),
    }


def _error_of(verdict: Verdict) -> str | None:
    """Tell an error after its outcome; a failed check follows a success."""
    if verdict.error is None or verdict.error_class == VERIFY_FAILED:
        return verdict.error
    return f"{verdict.outcome}: {verdict.error}"


def write_meta(run: Run) -> None:
    """Write `meta.json`; raise FileFault when that fails."""
    files.export(files_of(run.spec).meta, render_meta(run))


def write_records(run: Run) -> None:
    """Write both exports of a finished run; raise FileFault when that fails."""
    files.export(files_of(run.spec).summary, render_summary(run))
    write_meta(run)


def closing(run: Run) -> str:
    """Render the end of the readable log of a finished run."""
    block = key_values.text(key_values.footer(run))
    text = visible(f"{key_values.end_of_turn(run)}\n{block}")
    return text.encode(errors="backslashreplace").decode()


def write_end(
    run: Run, attempt: Attempt = best_effort, *, log: str | None = None
) -> None:
    """Write the exports of a finished run; `meta.json` is the last.

    `attempt` is called with the function that writes each. `log` is what the readable
    log lacks, by default its end.
    """
    paths, data = files_of(run.spec), record.to_json(run)
    attempt(lambda: files.export(paths.summary, render_summary(run, data)))
    if run.spec.is_flat:
        text = closing(run) if log is None else log
        attempt(lambda: files.append_text(paths.log, text))
    if copy := run.spec.report.json_out:
        attempt(lambda: files.copy_to(Path(copy), render_summary(run, data)))
    attempt(lambda: files.export(paths.meta, render_meta(run, data)))


def note_directory(state_home: Path, directory: str) -> None:
    """Record a log directory outside of the state directory, for a rebuild.

    Raises:
        FileFault: the list cannot be written.
    """
    path, line = state_home / LOG_DIRS, os.fsencode(directory) + b"\n"
    # Two processes may append the same directory at once, which is harmless.
    if b"\n" not in line[:-1] and line not in files.read_if_there(path):
        files.append(path, line)


def noted_directories(state_home: Path) -> list[Path]:
    """Return the recorded log directories."""
    lines = files.read_if_there(state_home / LOG_DIRS).splitlines()
    return [Path(os.fsdecode(line)) for line in dict.fromkeys(lines) if line]
