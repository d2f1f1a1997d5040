"""The `key=value` lines that scripts read: before the launch and after the end."""

from __future__ import annotations

from runner.ledger import record
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model import Run, Spec

_BREAKS = {"\n": "\\n", "\r": "\\r"}


def header(spec: Spec) -> list[str]:
    """Build the lines that come before the launch."""
    paths = files_of(spec)
    return pairs(
        {
            "codex_run_id": spec.run_id,
            "log_file": paths.log,
            "meta_file": paths.meta,
            "summary_file_pending": paths.summary,
        }
    )


def footer(run: Run) -> list[str]:
    """Build the lines that come after the end, less the summary itself."""
    data = record.to_json(run)
    return pairs(
        {
            "codex_run_id": run.run_id,
            "codex_exit_code": data["exit_code"],
            "elapsed_seconds": data["elapsed_seconds"],
            "codex_session_id": run.thread or "unknown",
            "outcome": data["outcome"],
            "log_file": data["log_file"],
            "meta_file": data["meta_file"],
            "summary_file": data["summary_file"],
        }
    )


def pairs(values: Mapping[str, object]) -> list[str]:
    """Write values as `key=value` lines; a value never breaks its line."""
    return [f"{key}={_one_line(value)}" for key, value in values.items()]


def text(lines: list[str]) -> str:
    """Join lines, each with its end."""
    return "".join(f"{line}\n" for line in lines)


def _one_line(value: object) -> str:
    shown = str(value)
    for broken, escape in _BREAKS.items():
        shown = shown.replace(broken, escape)
    return shown
