"""Supervise a running Codex to its end, and tell of the verdict.

One loop, whose order is the documentation: signals, children that ended, output,
limits, termination. All that comes after the launch is imported here, so that nothing
is loaded any more when Codex is at work.
"""

from __future__ import annotations

import os
from functools import partial

from runner import clock, files
from runner.accounting import prices
from runner.codex import home
from runner.config import HOOK_MARKER
from runner.exports import queue_files, run_exports
from runner.exports.task_files import TaskExport
from runner.lifecycle.finish import RunEnd, finish, finish_unstarted
from runner.lifecycle.handoff import STOP_SIGNAL, STOP_SIGNALS
from runner.lifecycle.judge import Cause, Exit
from runner.lifecycle.liveness import native_codex
from runner.lifecycle.queue import deliver_next
from runner.model import OUTCOMES
from runner.notify import Notifier
from runner.process import cgroup
from runner.process.signals import reap
from runner.process.table import (
    carries,
    comm,
    exists,
    identify,
    this_process,
    writers_of,
)
from runner.process.tree import DescendantTree, Termination
from runner.run_files import files_of
from runner.tail import RunTail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from parsers.exec_events.summary import EventSummary
    from runner.config import Config
    from runner.model import Limits, ProcessId, Run, Verdict
    from runner.process.signals import SignalInbox
    from runner.supervisor.recorder import RunRecorder
    from runner.tail import Appended

_PACE_SECONDS = 0.05
_ENDING_PACE_SECONDS = 0.02
# A Codex that has been silent for a while is looked at less often; its end and
# signals end the wait at once all the same.
_SILENT_AFTER_SECONDS = 2.0
_SILENT_PACE_SECONDS = 0.2
# Tools that Codex has just ended take a moment to go; what is still there after it
# was left running on purpose.
_LINGER_SECONDS = 0.5
_LINGER_PACE_SECONDS = 0.002
# How long a process may take from its fork to the program that it is to run.
_EXEC_SECONDS = 0.3
# A rollout is looked at this often within the stall limit.
_CHECKS_PER_LIMIT = 8
# Codex notes the rate limits with every reply, also of a stream that broke off, so a
# thread that reconnects for ever has a growing file (0.169).
_NO_PROGRESS = b'"type":"token_count"'
_HEAD_BYTES = 200


class SuperviseLoop:
    """Bring one run to its end, on record, and tell others of it."""

    def __init__(
        self, recorder: RunRecorder, inbox: SignalInbox, settings: Config
    ) -> None:
        run, ledger = recorder.run, recorder.ledger
        self._recorder, self._inbox, self._settings = recorder, inbox, settings
        self._export = TaskExport(ledger, recorder.attempt)
        self._notifier = Notifier(ledger, settings, recorder.warn)
        self._files = files_of(run.spec)
        self._tail = RunTail(self._files)
        self._tree = DescendantTree(run.supervisor or this_process())
        self._limits = LimitsWatch(run.spec.limits, settings.codex_home)
        self._codex = 0
        self._status: int | None = None
        self._last_status = 0
        self._heard_at = clock.monotonic()
        self._cause: tuple[Cause, float] | None = None
        self._termination: Termination | None = None

    def refuse(self, why: Verdict) -> None:
        """End a run whose Codex is not started."""
        self._close(finish_unstarted(self._recorder.run, why, self._recorder.warnings))

    def attend(self, codex: int) -> None:
        """Be with Codex until it and, if it is ended, all below it are gone."""
        recorder, settings = self._recorder, self._settings
        self._notifier.tell(recorder.run.run_id)
        # Before the run is over it can still be fixed.
        if trouble := prices.trouble(settings.state_home):
            recorder.warn(trouble)
        if recorder.run.spec.resume_session is not None:
            self._guarded(lambda: self._export.begin(recorder.run))
        self._codex = codex
        while not self._guarded(self._is_over):
            self._guarded(self._hear)
            self._guarded(self._reap)
            self._guarded(self._read)
            self._guarded(self._recorder.flush)
            self._guarded(self._notifier.end_late_ones)
            self._guarded(self._check_limits)
        # The termination may have seen that all are gone before their status was taken.
        self._guarded(self._reap)
        self._guarded(self._read_rest)
        end = RunEnd(
            at=clock.now(),
            exit=self._exit(),
            # What Codex has said, also in a file that has been removed since.
            seen=self._tail.summary.facts(),
            left_running=self._left_running(),
            warnings=recorder.warnings,
        )
        self._close(finish(recorder.run, end, recorder.ledger, settings))

    def _close(self, over: Run) -> None:
        """Put the verdict on record, write the exports, and tell others.

        A slow hook holds up neither the session nor the caller.
        """
        recorder, ledger, session = self._recorder, self._recorder.ledger, over.session
        recorder.finish(over)
        run, answer = recorder.run, self._tail.summary.final_message
        cgroup.remove(run.run_id)
        recorder.attempt(lambda: self._export.finish(run, answer))
        run_exports.write_end(run, recorder.attempt)
        changed = [] if run.spec.prompt_id is None else [run.spec.prompt_id]
        recorder.attempt(lambda: queue_files.refresh(ledger, session, changed))
        recorder.pipe.send(finished=True)
        if run.outcome is None or OUTCOMES[run.outcome].then != "left":
            recorder.attempt(self._deliver)
        recorder.attempt(lambda: ledger.runs.note_exported(run.run_id))
        self._notifier.tell(run.run_id)
        self._notifier.wait(self._inbox, STOP_SIGNALS)
        recorder.attempt(ledger.back_up_daily)
        recorder.add_late_warnings()

    def _deliver(self) -> None:
        recorder = self._recorder
        session, ledger = recorder.run.session, recorder.ledger
        if (started := deliver_next(session, ledger, self._settings)) is not None:
            started.reader.close()

    def _guarded(self, step: Callable[[], bool | None]) -> bool:
        """Take a step; return what it returns, False when it could not be taken.

        No other process hears the signals of this run and enforces its limits: whatever
        the machine refuses (a descriptor, memory), the other steps are taken all the
        same and this one is tried again.
        """
        try:
            return bool(step())
        except Exception as error:  # noqa: BLE001 - a bug in an export must not cost them either
            text = f"Codex could not be supervised: {str(error) or repr(error)}"
            self._recorder.warn(text)
            return False

    def _left_running(self) -> list[dict[str, object]]:
        """Name what Codex has left running: which process, and its short name."""
        left: list[ProcessId] = []

        def look() -> None:
            deadline = clock.monotonic() + _LINGER_SECONDS
            while (members := self._members()) and clock.monotonic() < deadline:
                clock.sleep(_LINGER_PACE_SECONDS)
                self._reap()
            left.extend(members)

        self._guarded(look)
        return [
            {"pid": each.pid, "name": comm(each), "start_time": each.start_time}
            for each in left
        ]

    def _hear(self) -> None:
        if self._termination is not None:
            pace = _ENDING_PACE_SECONDS
        elif clock.monotonic() - self._heard_at > _SILENT_AFTER_SECONDS:
            pace = _SILENT_PACE_SECONDS
        else:
            pace = _PACE_SECONDS
        for number in self._inbox.wait(pace):
            self._end(Cause.STOP if number == STOP_SIGNAL else Cause.SIGNAL, number)

    def _is_over(self) -> bool:
        if self._termination is not None:
            return self._termination.step()
        return self._status is not None

    def _check_limits(self) -> None:
        if self._termination is None and self._status is None:
            self._tree.look()
            if limit := self._limits.exceeded(self._tail.summary):
                self._end(*limit)

    def _end(self, cause: Cause, value: float) -> None:
        if self._termination is None:
            self._cause = (cause, value)
            grace = self._settings.grace_seconds
            self._termination = Termination(self._native, self._members, grace)

    def _native(self) -> ProcessId | None:
        if self._status is not None:
            return None
        return native_codex(self._files.events) or identify(self._codex)

    def _members(self) -> list[ProcessId]:
        hooks = self._notifier.pids
        members = self._tree.members(without=hooks)
        run_id = self._recorder.run.run_id
        marked = [m.pid for m in members if carries(m, HOOK_MARKER, run_id)]
        if not marked:
            return members
        # What a hook left behind was adopted here; below it may be a run of its own,
        # or be the Codex of one whose supervisor was killed.
        return self._tree.members(without=[*hooks, *marked])

    def _reap(self) -> None:
        for pid, status in reap():
            if pid == self._codex:
                if (native := self._survivor()) is None:
                    self._status = status
                else:
                    # Only the launcher has gone: Codex itself is ours now.
                    self._codex = native.pid
            elif not self._notifier.ended(pid, os.waitstatus_to_exitcode(status)):
                self._last_status = status
        if self._status is None and not exists(self._codex):
            # A launcher in between took its status, and has passed it on by its own.
            self._status = self._last_status

    def _survivor(self) -> ProcessId | None:
        """Find the Codex that its launcher has left; it may be about to become one."""
        events = self._files.events
        deadline = clock.monotonic() + _EXEC_SECONDS
        while (native := native_codex(events)) is None:
            if clock.monotonic() > deadline or not writers_of(events):
                break
            clock.sleep(_LINGER_PACE_SECONDS)
        return native

    def _read(self) -> None:
        appended = self._tail.read()
        self._note_progress()
        if appended.events or appended.errors:
            self._heard_at = clock.monotonic()
            self._write(appended)

    def _read_rest(self) -> None:
        for appended in self._tail.finish():
            self._guarded(self._note_progress)
            self._guarded(partial(self._write, appended))

    def _note_progress(self) -> None:
        """Put on record the thread that Codex names, and the beginning of its turn."""
        recorder, summary = self._recorder, self._tail.summary
        if summary.thread_id is not None and recorder.run.thread is None:
            recorder.set_thread(summary.thread_id, self._export.begin)
        if summary.has_begun and not recorder.run.has_begun:
            recorder.begin_turn()

    def _write(self, appended: Appended) -> None:
        run = self._recorder.run
        self._export.append(run, appended)
        if run.spec.is_flat and (text := appended.text):
            log = self._files.log
            self._recorder.attempt(lambda: files.append_text(log, text))

    def _exit(self) -> Exit:
        cause, value = self._cause or (None, 0)
        code = None if self._status is None else os.waitstatus_to_exitcode(self._status)
        return Exit(
            process_exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            cause=cause,
            cause_value=value,
        )


class LimitsWatch:
    """Tell when a run has used up its time, or has stood still for too long.

    Progress is an event that is no reconnect message, a command that is running, or
    a record in a rollout file of the thread or of its sub-agents: while an agent waits
    for another, its own event stream says nothing.
    """

    def __init__(self, limits: Limits, codex_home: Path) -> None:
        self._limits = limits
        self._home = codex_home
        self._began = self._progressed = self._checked = clock.monotonic()
        self._progress = 0
        self._sizes: dict[str, int] = {}

    def exceeded(self, summary: EventSummary) -> tuple[Cause, float] | None:
        """Name the limit that has been passed, with its seconds."""
        now = clock.monotonic()
        timeout, stall = self._limits.timeout, self._limits.stall
        if timeout is not None and now - self._began >= timeout:
            return Cause.TIMEOUT, timeout
        announcement = self._limits.announcement or float("inf")
        if summary.thread_id is None and now - self._began >= announcement:
            return Cause.SILENCE, announcement
        if stall is None:
            return None
        if summary.progress != self._progress or summary.is_command_running:
            self._progress, self._progressed = summary.progress, now
        if now - self._checked >= stall / _CHECKS_PER_LIMIT:
            self._checked = now
            threads = (summary.thread_id, *summary.agent_threads)
            # A list, not a generator: the size of every rollout is noted.
            have_grown = [self._has_grown(thread) for thread in threads if thread]
            if any(have_grown):
                self._progressed = now
        if now - self._progressed >= stall:
            return Cause.STALL, stall
        return None

    def _has_grown(self, thread_id: str) -> bool:
        """Return whether a thread's rollout has new records since the last look."""
        path = home.rollout_of(self._home, thread_id)
        before = self._sizes.get(thread_id)
        try:
            size = self._sizes[thread_id] = path.stat().st_size if path else 0
            if path is None or before is None or size <= before:
                return False
            with files.reader(path) as file:
                file.seek(before)
                return any(_NO_PROGRESS not in line[:_HEAD_BYTES] for line in file)
        except OSError:
            return False
