"""The check of a completed turn, as a program that the supervisor runs and watches."""

from __future__ import annotations

import os

from parsers.paths import Path
from runner import clock, config, files
from runner.errors import RunnerError
from runner.lifecycle.check import CheckEnd, end_of
from runner.lifecycle.judge import Cause
from runner.notify import command_of
from runner.process import cgroup
from runner.process.start import Launch, start_program
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.exec_events.summary import EventSummary
    from runner.config import Config
    from runner.lifecycle.judge import Exit
    from runner.model import Run


class Check:
    """Run the check of a run, with its own limit of time in place of the run's.

    `pid` is None when it could not be started.
    """

    def __init__(self, run: Run, place: str, settings: Config) -> None:
        self._limit = run.spec.terms.verify_seconds
        self._began = clock.monotonic()
        self._program, self._fault = run.spec.terms.verify or "", ""
        self.pid: int | None = None
        argv = [self._program]
        try:
            argv = command_of(self._program, "--verify")
            self.pid = _start(run, argv, place, settings)
        except OSError as error:
            where = os.fsdecode(error.filename or argv[0])
            at = "" if where == argv[0] else f"{where}: "
            self._fault = f"cannot be run: {at}{error.strerror}"
        except RunnerError as error:
            self._fault = f"cannot be run: {error}"
        self._program = Path(argv[0]).name

    def exceeded(self, _: EventSummary) -> tuple[Cause, float] | None:
        """Return its limit, with the seconds, when it takes longer."""
        at = self.next_look(_)
        if self._limit is None or at is None or clock.monotonic() < at:
            return None
        return Cause.CHECK, self._limit

    def next_look(self, _: EventSummary) -> float | None:
        """Return when to call `exceeded` again, in monotonic seconds."""
        return None if self._limit is None else self._began + self._limit

    def end(self, ended: Exit) -> CheckEnd:
        """Return how it ended."""
        if self._fault:
            return CheckEnd(fault=f"{self._program} {self._fault}")
        return end_of(self._program, ended, clock.monotonic() - self._began)


def _start(run: Run, argv: list[str], place: str, settings: Config) -> int:
    """Start the program where Codex has worked, with its environment."""
    marked = {config.CHECK_MARKER: run.run_id}
    path = files_of(run.spec).verify
    files.create(path)
    with os.fdopen(files.open_own(path, os.O_WRONLY | os.O_APPEND), "ab") as output:
        launch = Launch(
            argv=argv,
            environment=config.codex_environment(settings, run.run_id) | marked,
            cwd=place,
            umask=run.spec.umask,
            stdout=output.fileno(),
            stderr=output.fileno(),
        )
        with cgroup.entered(run.run_id):
            return start_program(launch)
