"""Tasks of the older `codex-tasks` in the state directory that were not imported.

They are inserted into a ledger in memory, as an import would insert them, so every
command finds and shows them by the rules of the ledger. Nothing is written until a
command changes such a task: `stop` and `archive` do what those of the older tool did,
all others import it first.
"""

from __future__ import annotations

from parsers import json_text, loose_json
from parsers.light import suppress
from parsers.paths import Path
from parsers.struct import replace
from parsers.text import clean
from runner import clock, files
from runner.accounting.rollouts import Rollouts
from runner.accounting.run import unknown
from runner.clock import iso
from runner.codex.home import rollouts_of
from runner.errors import NoSuchTaskError, RunnerError, RunnerFault, SessionBusyError
from runner.exports.task_files import archived_at
from runner.foreign import sources
from runner.foreign.sources import Unreadable
from runner.foreign.tasks import RECORD, read_task
from runner.ledger.ledger import MemoryLedger
from runner.model import Running, TaskState
from runner.process.table import is_alive, this_process
from runner.process.tree import DescendantTree, Termination
from runner.service import foreign_runs, lookup
from runner.service.archive import Moved, size_of
from runner.service.foreign_runs import Maker, identity_of
from runner.service.importing import in_turns, take_in
from runner.service.lookup import Found
from runner.service.stop import Stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from runner.accounting.rollouts import RunRollouts
    from runner.accounting.run import RunAccounting
    from runner.config import Config
    from runner.foreign.holders import Holder
    from runner.foreign.sources import History
    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session
    from runner.model import ProcessId, Run, Spec

_PACE_SECONDS = 0.05


class OlderTasks(MemoryLedger):
    """Hold tasks in a ledger in memory.

    `histories` are those of its sessions by their keys, `unreadable` the others.

    Args:
        places: the directories of the tasks.
        settings: for the state directory and Codex's home.
        is_counted: look up their usage in rollouts.
    """

    def __init__(
        self, places: Sequence[Path], settings: Config, *, is_counted: bool
    ) -> None:
        super().__init__(settings.state_home)
        self._settings = settings
        self.histories: dict[int, History] = {}
        self.unreadable: list[Unreadable] = []
        for place in places:
            task = read_task(place, self.home)
            if isinstance(task, Unreadable):
                self.unreadable.append(task)
            elif task is not None and not task.runs:
                self.unreadable.append(Unreadable(place, "it has no prompts"))
            elif task is not None:
                self.add(task, is_counted=is_counted)

    def found(self, states: Collection[TaskState] = tuple(TaskState)) -> list[Found]:
        """Return the tasks in some states, the newest first."""
        all_ = self.sessions.all(states)
        return [Found(session=each, ledger=self, older=self) for each in all_]

    def find(self, text: str) -> Found:
        """Return the task that a text names, with its usage. Raise as `lookup.find`."""
        return self.again(lookup.find(text, self))

    def again(self, session: Session) -> Found:
        """Return a task as it is now, with its usage.

        Raises:
            NoSuchTaskError: it is not there any more.
        """
        place = self.histories[session.key].source
        now = OlderTasks([place], self._settings, is_counted=True).found()
        for each in now:
            if each.session.name == session.name:
                return each
        raise NoSuchTaskError(session.name)

    def take(self, session: Session, ledger: Ledger) -> Session:
        """Import a task that is to be changed; return its session there.

        Raises:
            SessionBusyError: it is running.
            RunnerFault: it cannot be imported.
        """
        place = self._idle(session).source
        self._refuse_other_home(session, place)
        for each in take_in([str(place)], ledger, self._settings):
            if each.reason is not None:
                message = f"{each.source}: {each.reason}"
                raise RunnerFault(message)
        return lookup.find(session.name, ledger)

    def archive(self, session: Session) -> Moved:
        """Move an idle task into the archive of the day, as the older tool did.

        Raises:
            SessionBusyError: it is running.
            RunnerFault: it cannot be moved.
        """
        place, is_new = self._idle(session).source, not session.is_archived
        if is_new:
            directory = self.home / archived_at(place.name, clock.now())
            files.make_directory(directory.parent)
            place = place.rename(directory)
            _record(place, TaskState.ARCHIVED)
        size = size_of(place)
        return Moved(name=session.name, directory=str(place), size=size, is_new=is_new)

    def stop(self, session: Session, *, is_gone: bool) -> Stopped:
        """End the process of a task, with everything that it has started."""
        name, task = session.name, self.histories[session.key]
        ends = task.holder is not None
        told = Stopped(
            name=name,
            short_id=session.short_id,
            has_ended=ends,
            canceled=0,
            notes=(),
            error=None,
        )
        if task.holder is None:
            return told
        try:
            if task.holder.doubt is None:
                end(task.holder, self._settings)
            elif not is_gone:
                message = (
                    f"task {name} is not stopped: {task.holder.doubt}: end that process"
                    " yourself"
                )
                fix = f"if the task has ended: codex-tasks stop --gone {name}"
                raise RunnerFault(message, fix)
            _record(task.source, TaskState.STOPPED)
        except RunnerError as error:
            return replace(told, error=error)
        return told

    def _idle(self, session: Session) -> History:
        task = self.histories[session.key]
        if task.holder is not None:
            name = session.name
            fix = f"codex-tasks status --wait {name}, or codex-tasks stop {name}"
            pid = task.holder.process.pid
            raise SessionBusyError(session.name, "", fix, pid=pid)
        return task

    def _refuse_other_home(self, session: Session, place: Path) -> None:
        """Refuse a task whose thread is in a home that only its record names."""
        config = sources.directory(sources.load(place / RECORD).get("config_path"))
        home, here = Path(config or "/").parent, self._settings.codex_home
        threads = (rollouts_of(each, session.name) for each in (here, home))
        if config is not None and [bool(each) for each in threads] == [False, True]:
            message = f"task {session.name} was started with --config-file {config}"
            fix = f"codex-tasks import {place} {home}"
            raise RunnerFault(message, fix)

    def add(self, task: History, *, is_counted: bool) -> None:
        """Insert the sessions of a task as an import would."""
        rollouts = Rollouts(self._settings.codex_home)
        make = _Shown if is_counted else _Listed
        for part in foreign_runs.parts_of(task):
            if foreign_runs.look_up(part, self) is not None:
                continue  # two directories have one thread
            if is_counted:
                paths = rollouts.paths_of(part.session_id or "")
                part = in_turns(part, *paths)  # noqa: PLW2901 - the same part
            made = make(part, rollouts, self._settings).runs()
            is_own = part.source.is_relative_to(self.home)
            place = clean(str(part.source.relative_to(self.home))) if is_own else None
            with self.transaction():
                key = foreign_runs.insert(part, None, made, self)
                self.change("set_exports", session=key, exports=place)
            self.histories[key] = part


class _Shown(Maker):
    """Convert all runs of a part without their files."""

    def runs(self) -> dict[str, Run]:
        """Return the runs by identity; the last one may be running."""
        part, made = self._part, list["Run"]()
        for place, run_id in enumerate(self.ids):
            told, spec = part.runs[place], self._spec(place, run_id)
            run = self._run(place, spec, self._count(place, spec))
            # No file has the rest of an answer that is cut.
            said = {**loose_json.mapping(run.accounts["said"]), "is_cut": False}
            said["final_message"] = told.answer
            end = {"accounts": {**run.accounts, "said": said}}
            made.append(replace(run, state=replace(run.state, **end)))
        if part.holder is not None:
            process, at = part.holder.process, part.runs[-1].started_at
            on = Running(supervisor=process, codex=process, started_at=at)
            made[-1] = replace(made[-1], state=on)
        names = (identity_of(part, run) for run in part.runs)
        return dict(zip(names, made, strict=True))


class _Listed(_Shown):
    """Convert them without their usage, for which rollouts would be read."""

    def _read_turns(self) -> dict[int | None, RunRollouts]:
        return {}

    def _count(self, place: int, _spec: Spec) -> RunAccounting:
        return unknown("it was not counted", self._part.runs[place].facts)


def end(holder: Holder, settings: Config) -> None:
    """End the process of a task of an older tool, with what it has started.

    Raises:
        RunnerFault: it does not end.
    """
    codex, tree = holder.process, DescendantTree(holder.process, remember=True)

    def first() -> ProcessId | None:
        return codex if is_alive(codex) else None

    def members() -> list[ProcessId]:
        found = [*filter(None, [first()]), *tree.members()]
        return [each for each in found if each != this_process()]

    members()  # the tree records them before the first signal is sent
    ending = Termination(first, members, settings.grace_seconds)
    while not ending.step():
        clock.sleep(_PACE_SECONDS)
    if members():
        message = f"process {codex.pid} does not end: kill -9 {codex.pid}"
        raise RunnerFault(message)
    # The older tool's worker writes its own word about the end: wait for it.
    until = clock.monotonic() + settings.grace_seconds
    while holder.is_alive and clock.monotonic() < until:
        clock.sleep(_PACE_SECONDS)


def _record(directory: Path, state: TaskState) -> None:
    """Write a new state into the record of a task, and remove its pid."""
    with suppress(OSError):
        told = {"state": state, "updated_at": iso(clock.now())}
        fields = {**sources.load(directory / RECORD), **told}
        files.export(directory / RECORD, json_text.dumps(fields, indent=2).encode())
    files.remove([directory / "task.pid", directory / "task.pipe"])
