"""Supervise a running Codex until its end, and record the verdict.

One loop with the steps: signals, ended children, output, limits, termination. All
modules are imported here, so nothing is imported any more while Codex runs.
"""

from __future__ import annotations

import os
from functools import partial

from parsers.light import signal
from parsers.struct import replace
from runner import clock, files
from runner.accounting import prices
from runner.arrivals import Arrivals, path_of
from runner.codex.binary import known_version, version_of
from runner.config import HOOK_MARKER
from runner.exports import queue_files, run_exports
from runner.exports.task_files import TaskExport

# Needed at the end of the run, when the suite may have been replaced.
from runner.ledger import fate, homes  # noqa: F401
from runner.lifecycle import timer, worktree
from runner.lifecycle.finish import RunEnd, finish, finish_unstarted
from runner.lifecycle.handoff import STOP_SIGNAL, STOP_SIGNALS
from runner.lifecycle.judge import Cause, exit_of
from runner.lifecycle.liveness import native_of
from runner.model import Mode
from runner.notify import Notifier
from runner.process import cgroup
from runner.process.growth import GrowthSignal
from runner.process.signals import reap
from runner.process.table import (
    carries,
    described,
    exists,
    identify,
    this_process,
    writers_among,
)
from runner.process.tree import DescendantTree, Termination
from runner.run_files import files_of
from runner.supervisor import timer as _timer  # noqa: F401 - as above
from runner.supervisor.beside import Beside
from runner.supervisor.changes import ChangesWatch
from runner.supervisor.check import Check
from runner.supervisor.delivery import deliver_after
from runner.supervisor.limits import LimitsWatch
from runner.tail import RunTail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.config import Config
    from runner.model import ProcessId, Run, Verdict
    from runner.process.signals import SignalInbox
    from runner.supervisor.beside import Task
    from runner.supervisor.budget import BudgetWatch
    from runner.supervisor.recorder import RunRecorder
    from runner.tail import Appended

_ENDING_PACE_SECONDS = 0.02
# The standard output of a supervisor is the log of its run.
_LOG = 1
# How soon a step that failed is tried again.
_RETRY_SECONDS = 0.25
# How often files are looked at whose growth is not signalled.
_LOOK_SECONDS = 1.0
# Tools that Codex has just killed take a moment to exit; processes that are alive after
# it were left running on purpose.
_LINGER_SECONDS = 0.5
_LINGER_PACE_SECONDS = 0.002
# How long Codex may take to say its version, and a process from its fork to its exec.
_ASK_SECONDS, _EXEC_SECONDS = 10.0, 0.3


class SuperviseLoop:
    """Supervise one run to its end, record the verdict, and send notifications."""

    def __init__(
        self, recorder: RunRecorder, inbox: SignalInbox, settings: Config
    ) -> None:
        run, ledger = recorder.run, recorder.ledger
        # Each is loaded when it is first asked for: now, not at the end of the run.
        _ = ledger.queue, ledger.usage, ledger.outbox
        if run.spec.terms.verify is not None:
            import shlex  # noqa: F401, PLC0415 - for the check, as above
        self._recorder, self._inbox, self._settings = recorder, inbox, settings
        self._export = TaskExport(ledger, recorder.attempt)
        self._notifier = Notifier(ledger, settings, recorder.warn)
        self._files = files_of(run.spec)
        self._tree = DescendantTree(run.supervisor or this_process())
        self._limits: LimitsWatch | Check = LimitsWatch(
            run.spec.limits, settings.codex_home
        )
        self._budget: BudgetWatch | None = None
        if run.spec.terms.has_budget:
            from runner.supervisor.budget import BudgetWatch  # noqa: PLC0415 - few have

            self._budget = BudgetWatch(recorder, settings)
        self._codex = 0
        self._status: int | None = None
        self._last_status = 0
        self._beside = Beside(ledger)
        self._version: Task | None = None
        self._changes = ChangesWatch(recorder, self._beside, settings)
        self._check: Check | None = None
        self._left: list[int] = []
        watched, is_own = (self._files.events, self._files.stderr), not run.spec.is_flat
        self._growth = GrowthSignal(self._files.directory, watched, is_own=is_own)
        times = path_of(settings.state_home, run.run_id)
        arrivals = Arrivals(times, is_exact=self._growth.is_exact)
        self._tail = RunTail(self._files, arrivals=arrivals)
        self._has_failed = False
        self._cause: tuple[Cause, float, str | None] | None = None
        self._termination: Termination | None = None

    def refuse(self, why: Verdict) -> None:
        """Finish a run whose Codex was not started."""
        if self._recorder.run.spec.terms.worktree is not None:
            worktree.clear(self._recorder.run, self._settings)
        self._close(finish_unstarted(self._recorder.run, why, self._recorder.warnings))

    def attend(self, codex: int) -> None:
        """Supervise until Codex and, if it was ended, all descendants are gone."""
        recorder, settings = self._recorder, self._settings
        self._guarded(lambda: self._notifier.tell(recorder.run.run_id))
        # While the run goes on, the user can still fix the file.
        if trouble := prices.trouble(settings.state_home):
            recorder.warn(trouble)
        for place in {settings.state_home, self._files.directory}:
            if exposed := files.exposure(place):
                recorder.warn("{} ({})".format(*exposed))
        if recorder.run.spec.resume_session is not None:
            self._guarded(lambda: self._export.begin(recorder.run))
        self._codex = codex
        self._guarded(self._ask_version)
        self._guarded(self._changes.begin)
        self._watch()
        at = clock.now()
        self._guarded(self._changes.end)
        self._guarded(self._read_rest)
        left = self._left_running()
        changes: dict[str, object] = {}
        self._guarded(lambda: changes.update(self._changes.counted()))
        end = RunEnd(
            at=at,
            exit=exit_of(self._status, self._cause),
            # Read from the open descriptor: the file may have been removed.
            seen=self._tail.summary.facts(),
            left_running=left,
            changes=changes,
            warnings=recorder.warnings,
        )
        if self._version is not None and (said := self._version.answer(_ASK_SECONDS)):
            recorder.run = replace(recorder.run, codex_version=said.decode())
        over = finish(recorder.run, end, recorder.ledger, settings, self._verify)
        self._guarded(self._changes.settle)
        self._close(over)

    def _watch(self) -> None:
        """Supervise Codex, or the check after it, to its end."""
        while not self._guarded(self._is_over):
            # Read first: what Codex wrote before this process watched is not signalled.
            self._guarded(self._read)
            self._guarded(self._recorder.flush)
            self._guarded(self._notifier.end_late_ones)
            self._guarded(self._check_limits)
            self._guarded(self._hear)
            self._guarded(self._reap)
        # The termination may see that all are gone before their status is collected.
        self._guarded(self._reap)

    def _verify(self, end: RunEnd, place: str) -> RunEnd:
        """Run the check of a completed turn in the place of Codex."""
        if self._cause is not None:
            return end
        # What Codex has left running may be what is checked: its limit spares that.
        self._left = [int(str(each["pid"])) for each in end.left_running]
        check = self._check = Check(self._recorder.run, place, self._settings)
        if check.pid is not None:
            self._codex, self._status, self._limits = check.pid, None, check
            self._watch()
        ended, self._left = exit_of(self._status, self._cause), []
        end = replace(end, at=clock.now(), left_running=self._left_running())
        if ended.cause in {None, Cause.CHECK}:
            return replace(end, check=check.end(ended))
        cause = {"cause": ended.cause, "cause_value": ended.cause_value}
        return replace(end, exit=replace(end.exit, **cause))

    def _close(self, over: Run) -> None:
        """Record the verdict, write the exports, and send notifications.

        A slow hook delays neither the session nor the caller.
        """
        recorder, ledger, session = self._recorder, self._recorder.ledger, over.session
        is_stored = recorder.finish(over)
        run, answer = recorder.run, self._tail.summary.final_message
        cgroup.remove(run.run_id)
        recorder.attempt(lambda: self._export.finish(run, answer))
        run_exports.write_end(run, recorder.attempt)
        changed = [] if run.spec.prompt_id is None else [run.spec.prompt_id]
        recorder.attempt(lambda: queue_files.refresh(ledger, session, changed))
        is_shown = is_stored and run.spec.is_flat
        recorder.pipe.send(**(run_exports.end_of(run) if is_shown else {"finished": 1}))
        has_next_turn = self._check is not None and not run.has_succeeded
        starts = not self._is_terminated()
        if starts:
            deliver_after(recorder, self._settings, has_next_turn=has_next_turn)
        self._guarded(lambda: self._notifier.tell(run.run_id))
        # What was just sent needs no timer.
        recorder.attempt(lambda: timer.wake(ledger, self._settings, starts=starts))
        # From now on the session may be archived or removed.
        recorder.attempt(lambda: ledger.runs.note_exported(run.run_id))
        self._notifier.wait(self._inbox, STOP_SIGNALS)
        recorder.attempt(ledger.back_up_daily)
        recorder.add_late_warnings()

    def _is_terminated(self) -> bool:
        """Return whether this process was sent TERM, as by a unit or system that stops.

        What it started then would be ended with it, in the middle of its turn.
        """
        cause, number, _ = self._cause or (None, 0, None)
        is_sent = cause is Cause.SIGNAL and number == signal.SIGTERM
        return is_sent or signal.SIGTERM in signal.sigpending()

    def _guarded(self, step: Callable[[], bool | None]) -> bool:
        """Run a step and return its result, or False when it failed.

        No other process handles the signals of this run and enforces its limits: when a
        step fails (no descriptor, no memory), the others still run, and it is retried.
        """
        try:
            return bool(step())
        except Exception as error:  # noqa: BLE001 - nor may a bug in an export stop them
            text = f"Codex could not be supervised: {str(error) or repr(error)}"
            self._recorder.warn(text)
            self._has_failed = True
            return False

    def _left_running(self) -> list[dict[str, object]]:
        """List processes that Codex has left running, with their short names."""
        left: list[ProcessId] = []

        def look() -> None:
            deadline = clock.monotonic() + _LINGER_SECONDS
            while (members := self._members()) and clock.monotonic() < deadline:
                clock.sleep(_LINGER_PACE_SECONDS)
                self._reap()
            left.extend(members)

        self._guarded(look)
        return [*map(described, left)]

    def _ask_version(self) -> None:
        """Ask Codex for its version while it works: then the verdict need not wait.

        A new thread's rollout names it.
        """
        recorder, settings = self._recorder, self._settings
        program = recorder.run.spec.codex.bin
        version = known_version(program, settings)
        recorder.run = replace(recorder.run, codex_version=version)
        if version is None and recorder.run.spec.mode is Mode.RESUME:
            ask = partial(version_of, program, settings)
            self._version = self._beside.start(lambda: (ask() or "").encode())  # noqa: PLW0108 - in the copy

    def _hear(self) -> None:
        for number in self._inbox.wait(self._pause()):
            self._end(Cause.STOP if number == STOP_SIGNAL else Cause.SIGNAL, number)
        self._growth.renew(has_grown=self._tail.has_grown)

    def _pause(self) -> float | None:
        """Return the seconds in which nothing is to be done, unless a signal comes.

        None is without a limit.
        """
        if self._tail.has_more:
            return 0
        pauses = [_RETRY_SECONDS] if self._has_failed else []
        self._has_failed = False
        if self._termination is not None:
            pauses.append(_ENDING_PACE_SECONDS)
        if not self._growth.is_on:
            pauses.append(_LOOK_SECONDS)
        deadlines = (
            self._limits.next_look(self._tail.summary),
            self._budget.next_look(self._tail.summary) if self._budget else None,
            self._recorder.next_retry,
            self._notifier.next_deadline,
        )
        now = clock.monotonic()
        pauses += [max(0, each - now) for each in deadlines if each is not None]
        return min(pauses, default=None)

    def _is_over(self) -> bool:
        if self._termination is not None:
            return self._termination.step()
        return self._status is not None

    def _check_limits(self) -> None:
        if self._termination is None and self._status is None:
            self._tree.look()
            if limit := self._limits.exceeded(self._tail.summary):
                self._end(*limit)
            if self._budget and (why := self._budget.exceeded(self._tail.summary)):
                self._end(Cause.BUDGET, 0, why)

    def _end(self, cause: Cause, value: float, reason: str | None = None) -> None:
        if self._cause is None or self._cause[0] is Cause.CHECK:
            self._cause = (cause, value, reason)
        if self._termination is None:
            grace = self._settings.grace_seconds
            self._termination = Termination(self._native, self._members, grace)

    def _native(self) -> ProcessId | None:
        if self._status is not None:
            return None
        native = None if self._check else native_of(self._writers())
        return native or identify(self._codex)

    def _writers(self) -> list[ProcessId]:
        """List the processes that write to the events file, parents first."""
        return writers_among(self._tree.members(), self._files.events)

    def _members(self) -> list[ProcessId]:
        hooks = [*self._notifier.pids, *self._beside.pids]
        if self._cause is not None and self._cause[0] is Cause.CHECK:
            hooks += self._left
        members = self._tree.members(without=hooks)
        run_id = self._recorder.run.run_id
        marked = [m.pid for m in members if carries(m, HOOK_MARKER, run_id)]
        if not marked:
            return members
        # Orphans of a hook were adopted here. Among them may be another run, or the
        # Codex of a run whose supervisor was killed.
        return self._tree.members(without=[*hooks, *marked])

    def _reap(self) -> None:
        for pid, status in reap():
            if pid == self._codex:
                if self._check or (native := self._survivor()) is None:
                    self._status = status
                else:
                    # Only the launcher has exited: Codex is our child now.
                    self._codex = native.pid
            elif pid in self._beside.pids:
                self._beside.pids.discard(pid)
            elif not self._notifier.ended(pid, os.waitstatus_to_exitcode(status)):
                self._last_status = status
        if self._status is None and not exists(self._codex):
            # A launcher in between collected its status, and returned it as its own.
            self._status = self._last_status

    def _survivor(self) -> ProcessId | None:
        """Find the Codex of an exited launcher; it may not have called exec yet."""
        deadline = clock.monotonic() + _EXEC_SECONDS
        while (native := native_of(writers := self._writers())) is None:
            if clock.monotonic() > deadline or not writers:
                break
            clock.sleep(_LINGER_PACE_SECONDS)
        return native

    def _read(self) -> None:
        appended = self._tail.read()
        self._note_progress()
        if appended.events or appended.errors:
            self._write(appended)

    def _read_rest(self) -> None:
        for appended in self._tail.finish():
            self._guarded(self._note_progress)
            self._guarded(partial(self._write, appended))

    def _note_progress(self) -> None:
        """Record the thread that Codex announces, and the beginning of its turn."""
        recorder, summary = self._recorder, self._tail.summary
        if summary.thread_id is not None and recorder.run.thread is None:
            recorder.set_thread(summary.thread_id, self._export.begin)
        if summary.has_begun and not recorder.run.has_begun:
            recorder.begin_turn()

    def _write(self, appended: Appended) -> None:
        run, recorder = self._recorder.run, self._recorder
        self._export.append(run, appended)
        if run.spec.is_flat and (text := appended.text):
            recorder.attempt(lambda: self._show(text))

    def _show(self, text: str) -> None:
        """Append to the log, which is standard output, and tell the caller where."""
        data = text.encode(errors="backslashreplace")
        end = files.write_all(_LOG, data, self._files.log)
        self._recorder.pipe.show(end - len(data), end, self._tail.offsets)
