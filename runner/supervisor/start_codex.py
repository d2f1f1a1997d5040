"""Start Codex for a run: files as its streams, the caller's directory and umask."""

from __future__ import annotations

import os

from parsers.paths import Path
from runner import config, files
from runner.codex.binary import exec_argv
from runner.errors import is_resource_exhaustion
from runner.lifecycle.judge import not_started
from runner.model import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND
from runner.process import cgroup
from runner.process.start import Launch, start_program
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.model import Run, Verdict


def start_codex(run: Run, events: int, settings: Config) -> int | Verdict:
    """Start Codex and return its pid, or the reason why it cannot be started.

    Its standard input is the prompt file, never the caller's. Its standard output is
    `events`, the open and locked events file.
    """
    spec, paths, place = run.spec, files_of(run.spec), run.worktree
    environment = config.codex_environment(settings, run.run_id)
    if place is not None:
        from runner.git import outside_of_hook  # noqa: PLC0415 - few runs

        environment = outside_of_hook(environment)
    try:
        appends = os.O_WRONLY | os.O_APPEND
        with (
            os.fdopen(files.open_own(paths.prompt, os.O_RDONLY), "rb") as prompt,
            os.fdopen(files.open_own(paths.stderr, appends), "ab") as stderr,
        ):
            launch = Launch(
                argv=exec_argv(spec.codex, place or spec.repo, spec.resume_session),
                environment=environment,
                cwd=place if place and spec.cwd == spec.repo else spec.cwd,
                umask=spec.umask,
                stdin=prompt.fileno(),
                stdout=events,
                stderr=stderr.fileno(),
            )
            with cgroup.entered(run.run_id):
                return start_program(launch)
    except OSError as error:
        cgroup.remove(run.run_id)
        return not_started(*_why_not(error, spec.codex.bin))


def _why_not(error: OSError, program: str) -> tuple[int, str]:
    """Distinguish a missing program from one that cannot be run."""
    reason = error.strerror or str(error)
    if is_resource_exhaustion(error):
        return 1, f"cannot start Codex: {reason}"
    is_program = error.filename is None or os.fsdecode(error.filename) == program
    if isinstance(error, FileNotFoundError) and is_program:
        if os.sep in program and Path(program).exists():
            return EXIT_NOT_FOUND, f"codex binary {program}: its interpreter is missing"
        return EXIT_NOT_FOUND, (
            f"codex binary not found: {program}"
            " (npm install -g @openai/codex installs it, --codex-bin names it)"
        )
    if is_program:
        if os.sep in program and Path(program).is_dir():
            reason = "it is a directory"
        return EXIT_NOT_EXECUTABLE, (f"codex binary cannot be run: {program}: {reason}")
    return 1, f"cannot start Codex: {os.fsdecode(error.filename)}: {reason}"
