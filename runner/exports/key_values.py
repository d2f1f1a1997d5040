"""The `key=value` lines that scripts read: before the launch and after the end."""

from __future__ import annotations

from runner.ledger import record
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model import Run, Spec


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
    first = {
        "codex_run_id": run.run_id,
        "codex_exit_code": data["exit_code"],
        "elapsed_seconds": data["elapsed_seconds"],
        "codex_session_id": run.thread or "unknown",
    }
    same = ("outcome", "log_file", "meta_file", "summary_file")
    return pairs({**first, **{name: data[name] for name in same}})


def pairs(values: Mapping[str, object]) -> list[str]:
    """Write values as `key=value` lines; a value never breaks its line."""
    lines = (f"{key}={value}" for key, value in values.items())
    return [line.replace("\n", "\\n").replace("\r", "\\r") for line in lines]


def text(lines: list[str]) -> str:
    """Join lines, each with its end."""
    return "".join(f"{line}\n" for line in lines)
