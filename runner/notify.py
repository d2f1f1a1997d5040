"""Tell others of a run: lines in an event stream, and the user's hook command.

Neither can hold a run up or fail it: a hook has its time limit, and what goes wrong
is a warning in the run's record.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from parsers.struct import replace
from runner import clock, config, files
from runner.errors import RunnerError, UsageError
from runner.ledger import record
from runner.process.signals import SignalInbox, reap, send
from runner.process.start import Launch, start_program
from runner.process.table import child
from runner.process.tree import below
from runner.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.config import Config
    from runner.model import Run

HOOK_SECONDS = 30.0
_PACE_SECONDS = 0.05
_SOURCE = "run_codex_task"
_SHOWN = (
    "run_id",
    "session_id",
    "repo",
    "mode",
    "outcome",
    "exit_code",
    "error",
    "log_file",
    "meta_file",
    "summary_file",
    "started_at",
    "ended_at",
    "elapsed_seconds",
)


class Hook:
    """One hook command that has been started and must end in time."""

    def __init__(self, pid: int, name: str, deadline: float) -> None:
        self.pid = pid
        self.name = name
        self.deadline = deadline


class Notifier:
    """Send a run's events to its event stream and its hook command.

    Args:
        config: for the hook's environment.
        warn: what is called with one line for each thing that went wrong.
    """

    def __init__(self, config: Config, warn: Callable[[str], None]) -> None:
        self._config = config
        self._warn = warn
        self._hooks: dict[int, Hook] = {}

    @property
    def pids(self) -> list[int]:
        """List the hooks that are still running."""
        return list(self._hooks)

    def started(self, run: Run) -> None:
        # Codex has not said yet which session it works on: the one that is asked for.
        self._send(replace(run, session_id=run.session), "run_started", "running")

    def completed(self, run: Run) -> None:
        data = record.to_json(run)
        status = "success" if data["outcome"] == "succeeded" else "failure"
        self._send(run, "run_completed", status)

    def ended(self, pid: int, exit_code: int) -> bool:
        """Take note of a child's end; tell whether it was a hook."""
        hook = self._hooks.pop(pid, None)
        if hook is None:
            return False
        if exit_code:
            self._warn(f"the notify command ({hook.name}) exited with {exit_code}")
        return True

    def wait(self, inbox: SignalInbox) -> None:
        """Wait until every hook has ended or has been ended; a signal ends them."""
        while self._hooks:
            if inbox.wait(_PACE_SECONDS):
                for hook in self._hooks.values():
                    self._end(hook, "was ended with the run's supervisor")
            for pid, status in reap():
                self.ended(pid, os.waitstatus_to_exitcode(status))
            self.end_late_ones()

    def end_late_ones(self) -> None:
        """End the hooks that have had their time, with all that they started."""
        for hook in list(self._hooks.values()):
            if clock.monotonic() >= hook.deadline:
                self._end(hook, f"took over {HOOK_SECONDS:g} s")

    def _end(self, hook: Hook, why: str) -> None:
        self._warn(f"the notify command ({hook.name}) {why}")
        for each in (child(hook.pid), *below(hook.pid)):
            send(each, signal.SIGKILL)
        hook.deadline = float("inf")

    def _send(self, run: Run, event: str, status: str) -> None:
        told = run.spec.report
        if told.event_stream is None and told.notify_command is None:
            return
        data = record.to_json(run)
        message: dict[str, object] = {
            "event": event,
            "status": status,
            **{name: data[name] for name in _SHOWN},
            "source": _SOURCE,
            "version": VERSION,
            "ts": clock.iso(clock.now()),
        }
        line = _as_line(message)
        if told.event_stream is not None:
            self._append(Path(told.event_stream), line)
        if told.notify_command is not None:
            self._start_hook(run, event, line)

    def _append(self, path: Path, line: bytes) -> None:
        try:
            files.append(path, line)
        except RunnerError as error:
            self._warn(str(error))

    def _start_hook(self, run: Run, event: str, line: bytes) -> None:
        import tempfile  # noqa: PLC0415 - only with a hook

        log = record.files_of(run.spec).log
        try:
            with tempfile.TemporaryFile() as stdin, log.open("ab") as output:
                stdin.write(line)
                stdin.seek(0)
                pid = start_program(
                    Launch(
                        argv=command_of(run.spec.report.notify_command or ""),
                        environment=config.hook_environment(self._config, run.run_id),
                        cwd=run.spec.cwd,
                        umask=run.spec.umask,
                        stdin=stdin.fileno(),
                        stdout=output.fileno(),
                        stderr=output.fileno(),
                    )
                )
        except (OSError, UsageError) as error:
            self._warn(f"the notify command cannot be started: {error}")
            return
        self._hooks[pid] = Hook(pid, event, clock.monotonic() + HOOK_SECONDS)


def _as_line(message: dict[str, object]) -> bytes:
    import io  # noqa: PLC0415 - only where somebody is told

    import jsonlines  # noqa: PLC0415

    buffer = io.StringIO()
    with jsonlines.Writer(buffer, compact=True) as writer:
        writer.write(message)
    return buffer.getvalue().encode()


def command_of(text: str) -> list[str]:
    """Split a hook command into words, as a shell would; no shell is asked.

    Raises:
        UsageError: it is empty or has an open quote.
    """
    import shlex  # noqa: PLC0415 - only with a hook

    try:
        words = shlex.split(text)
    except ValueError as error:
        message = f"--notify-cmd {text!r} cannot be split into words: {error}"
        raise UsageError(message) from error
    if not words:
        message = "--notify-cmd is empty: name a program and its arguments"
        raise UsageError(message)
    return words
