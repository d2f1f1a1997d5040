"""The debug preamble of a run: never a secret, never the environment."""

from __future__ import annotations

import os
import re
import shlex
import sys

from runner.clock import iso
from runner.codex import command
from runner.codex.version import version_of
from runner.exports.key_values import pairs, text
from runner.model import Verbosity
from runner.process.start import which
from runner.run_files import files_of
from runner.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.model import Spec

_BEGIN = "===== run_codex_task debug preamble ====="
_END = "===== end preamble ====="
_SECRET = re.compile(
    r"(?i)([\w.\"'-]*(?:key|token|secret|passw|auth|bearer|credential|header)[^=\s]*\s*=).+",
    re.DOTALL,
)


def redacted(argv: list[str]) -> str:
    """Write a command line as a shell would take it, without values of secrets."""
    return shlex.join(_SECRET.sub(r"\1***", word) for word in argv)


def preamble(spec: Spec, settings: Config) -> str:
    """Build the debug preamble; asking Codex for its version is left to -v."""
    argv = command.exec_argv(spec.codex, spec.repo, spec.resume_session)
    paths = files_of(spec)
    values: dict[str, object] = {
        "timestamp_utc": iso(spec.prepared_at),
        "mode": spec.mode,
        "resume_session_id": spec.resume_session or "none",
        "repo": spec.repo,
        "codex_command": f"{redacted(argv)} < {shlex.quote(str(paths.prompt))}",
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
