"""Send notifications: lines in an event stream, programs, the desktop, webhooks.

The outbox table holds them, written in the transaction of the change, so each is sent
once whichever process ends the run. None can delay or fail a run: a program has a time
limit, and an error is a warning. `webhook` sends to servers, in a process of its own.
"""

from __future__ import annotations

import os

from parsers import json_lines, loose_json
from parsers.error_classes import retryable
from parsers.light import pattern, signal
from parsers.paths import Path
from parsers.struct import Struct, replace
from runner import clock, config, files
from runner.errors import RunnerError, UsageError
from runner.ledger import record
from runner.notify import desktop, event
from runner.process.signals import reap, send
from runner.process.start import Launch, start_program
from runner.process.table import child
from runner.process.tree import below
from runner.run_files import files_of
from runner.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.outbox import Notice
    from runner.model import Run
    from runner.process.signals import SignalInbox

# What a shell does not take as it is, outside of quotes.
_QUOTED = pattern(r"""(?s)'[^']*'|"(?:\\.|[^"\\])*"|\\.""")
_OF_A_SHELL = pattern(r"[|&;<>()$`\n]|(?:^|\s)~|^\s*\w+=")
_NEVER = float("inf")
_SOURCE = "run_codex_task"
_SHOWN = (
    *("run_id", "session_id", "repo", "mode", "outcome", "exit_code", "error"),
    *("error_class", "warnings", "log_file", "meta_file", "summary_file"),
    *("started_at", "ended_at", "elapsed_seconds"),
)
_NOT_YET = (
    *("outcome", "exit_code", "error", "error_class", "warnings"),
    *("ended_at", "elapsed_seconds"),
)


class Hook(Struct, kw_only=False):
    """Hold a running program, what it was started for, and its deadline."""

    notice: Notice
    deadline: float


class Notifier:
    """Send the events of runs to their event streams and hook commands.

    `warn` is called with one line for each error.
    """

    def __init__(
        self, ledger: Ledger, settings: Config, warn: Callable[[str], None]
    ) -> None:
        self._ledger, self._settings, self._warn = ledger, settings, warn
        self._hooks: dict[int, Hook] = {}

    @property
    def pids(self) -> list[int]:
        """List the hooks that are still running."""
        return list(self._hooks)

    @property
    def next_deadline(self) -> float | None:
        """When the next hook exceeds its time limit, in monotonic seconds."""
        deadlines = (hook.deadline for hook in self._hooks.values())
        return min((each for each in deadlines if each < _NEVER), default=None)

    def tell(self, run_id: str) -> None:
        """Send the notifications of a run that have not been sent yet."""
        try:
            for notice in self._ledger.outbox.of_run(run_id):
                self._claim_and_send(notice)
        except RunnerError as error:
            self._warn(str(error))

    def tell_overdue(self) -> None:
        """Send what no supervisor has sent: of runs, and of prompts that had none."""
        try:
            due = self._ledger.outbox.due()
            for run_id in dict.fromkeys(each.run_id for each in due if each.run_id):
                self.tell(run_id)
            for notice in due:
                if notice.run_id is None:
                    self._claim_and_send(notice)
        except RunnerError as error:
            self._warn(str(error))

    def _claim_and_send(self, notice: Notice) -> None:
        outbox, run_id = self._ledger.outbox, notice.run_id
        if outbox.claim(notice):
            run = None if run_id is None else self._ledger.runs.find(run_id)
            outbox.close(notice, self._send(notice, run))

    def ended(self, pid: int, exit_code: int) -> bool:
        """Handle the end of a child; return whether it was a hook."""
        hook = self._hooks.pop(pid, None)
        if hook is None:
            return False
        # One that was ended has its reason already.
        if exit_code and hook.deadline < _NEVER:
            self._fail(hook, f"exited with {exit_code}")
        return True

    def wait(self, inbox: SignalInbox, ended_by: Sequence[int]) -> None:
        """Wait until every hook has ended, or one of these signals ends them.

        A stop signal for a run that has just ended is not one of them.
        """
        while self._hooks:
            at = self.next_deadline
            pause = None if at is None else max(0, at - clock.monotonic())
            if any(number in ended_by for number in inbox.wait(pause)):
                for pid in self._hooks:
                    self._end(pid, "was ended with the run's supervisor")
            for pid, status in reap():
                self.ended(pid, os.waitstatus_to_exitcode(status))
            self.end_late_ones()

    def end_late_ones(self) -> None:
        """Kill the hooks that exceed their time limit, with their descendants."""
        for pid, hook in self._hooks.items():
            if clock.monotonic() >= hook.deadline:
                self._end(pid, f"took longer than {self._settings.hook_seconds:g} s")

    def _end(self, pid: int, why: str) -> None:
        hook = self._hooks[pid]
        self._fail(hook, why)
        for each in (child(pid), *below(pid)):
            send(each, signal.SIGKILL)
        self._hooks[pid] = replace(hook, deadline=_NEVER)

    def _fail(self, hook: Hook, why: str) -> None:
        self._warn(f"the notify command ({hook.notice.what}) {why}")
        try:
            self._ledger.outbox.close(hook.notice, why)
        except RunnerError as error:
            self._warn(str(error))

    def _send(self, notice: Notice, run: Run | None) -> str | None:
        """Send one notice; return the error."""
        try:
            if notice.target in {"notify", "desktop"}:
                return self._start_for_prompt(notice, run)
            if run is not None and notice.target == "stream":
                stream = Path(run.spec.report.event_stream or os.devnull)
                files.append(stream, _line_of(notice, run), is_own=False)
            elif run is not None:
                command = run.spec.report.notify_command or ""
                self._start(notice, command_of(command), _line_of(notice, run), run)
        except (RunnerError, OSError) as error:
            self._warn(str(error))
            return str(error)
        return None

    def _start_for_prompt(self, notice: Notice, run: Run | None) -> str | None:
        told = event.event_of(notice, run)
        if notice.target == "notify":
            argv = command_of(str(notice.place or ""), "--notify")
        elif desktop.is_there(self._settings.environment):
            argv = desktop.argv_of(*event.summary_of(told))
        else:
            return desktop.MISSING  # no warning: a terminal may have its bell
        self._start(notice, argv, event.line_of(told), run)
        return None

    def _start(
        self, notice: Notice, argv: list[str], line: bytes, run: Run | None
    ) -> None:
        """Start a program whose output goes to the log of the run."""
        log = os.devnull if run is None else files_of(run.spec).log
        try:
            opened = files.open_own(Path(log), os.O_WRONLY | os.O_APPEND)
            with os.fdopen(opened, "ab") as output:
                mark = notice.run_id or "none"
                environment = config.hook_environment(self._settings, mark)
                how = Launch(
                    argv=argv,
                    environment=environment,
                    cwd=_place_of(notice) if run is None else run.spec.cwd,
                    umask=self._settings.umask if run is None else run.spec.umask,
                    stdout=output.fileno(),
                    stderr=output.fileno(),
                )
                pid = start_with(line, how)
        except (OSError, UsageError) as error:
            why = str(error)
            if isinstance(error, OSError) and error.filename:
                why = f"{os.fsdecode(error.filename)}: {error.strerror}"
            message = f"the notify command cannot be started: {why}"
            raise OSError(message) from error
        deadline = clock.monotonic() + self._settings.hook_seconds
        self._hooks[pid] = Hook(notice, deadline)


def _place_of(notice: Notice) -> str:
    """Return where a prompt without a run would have worked."""
    place = os.fsdecode(notice.repo or b"/")
    return place if os.path.isdir(place) else "/"  # noqa: PTH112 - is_dir raises


def start_with(line: bytes, how: Launch) -> int:
    """Start a program with a line on its standard input, and return its pid."""
    import tempfile  # noqa: PLC0415 - only with a hook

    with tempfile.TemporaryFile() as stdin:
        stdin.write(line)
        stdin.seek(0)
        return start_program(replace(how, stdin=stdin.fileno()))


def _line_of(notice: Notice, run: Run) -> bytes:
    """Write the message on a run for its hook and its event stream."""
    data, status = record.to_json(run), "failure"
    if notice.what == "run_started":
        # Codex has not announced its session yet: use the requested one.
        data |= {"session_id": run.thread or run.spec.resume_session}
        data |= dict.fromkeys(_NOT_YET)
        status = "running"
    elif run.has_succeeded:
        status = "success"
    told = {
        "event": notice.what,
        "status": status,
        **{name: data[name] for name in _SHOWN},
        "retryable": retryable(loose_json.text(data["error_class"])),
        "source": _SOURCE,
        "version": VERSION,
        "ts": notice.at,
    }
    return json_lines.written([told]).encode()


def _unquoted(quoted: re.Match[str]) -> str:
    """Return what a shell acts on in quotes: a `$` or a backtick in double ones."""
    is_expanded = quoted[0][0] == '"' and {*"$`"}.intersection(quoted[0])
    return "$" if is_expanded else "x"


def command_of(text: str, option: str = "--notify-cmd") -> list[str]:
    """Split a command into words as a shell does, without a shell.

    Raises:
        UsageError: the command is empty, has an open quote or needs a shell.
    """
    import shlex  # noqa: PLC0415 - only with a hook

    try:
        words = shlex.split(text)
    except ValueError as error:
        message = f"{option} {text!r} cannot be split into words: {error}"
        raise UsageError(message) from error
    if not words:
        message = f"{option} is empty: name a program and its arguments"
        raise UsageError(message)
    if found := _OF_A_SHELL.search(_QUOTED.sub(_unquoted, text)):
        message = (
            f"{option}: {found[0].strip()!r} needs a shell, and none is used: pass"
            f" {shlex.quote(f'sh -c {shlex.quote(text)}')}"
        )
        raise UsageError(message)
    return words
