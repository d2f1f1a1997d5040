"""Stop sessions: cancel waiting prompts, and end runs with all their processes.

One transaction cancels the prompts and marks the runs as stopped; then the supervisors
get a signal, all at once. If a supervisor is gone, this command kills the processes.
"""

from __future__ import annotations

from parsers.light import ExitStack, signal, suppress
from parsers.struct import Struct
from runner import clock
from runner.clock import iso
from runner.config import RUN_MARKER
from runner.errors import RunnerError, RunnerFault
from runner.exports import queue_files
from runner.lifecycle import recover, timer
from runner.lifecycle.handoff import STOP_SIGNAL
from runner.lifecycle.judge import Cause, Exit
from runner.lifecycle.liveness import Life, codex_of, left_by, life_of, place_of
from runner.model import Outcome
from runner.process import cgroup
from runner.process.signals import send
from runner.process.table import by_environment, is_alive, this_process
from runner.process.tree import DescendantTree, Termination, below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.config import Config
    from runner.ledger.database import Cell
    from runner.ledger.ledger import Ledger
    from runner.lifecycle.launch import Started
    from runner.model import ProcessId, Run

_PACE_SECONDS = 0.02
# A supervisor that has not ended after twice the grace time is killed.
_PATIENCE = 2.0
_GIVE_UP_SECONDS = 60.0
# How long to wait for a locked ledger before Codex is ended all the same.
_HURRY_SECONDS = 3.0


class Stopped(Struct):
    """Hold the result of stopping a session.

    `has_ended` is true when a run, or processes of an earlier run, were ended.
    `canceled` counts the canceled prompts. `notes` are for people, `error` is the
    failure.
    """

    name: str
    short_id: str
    has_ended: bool
    canceled: int
    notes: tuple[str, ...]
    error: RunnerError | None


class ElsewhereError(RunnerFault):
    """Report a run whose processes this command cannot signal."""

    code = "elsewhere"

    def __init__(self, run: Run, where: str) -> None:
        super().__init__(
            f"run {run.run_id} cannot be ended here: {where}",
            f"stop it there; if that is gone: codex-tasks stop --gone {run.run_id}",
        )


def stop_sessions(
    keys: Sequence[int], ledger: Ledger, settings: Config, *, is_gone: bool = False
) -> list[Stopped]:
    """Stop sessions; return when none of their processes is left.

    Sessions that were started inside a run of these are stopped as well. With `is_gone`
    the user asserts that runs of unknown state are gone.
    """
    stops = {key: _Stop(key, ledger, settings, is_gone=is_gone) for key in keys}
    refusal = _cancel(stops, ledger)
    if inside := _inside(keys, ledger):
        inner = {key: _Stop(key, ledger, settings, is_gone=False) for key in inside}
        refusal = _cancel(inner, ledger) or refusal
        stops |= inner
    for stop in stops.values():
        stop.is_asked = refusal is None
    began = clock.monotonic()
    while True:
        going = [stop for stop in stops.values() if stop.step()]
        if not going:
            break
        if clock.monotonic() - began >= _GIVE_UP_SECONDS:
            for stop in going:
                stop.give_up()
            break
        clock.sleep(_PACE_SECONDS)
    if refusal is not None:
        _cancel_again(stops, ledger)
    timer.ring(settings.state_home)
    with suppress(RunnerError):
        # A prompt that was sent meanwhile relied on a supervisor to deliver it.
        unrecorded = recover.sweep(ledger, settings).unrecorded
        for key in unrecorded.keys() & stops.keys():
            stops[key].error = stops[key].error or RunnerFault(unrecorded[key])
    return [stop.result() for stop in stops.values()]


def _cancel_again(stops: dict[int, _Stop], ledger: Ledger) -> None:
    """Cancel what the verdicts on the signalled runs have not canceled already."""
    if (refusal := _cancel(stops, ledger)) is not None:
        for stop in stops.values():
            stop.note_waiting(refusal)
    with suppress(RunnerError):
        numbers = [int(path.name) for path in queue_files.all_files(ledger.home)]
        for key in stops:
            queue_files.refresh(ledger, key, numbers)


def _inside(keys: Sequence[int], ledger: Ledger) -> list[int]:
    """List the other sessions whose supervisors were started inside a run of these.

    Their supervisors would end as descendants, and the next command would deliver what
    waits in their queues.
    """
    marked, unfinished = by_environment(RUN_MARKER), ledger.runs.unfinished()
    found = list(keys)
    for key in found:  # it grows: an inner run may have started others
        names = ledger.runs.ids(key)
        inside = {process for name in names for process in marked.get(name, ())}
        inner = (run.session for run in unfinished if run.supervisor in inside)
        found += [each for each in dict.fromkeys(inner) if each not in found]
    return found[len(keys) :]


def end_started(
    started: Started, number: int, ledger: Ledger, settings: Config
) -> None:
    """End the run that this command has started.

    A supervisor that has not claimed the run yet keeps the signal until it has.
    """
    if not send(started.supervisor, number):
        end_run(ledger.runs.find(started.run_id), number, ledger, settings)


def end_run(run: Run, number: int, ledger: Ledger, settings: Config) -> None:
    """End one run with a signal, if it is alive.

    A supervisor gets the signal, and the run ends soon after. Without a supervisor,
    Codex and its descendants are ended and the run is judged before this returns.

    Raises:
        RunnerFault: the record cannot be read.
    """
    life = life_of(run, settings.state_home)
    if life is Life.SUPERVISOR and run.supervisor is not None:
        send(run.supervisor, number)
    if life is not Life.CODEX:
        return
    with recover.in_charge(run, settings.state_home):
        ending = _end_of_orphan(run, settings)
        while not ending.step():
            clock.sleep(_PACE_SECONDS)
        cause = Cause.STOP if number == STOP_SIGNAL else Cause.SIGNAL
        ended = Exit(cause=cause, cause_value=number)
        recover.reconcile_run(run, ledger, settings, ended)


class _Stop:
    """Stop one session, a step at a time.

    `is_asked` says that what ran then is marked in the ledger: other runs came later.
    """

    is_asked = False
    # Canceled prompts whose turn had begun: `canceled_count` has those that had not.
    begun = 0

    def __init__(
        self, key: int, ledger: Ledger, settings: Config, *, is_gone: bool
    ) -> None:
        self._key = key
        self._ledger = ledger
        self._settings = settings
        self._is_gone = is_gone
        session = ledger.sessions.get(key)
        self._name, self._short_id = session.name, session.short_id
        self._was_canceled = ledger.queue.canceled(key)
        self._began = iso(clock.now())
        self._signaled: dict[str, float] = {}
        self._orphans: dict[str, Termination] = {}
        self._locks = ExitStack()
        self._left: Termination | None = None
        self._has_left = False
        self._groups: set[str] = set()
        self._notes: list[str] = []
        self.error: RunnerError | None = None

    def step(self) -> bool:
        """Do the next step; return whether a process of the session still runs."""
        if self.error is not None:
            return False
        try:
            living = [run for run in self._to_end() if self._press(run)]
            return bool(living) or not self._leftovers_ended()
        except RunnerError as error:
            self.error = error
            return False

    def give_up(self) -> None:
        for run in self._to_end():
            message = f"run {run.run_id} does not end: kill -9 its processes"
            self.error = RunnerFault(message)

    def note_waiting(self, refusal: RunnerError) -> None:
        with suppress(RunnerError):
            if waiting := len(self._ledger.queue.waiting(self._key)):
                message = (
                    f"what was running has ended, but the waiting prompts ({waiting})"
                    f" are not canceled and will be delivered: {refusal}"
                )
                self.error = self.error or RunnerFault(message)

    def result(self) -> Stopped:
        self._locks.close()
        canceled, ended = 0, {*self._signaled, *self._orphans}
        with suppress(RunnerError):
            # The mark alone stops a run whose Codex is not started yet.
            since: dict[str, Cell] = {"session": self._key, "at": self._began}
            ended |= {row["run_id"] for row in self._ledger.all("stopped", **since)}
            runs = [self._ledger.runs.find(run_id) for run_id in ended]
            ended -= {run.run_id for run in runs if run.has_succeeded}
            self._name = self._ledger.sessions.get(self._key).name
            canceled = self._ledger.queue.canceled(self._key) - self._was_canceled
            canceled += self.begun
        return Stopped(
            name=self._name,
            short_id=self._short_id,
            has_ended=bool(ended) or self._has_left,
            canceled=canceled,
            notes=tuple(self._notes),
            error=self.error,
        )

    def _to_end(self) -> list[Run]:
        runs = self._ledger.runs.unfinished(self._key)
        return [run for run in runs if run.is_stop_asked or not self.is_asked]

    def _press(self, run: Run) -> bool:
        """Do the next step to end a run; return whether it is still alive."""
        life, place = life_of(run, self._settings.state_home), place_of(run)
        is_orphan = life is Life.CODEX or run.run_id in self._orphans
        if life is Life.UNKNOWN and not (is_orphan or self._is_gone):
            raise ElsewhereError(run, place.reason or "its locks are gone")
        if (is_orphan or life is Life.SUPERVISOR) and not place.is_here:
            raise ElsewhereError(run, "it runs in another PID namespace")
        ended = None
        if is_orphan:
            if run.run_id not in self._orphans:
                in_charge = recover.in_charge(run, self._settings.state_home)
                self._locks.enter_context(in_charge)
                self._orphans[run.run_id] = _end_of_orphan(run, self._settings)
            if not self._orphans[run.run_id].step():
                return True
            ended = Exit(cause=Cause.STOP, cause_value=STOP_SIGNAL)
        elif life is Life.SUPERVISOR:
            self._signal(run)
            return True
        elif life is Life.UNKNOWN:
            # The user has asserted that the run's machine is gone.
            ended = Exit()
        over = recover.reconcile_run(run, self._ledger, self._settings, ended)
        return not over.is_finished

    def _signal(self, run: Run) -> None:
        """Send the stop signal once; kill a supervisor that does not end."""
        supervisor, now = run.supervisor, clock.monotonic()
        if supervisor is None:
            return  # a supervisor that claims the run later finds it stopped
        at = self._signaled.get(run.run_id)
        if at is None:
            send(supervisor, STOP_SIGNAL)
            self._signaled[run.run_id] = now
        elif now - at >= self._settings.grace_seconds * _PATIENCE:
            # The next step ends the processes that it leaves.
            send(supervisor, signal.SIGKILL)

    def _leftovers_ended(self) -> bool:
        """End processes that the session's earlier runs have left running."""
        if self._left is None:
            runs, key = self._ledger.runs, self._key
            last = None if cgroup.is_possible() else runs.latest(key)
            # Without its supervisor, processes of a run may be missed.
            is_lost = last is not None and last.outcome is Outcome.LOST
            if last is not None and (is_lost or last.run_id in self._orphans):
                self._notes.append(
                    f"the supervisor of run {last.run_id} was gone: processes that"
                    " left its process tree and environment may still run"
                )
            marked, groups = by_environment(RUN_MARKER), cgroup.by_run()
            over = {*runs.ids(key)} - {run.run_id for run in runs.unfinished(key)}
            self._groups = groups.keys() & over
            found: set[ProcessId] = set()
            for run_id in over:
                found.update(marked.get(run_id, ()), groups.get(run_id, ()))
            for left in filter(None, map(left_by, runs.leaving(key))):
                found.update(left, below(*(each.pid for each in left)))
            members = sorted(found - {this_process()}, key=lambda each: each.pid)
            self._has_left = bool(members)
            self._left = Termination(
                lambda: None,
                lambda: [each for each in members if is_alive(each)],
                self._settings.grace_seconds,
            )
        is_over = self._left.step()
        for run_id in self._groups if is_over else ():
            cgroup.remove(run_id)
        return is_over


def _end_of_orphan(run: Run, settings: Config) -> Termination:
    """Build the termination of a Codex without supervisor, with its descendants."""
    root = codex_of(run)
    tree = DescendantTree(root, remember=True) if root else None

    def members() -> list[ProcessId]:
        codex = codex_of(run)
        found = set(tree.members() if tree else ())
        found.update(by_environment(RUN_MARKER).get(run.run_id, ()))
        found.update(cgroup.by_run().get(run.run_id, ()))
        found -= {this_process(), codex}
        return [codex, *found] if codex else [*found]

    members()  # the tree records them before the first signal is sent
    return Termination(lambda: codex_of(run), members, settings.grace_seconds)


def _cancel(stops: dict[int, _Stop], ledger: Ledger) -> RunnerError | None:
    """Cancel waiting prompts, in one transaction for all sessions; return an error.

    A full disk, or a process that was suspended inside a transaction, must not keep
    Codex running: the cancellation is tried again when all runs have ended.
    """
    try:
        with ledger.impatient(_HURRY_SECONDS):
            done = ledger.queue.stop(stops)
    except RunnerError as error:
        return error
    for prompt in done:
        stops[prompt.session].begun += prompt.begun
        with suppress(RunnerError):
            queue_files.refresh(ledger, prompt.session, [prompt.id])
    return None
