"""The `key=value` lines that scripts read, and the debug preamble for people."""

from __future__ import annotations

import os
import sys

from parsers import loose_json
from parsers.light import pattern, quote
from parsers.run_summary import bound, model_and_cache, one_line
from parsers.text import visible
from runner.clock import iso
from runner.codex.binary import exec_argv, version_of
from runner.ledger import record
from runner.model import Outcome, Verbosity
from runner.process.start import which
from runner.run_files import files_of
from runner.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.config import Config
    from runner.model import Run, Spec

_BEGIN = "===== run_codex_task debug preamble ====="
_END = "===== end preamble ====="
_SECRET = pattern(
    r"(?is)([\w.\"'-]*(?:key|token|secret|passw|auth|bearer|credential|header)[^=\s]*\s*="
    r"(?!\s*(?:\d+|true|false)\s*$)"
    r"|=(?=(?:.*[^\w-])?(?:sk-|gh[a-z]_|github_pat_|xox[a-z]-|eyj|akia|bearer\s|basic\s)"
    r"|.*://[^/\s@]+:[^/\s@]+@)).+",
)
_MASK = "***"


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
    if copy := run.spec.report.json_out:
        data["summary_file"] = copy
    chosen = model_and_cache(data)
    more: dict[str, object] = {
        "model_selected": data["model"] or "",
        **{name: chosen[name] for name in chosen if name != "cache_key"},
        "summary_line": one_line(data),
    }
    if run.spec.verbosity is not Verbosity.LOW:
        more |= {f"{name}_utc": data[name] for name in ("started_at", "ended_at")}
    if run.spec.verbosity is Verbosity.HIGH:
        more["codex_command"] = _command(run.spec)
    return pairs({**first, **{name: data[name] for name in same}, **more})


def end_of_turn(run: Run) -> str:
    """Write the tokens of a completed turn, as its summary has them, and its check."""
    from parsers.accounting.tokens import read_usage  # noqa: PLC0415 - not at a launch
    from parsers.exec_events.transcript import render_tokens  # noqa: PLC0415

    if run.outcome is not Outcome.SUCCEEDED:
        return ""
    told = loose_json.mapping(run.accounts.get("token_usage"))
    thread = read_usage(run.accounts.get("thread_usage"))
    shown = render_tokens(read_usage(told), thread, sign=bound(told))
    said = check_of(run.accounts)
    return shown if said is None else f"{shown}check {said}\n"


def check_of(accounts: Mapping[str, object]) -> str | None:
    """Write how a check ended, in which turn of its prompt; None without one."""
    told = loose_json.mapping(accounts.get(record.VERIFY))
    if not told:
        return None
    turn = f"in turn {told.get('iteration') or '?'} of {told.get('of')}"
    if (fault := told.get("fault")) is None:
        return f"passed {turn}: {told.get('command')}"
    return f"failed {turn}: {fault}"


def pairs(values: Mapping[str, object]) -> list[str]:
    """Write values as `key=value` lines; newlines in values are escaped."""
    lines = (f"{key}={value}" for key, value in values.items())
    return [line.replace("\n", "\\n").replace("\r", "\\r") for line in lines]


def text(lines: list[str]) -> str:
    """Join lines, each with a newline."""
    return "".join(f"{line}\n" for line in lines)


def masked(word: str) -> str:
    """Replace the value of what looks like the setting of a secret."""
    return _SECRET.sub(rf"\1{_MASK}", word) if "=" in word else word


def unmasked(words: Sequence[str]) -> tuple[str, ...]:
    """Leave out masked settings; Codex must not be given them."""
    found: list[str] = []
    for word in words:
        if not word.endswith(f"={_MASK}"):
            found.append(word)
        elif found and found[-1] in {"-c", "--config"}:
            found.pop()
    return tuple(found)


def redacted(argv: list[str]) -> str:
    """Quote a command line for a shell, without values of secrets."""
    return " ".join(map(quote, map(masked, argv)))


def _command(spec: Spec) -> str:
    argv = exec_argv(spec.codex, spec.repo, spec.resume_session)
    return visible(f"{redacted(argv)} < {quote(str(files_of(spec).prompt))}")


def preamble(spec: Spec, settings: Config) -> str:
    """Build the debug preamble: never a secret, never the environment.

    Codex's version is queried only with -v.
    """
    paths = files_of(spec)
    values: dict[str, object] = {
        "timestamp_utc": iso(spec.prepared_at),
        "mode": spec.mode,
        "resume_session_id": spec.resume_session or "none",
        "repo": spec.repo,
        "codex_command": _command(spec),
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
    return visible(text([_BEGIN, *pairs(values), _END]))
