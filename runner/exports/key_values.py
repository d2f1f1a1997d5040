"""The `key=value` lines that scripts read, and the debug preamble for people."""

from __future__ import annotations

import os
import sys

from parsers.light import pattern, quote
from runner.clock import iso
from runner.codex.binary import exec_argv, version_of
from runner.ledger import record
from runner.model import Verbosity
from runner.process.start import which
from runner.run_files import files_of
from runner.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.config import Config
    from runner.model import Run, Spec

_BEGIN = "===== run_codex_task debug preamble ====="
_END = "===== end preamble ====="
_SECRET = pattern(
    r"(?is)([\w.\"'-]*(?:key|token|secret|passw|auth|bearer|credential|header)[^=\s]*\s*=).+",
)


def header(spec: Spec) -> list[str]:
    """Build the lines before the launch."""
    paths = files_of(spec)
    return pairs(
        {
            "codex_run_id": spec.run_id,
            "log_file": paths.log,
            "meta_file": paths.meta,
            "summary_file_pending": paths.summary,
        }
    )


def head(spec: Spec, settings: Config) -> str:
    """Build all that `run_codex_task` shows before the launch."""
    shown = "" if spec.verbosity is Verbosity.LOW else preamble(spec, settings)
    return text(header(spec)) + shown


def footer(run: Run) -> list[str]:
    """Build the lines after the end, without the summary."""
    data = record.to_json(run)
    first = {
        "codex_run_id": run.run_id,
        "codex_exit_code": data["exit_code"],
        "elapsed_seconds": data["elapsed_seconds"],
        "codex_session_id": run.thread or "unknown",
    }
    same = ("outcome", "log_file", "meta_file", "summary_file")
    return pairs({**first, **{name: data[name] for name in same}})


def tokens(run: Run) -> str:
    """Write the tokens of a succeeded run, as its summary has them."""
    from parsers.accounting.tokens import read_usage  # noqa: PLC0415 - not at a launch
    from parsers.exec_events.transcript import render_tokens  # noqa: PLC0415

    if not run.has_succeeded:
        return ""
    kept = (run.accounts.get(name) for name in ("token_usage", "thread_usage"))
    return render_tokens(*map(read_usage, kept))


def pairs(values: Mapping[str, object]) -> list[str]:
    """Write values as `key=value` lines; newlines in values are escaped."""
    lines = (f"{key}={value}" for key, value in values.items())
    return [line.replace("\n", "\\n").replace("\r", "\\r") for line in lines]


def text(lines: list[str]) -> str:
    """Join lines, each with a newline."""
    return "".join(f"{line}\n" for line in lines)


def redacted(argv: list[str]) -> str:
    """Quote a command line for a shell, without values of secrets."""
    return " ".join(
        quote(_SECRET.sub(r"\1***", word) if "=" in word else word) for word in argv
    )


def preamble(spec: Spec, settings: Config) -> str:
    """Build the debug preamble: never a secret, never the environment.

    Codex's version is queried only with -v.
    """
    argv = exec_argv(spec.codex, spec.repo, spec.resume_session)
    paths = files_of(spec)
    values: dict[str, object] = {
        "timestamp_utc": iso(spec.prepared_at),
        "mode": spec.mode,
        "resume_session_id": spec.resume_session or "none",
        "repo": spec.repo,
        "codex_command": f"{redacted(argv)} < {quote(str(paths.prompt))}",
        "run_codex_task_version": VERSION,
    }
    if spec.verbosity is not Verbosity.LOW:
        program = spec.codex.bin
        values |= {
            "codex_bin_resolved": which(program, settings.search_path) or "not found",
            "codex_version": version_of(program, settings) or "unknown",
            "python_version": sys.version.split()[0],
        }
    if spec.verbosity is Verbosity.HIGH:
        system = os.uname()
        values |= {
            "cwd": spec.cwd,
            "umask": f"{spec.umask:04o}",
            "log_dir": spec.directory,
            "state_home": settings.state_home,
            "codex_home": spec.codex_home or settings.codex_home,
            "events_file": paths.events,
            "timeout_seconds": spec.limits.timeout or "none",
            "stall_timeout_seconds": spec.limits.stall or "none",
            "system": f"{system.sysname} {system.release} {system.machine}",
            "uid": os.getuid(),
        }
    return text([_BEGIN, *pairs(values), _END])
