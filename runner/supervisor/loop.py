"""Attend a running Codex to its end: its output, its limits, its processes.

One loop, whose order is the documentation: signals, children that ended, output,
limits, the ladder.
"""

from __future__ import annotations

import os

from parsers.facts import facts_of_summary
from runner import clock, files
from runner.config import HOOK_MARKER
from runner.errors import FileFault
from runner.ledger import record
from runner.lifecycle import liveness
from runner.lifecycle.handoff import STOP_SIGNAL
from runner.lifecycle.judge import Cause, Exit
from runner.process.signals import SignalInbox, reap
from runner.process.table import carries, comm, exists, identify, writers_of
from runner.process.terminate import Termination
from runner.process.tree import DescendantTree
from runner.supervisor.limits import LimitsWatch
from runner.tail import RunTail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from parsers.facts import Facts
    from runner.config import Config
    from runner.exports.task_files import Chronicle
    from runner.model import ProcessId
    from runner.notify import Notifier
    from runner.run_files import RunFiles
    from runner.supervisor.recorder import RunRecorder
    from runner.tail import Appended

_PACE_SECONDS = 0.05
_ENDING_PACE_SECONDS = 0.02
# A Codex that has been silent for a while is looked at less often; its end and
# signals are heard at once all the same.
_SILENT_AFTER_SECONDS = 2.0
_SILENT_PACE_SECONDS = 0.2
# Tools that Codex has just ended take a moment to go; what is still there after it
# was left running on purpose.
_LINGER_SECONDS = 0.5
_LINGER_PACE_SECONDS = 0.002
# How long a process may take from its fork to the program that it is to run.
_EXEC_SECONDS = 0.3


class SuperviseLoop:
    """Be with one Codex process until it and, if it is ended, all below it are gone.

    Args:
        keeper: the run and its record.
        chronicle: the files of its session.
        settings: for the place of Codex's rollouts.
        notifier: whose hooks are children of this process too.
        on_session: what is called with the thread id that Codex announces, until it
            says that this is done.
    """

    def __init__(
        self,
        keeper: RunRecorder,
        chronicle: Chronicle,
        settings: Config,
        notifier: Notifier,
        on_session: Callable[[str], bool],
    ) -> None:
        self._keeper = keeper
        self._chronicle = chronicle
        self._notifier = notifier
        self._on_session = on_session
        self._watch = RunTail(self._files)
        self._family = DescendantTree(os.getpid())
        self._patience = LimitsWatch(keeper.run.spec.limits, settings.codex_home)
        self._codex = 0
        self._status: int | None = None
        self._last_status = 0
        self._heard_at = clock.monotonic()
        self._cause: tuple[Cause, float] | None = None
        self._ladder: Termination | None = None
        self._is_announced = False

    def attend(self, codex: int, inbox: SignalInbox) -> Exit:
        """Return when Codex has ended, by itself or by us."""
        self._codex = codex
        while not self._kept_up(self._is_over):
            self._kept_up(lambda: self._hear(inbox))
            self._kept_up(self._reap)
            self._kept_up(self._read)
            self._kept_up(self._notifier.end_late_ones)
            self._kept_up(self._limit)
        # The ladder may have seen that all are gone before their status was taken.
        self._kept_up(self._reap)
        self._kept_up(self._read_rest)
        return self._exit()

    def _kept_up(self, step: Callable[[], bool | None]) -> bool:
        """Take a step; tell what it tells, False when it could not be taken.

        Nobody else hears the signals of this run and enforces its limits: whatever the
        machine refuses (a descriptor, memory), the other steps are taken all the same
        and this one is tried again.
        """
        try:
            return bool(step())
        except Exception as error:  # noqa: BLE001 - a bug in a view must not cost them either
            self._keeper.warn(
                f"Codex could not be attended: {str(error) or repr(error)}"
            )
            return False

    @property
    def answer(self) -> str | None:
        """Return the last thing that Codex has said."""
        return self._watch.digest.final_message

    @property
    def seen(self) -> Facts:
        """Return what Codex has said, also in a file that has been removed since."""
        return facts_of_summary(self._watch.digest)

    @property
    def _files(self) -> RunFiles:
        # They move when Codex names the session that they lie in.
        return record.files_of(self._keeper.run.spec)

    def _pace(self) -> float:
        if self._ladder is not None:
            return _ENDING_PACE_SECONDS
        is_silent = clock.monotonic() - self._heard_at > _SILENT_AFTER_SECONDS
        return _SILENT_PACE_SECONDS if is_silent else _PACE_SECONDS

    def leftovers(self) -> list[dict[str, object]]:
        """Name what Codex has left running: pid and short name of each process."""
        left: list[ProcessId] = []
        self._kept_up(lambda: left.extend(self._lingering()))
        return [{"pid": m.pid, "name": comm(m)} for m in left]

    def _lingering(self) -> list[ProcessId]:
        deadline = clock.monotonic() + _LINGER_SECONDS
        while (members := self._members()) and clock.monotonic() < deadline:
            clock.sleep(_LINGER_PACE_SECONDS)
            self._reap()
        return members

    def _hear(self, inbox: SignalInbox) -> None:
        for number in inbox.wait(self._pace()):
            is_order = number == STOP_SIGNAL
            self._end(Cause.ORDER if is_order else Cause.SIGNAL, number)

    def _is_over(self) -> bool:
        if self._ladder is not None:
            return self._ladder.step()
        return self._status is not None

    def _limit(self) -> None:
        if self._ladder is None and self._status is None:
            self._family.look()
            if limit := self._patience.exceeded(self._watch.digest):
                self._end(*limit)

    def _end(self, cause: Cause, value: float) -> None:
        if self._ladder is None:
            self._cause = (cause, value)
            self._ladder = Termination(self._native, self._members)

    def _native(self) -> ProcessId | None:
        if self._status is not None:
            return None
        return liveness.native_codex(self._files.events) or identify(self._codex)

    def _members(self) -> list[ProcessId]:
        hooks = self._notifier.pids
        members = self._family.members(without=hooks)
        run_id = self._keeper.run.run_id
        marked = [m.pid for m in members if carries(m, HOOK_MARKER, run_id)]
        if not marked:
            return members
        # What a hook left behind was adopted here; below it may be a run of its own,
        # or be the Codex of one whose supervisor was killed.
        return self._family.members(without=[*hooks, *marked])

    def _reap(self) -> None:
        for pid, status in reap():
            if pid == self._codex:
                self._codex_ended(status)
            elif not self._notifier.ended(pid, os.waitstatus_to_exitcode(status)):
                self._last_status = status
        if self._status is None and not exists(self._codex):
            # A launcher in between took its status, and has told it by its own.
            self._status = self._last_status

    def _codex_ended(self, status: int) -> None:
        native = self._survivor()
        if native is None:
            self._status = status
        else:
            # Only the launcher has gone: Codex itself is ours now.
            self._codex = native.pid

    def _survivor(self) -> ProcessId | None:
        """Find the Codex that its launcher has left; it may be about to become one."""
        events = self._files.events
        deadline = clock.monotonic() + _EXEC_SECONDS
        while (native := liveness.native_codex(events)) is None:
            if clock.monotonic() > deadline or not writers_of(events):
                break
            clock.sleep(_LINGER_PACE_SECONDS)
        return native

    def _read(self) -> None:
        written = self._watch.read()
        if written.lines:
            self._heard_at = clock.monotonic()
            self._write(written)
        thread_id = self._watch.digest.thread_id
        if thread_id is not None and not self._is_announced:
            self._is_announced = self._on_session(thread_id)

    def _read_rest(self) -> None:
        for written in self._watch.finish():
            self._write(written)

    def _write(self, written: Appended) -> None:
        self._chronicle.wrote(self._keeper.run, written.lines)
        if not written.text:
            return
        try:
            files.append_text(self._files.log, written.text)
        except FileFault as error:
            self._keeper.warn(str(error))

    def _exit(self) -> Exit:
        cause, value = self._cause or (None, 0)
        code = None if self._status is None else os.waitstatus_to_exitcode(self._status)
        return Exit(
            process_exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            cause=cause,
            cause_value=value,
        )
