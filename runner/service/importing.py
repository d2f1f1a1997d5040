"""Import the histories that other tools have left, each session once.

When several sources record a thread, the most detailed one is imported and the others
add nothing, so no usage counts twice. A source that was written since its import
replaces its runs: the table `imports` records the source of each run. Turns of a
rollout that no run in the ledger is are added to their session. A session is one
transaction, after the files of its runs are written and before their exports: a killed
import leaves only directories without rows.
"""

from __future__ import annotations

from functools import cache, partial

from parsers import loose_json
from parsers.light import suppress, timedelta
from parsers.paths import Path
from parsers.struct import replace
from runner import clock, files, foreign
from runner.accounting.rollouts import RolloutIndex
from runner.codex import home
from runner.errors import UsageError
from runner.exports import run_exports, task_files
from runner.foreign import sources
from runner.foreign.sources import History, Other, Unreadable
from runner.foreign.tasks import ARCHIVE, RECORD, is_event_log, is_ours
from runner.run_files import PREFIX, RUNS, own_directory
from runner.service import foreign_runs, rebuild
from runner.service.findings import (
    REMOVED,
    Finding,
    SeenRollouts,
    Wish,
    identity,
)
from runner.service.foreign_runs import Maker, identity_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.config import Config
    from runner.foreign import Format
    from runner.ledger.ledger import Ledger
    from runner.model import Run
    from runner.service.findings import Word
    from runner.service.foreign_runs import Known

# The most detailed source of a session comes first.
_ORDER = ("task", "tasks", "bash", "rollouts")
# Where runs of this suite are: now, and in the state directories of 0.1 and 0.2.
_FLAT = f"{PREFIX}*.meta.json"
_METAS = (
    *(_FLAT, f"{RUNS}/*/meta.json"),
    *(f"*/{RUNS}/{_FLAT}", f".pending/*/{RUNS}/{_FLAT}"),
    f"{ARCHIVE}/*/*/*/*/{RUNS}/{_FLAT}",
)
_NOTHING = "it has no files of Codex or of a known tool"
_RUNNING = "it seems to be running: import it after its end"
# A model or a tool is silent for less than this.
_QUIET = timedelta(hours=1)


def take_in(
    places: Sequence[str],
    ledger: Ledger | None,
    settings: Config,
    wish: Wish = Wish(),  # noqa: B008 - a frozen value
) -> Iterator[Finding]:
    """Import what is in these places, by default in the usual ones.

    Args:
        places: directories, and rollout files.
        ledger: the ledger; None in a trial when there is none yet.
        settings: for the usual places.
        wish: what is imported, and whether it is only reported.

    Raises:
        UsageError: one of the places does not exist.
        RunnerFault: a file or the ledger cannot be written.
    """
    for each in places:
        place = Path(each).absolute()
        if not (files.is_directory(place) or files.is_regular(place)):
            message = f"DIR {each}: not a directory, and not a rollout file"
            raise UsageError(message, "codex-tasks import --dry-run")
    yield from Import(ledger, settings, wish).run(places)


class Import:
    """Take in histories; the homes of Codex and what was seen are those of all."""

    def __init__(self, ledger: Ledger | None, settings: Config, wish: Wish) -> None:
        self._ledger, self._settings, self._wish = ledger, settings, wish
        self._index = cache(_index_of)
        # Homes of Codex in which threads may be resumed, and all that are read.
        self._trusted = [settings.codex_home]
        self._homes = [settings.codex_home]
        self._seen: set[str] = set()  # a trial inserts no rows

    def run(self, places: Sequence[str]) -> Iterator[Finding]:
        named = [Path(each).absolute() for each in places]
        found: list[tuple[Format, Path]] = []
        for place in _each_once(named or _usual_places(self._settings)):
            try:
                formats = foreign.formats_of(place)
            except OSError as error:
                yield _unreadable(place, sources.why(error))
                continue
            found += [(each, place) for each in formats]
            if named and not formats:
                yield _unreadable(place, _NOTHING)
        found.sort(key=lambda each: _ORDER.index(each[0]))
        homes = [place for each, place in found if each == "rollouts"]
        own = (foreign.home_of(place) for place in homes if place in named)
        self._trusted += [
            home for home in own if foreign.tops_of(home) not in ([], [home])
        ]
        self._homes = _each_once([*self._trusted, *homes])
        for each, place in found:
            if each in {"tasks", "bash"}:
                yield from self._recover(place)
            try:
                if each == "rollouts":
                    yield from self._take_rollouts(place)
                else:
                    for history in self._read(each, place):
                        yield from self.take(history)
            except sources.OVERWHELMED as error:
                yield _unreadable(place, sources.why(error))

    def _read(self, each: Format, place: Path) -> Iterator[History | Unreadable]:
        match each:
            case "task":
                yield from filter(None, [foreign.read_task(place)])
            case "tasks":
                yield from foreign.read_tasks(place)
            case _:
                yield from foreign.read_bash_runs(place)

    def _take_rollouts(self, place: Path) -> Iterator[Finding]:
        """Import rollouts; one that has not changed since is not read again."""
        index, seen = self._index(place), SeenRollouts(self._ledger, self._wish)
        try:
            threads = index.threads
            if not files.is_directory(place):
                threads = [each for each in threads if place in each] or [[place]]
            for number, paths in enumerate(threads):
                self._wish.progress(number, len(threads))
                told = seen.recall(paths)
                if told is None:
                    was = identity(paths[-1])
                    found = foreign.read_rollout(*paths, is_wanted=seen.is_wanted)
                    told = [*self.take(found)] if found else []
                    seen.note(paths[-1], was, told)
                yield from told
        finally:
            seen.save()
        for fault in index.faults:
            yield _unreadable(Path(fault.filename or place), sources.why(fault))

    def _recover(self, place: Path) -> Iterator[Finding]:
        """Import runs of this suite, such as those of another state directory."""
        sessions: dict[str, list[Run]] = {}
        for meta in sorted(path for each in _METAS for path in place.glob(each)):
            if not sources.is_inside(meta, place):
                yield _unreadable(meta, sources.LINK)
                continue
            run = rebuild.lost_run(meta, self._ledger)
            if run is None or run.launched_at is None:
                continue
            if self._ledger is not None and not self._wish.is_trial:
                run = rebuild.adopt(meta, self._ledger)
            if run is not None:
                sessions.setdefault(run.thread or run.run_id, []).append(run)
        for name, runs in sessions.items():
            self._seen.add(name)
            title, ledger = _title_of(name, place), self._ledger
            if title and ledger is not None and not self._wish.is_trial:
                key = ledger.sessions.of_thread(name)
                ledger.write("restore_title", session=key, title=title, exports=None)
            yield Finding(
                word="imported",
                source=place,
                session_id=name,
                kind=rebuild.KIND,
                title=title,
                asked=runs[0].spec.task,
                runs=len(runs),
            )

    def take(self, found: History | Unreadable | Other) -> Iterator[Finding]:
        """Import one history."""
        if isinstance(found, Unreadable):
            yield _unreadable(found.source, found.reason)
        elif isinstance(found, Other):
            told = Finding(word="other", source=found.source, kind="rollout")
            name, origin = found.session_id, found.originator
            yield replace(told, session_id=name, originator=origin)
        elif found.holder is not None:
            why = f"it seems to be running (pid {found.holder.process.pid})"
            yield _unreadable(found.source, f"{why}: import it after its end")
        elif not found.runs:
            yield Finding(word="empty", source=found.source)
        else:
            for part in foreign_runs.parts_of(found):
                try:
                    yield self._take_part(part)
                except (OSError, *sources.OVERWHELMED) as error:
                    yield _unreadable(part.source, sources.why(error))

    def _take_part(self, part: History) -> Finding:
        ledger = self._ledger
        name = part.session_id or foreign_runs.ids_of(part)[0]
        known = foreign_runs.look_up(part, ledger) if ledger else None
        told = _finding("present", name, part)
        if known is None:
            seen = {"name": name, "identity": identity_of(part, part.runs[0])}
            if ledger and ledger.value("was_removed", **seen) is not None:
                return replace(told, word="removed", reason=REMOVED)
        if (
            self._wish.is_trial and name in self._seen
            if known is None
            else len(known.given) == len(part.runs) and not known.is_newer
        ):
            return told
        self._seen.add(name)
        part = self._placed(part)
        wanted = set(range(len(part.runs)))
        if known is not None and (known.is_mixed or not known.is_newer):
            wanted = {at for at in wanted if not known.has(part, part.runs[at])}
        new = tuple(part.runs[at] for at in sorted(wanted))
        # The last turn has no end: a program may still write the thread.
        is_running = part.is_open and (
            abs(clock.now() - sources.modified(part.source)) < _QUIET
            or home.writer_of(self.rollouts_of(part).home, name) is not None
        )
        if known is not None and (is_running or not (known.is_newer and new)):
            return replace(told, left_out=tuple(run.started_at for run in new))
        if is_running:
            return _unreadable(part.source, _RUNNING)
        is_trial = ledger is None or self._wish.is_trial
        if not is_trial and not self.write(part, known, wanted):
            return told
        return _finding("imported", name, replace(part, runs=new))

    def write(self, part: History, known: Known | None, wanted: set[int]) -> bool:
        """Write the wanted runs; return False if the session has changed."""
        if (ledger := self._ledger) is None:
            return False
        maker = Maker(part, self.rollouts_of(part), self._settings)
        where, kept = partial(own_directory, ledger.home), set[str]()
        fresh = {run_id for run_id in maker.ids if not where(run_id).exists()}
        try:
            made = maker.make(wanted)
            exports = _keep_old_files(part, ledger.home)
            with ledger.transaction():
                if foreign_runs.look_up(part, ledger) != known:
                    return False
                key = foreign_runs.insert(part, known, made, ledger)
                if known is None:
                    ledger.change("set_exports", session=key, exports=exports)
            kept = {run.run_id for run in made.values()}
            for run in made.values():
                run_exports.write_end(run)
            if known is not None and known.is_mixed:
                run_exports.best_effort(lambda: task_files.write_all(ledger, key))
        finally:
            for run_id in fresh.union(known.given if known else ()) - kept:
                if ledger.one("run_by_id", run_id=run_id) is None:
                    files.remove_tree(where(run_id))
        return True

    def _placed(self, part: History) -> History:
        """Determine the turns of the runs of a thread, its directory and its home."""
        rollouts = self.rollouts_of(part)
        paths, place = rollouts.paths_of(part.session_id or ""), rollouts.home
        is_trusted = bool(paths) and place in self._trusted
        part = in_turns(part, *paths)
        return replace(part, codex_home=str(place) if is_trusted else None)

    def rollouts_of(self, part: History) -> RolloutIndex:
        """Return the rollouts that a part is of, or the first that have its thread."""
        thread, indexes = part.session_id or "", map(self._index, self._homes)
        for each in indexes:
            paths = each.paths_of(thread)
            if part.source in paths or (paths and part.kind != "rollout"):
                return each
        return self._index(self._settings.codex_home)


def _index_of(place: Path) -> RolloutIndex:
    """List the rollouts of a place; beside a file may be those of its sub-agents."""
    is_file, home = files.is_regular(place), foreign.home_of(place)
    index = RolloutIndex(home, foreign.tops_of(home if is_file else place))
    if is_file:
        index.add(place)
    return index


def _title_of(name: str, place: Path) -> str | None:
    """Return the title of a task in another state directory."""
    path = place / name / RECORD
    if not files.is_regular(path):
        path = next(iter(place.glob(f"{ARCHIVE}/*/*/*/{name}/{RECORD}")), path)
    told = files.read_json(path) if sources.is_inside(path, place) else None
    return sources.said(loose_json.mapping(told).get("title"))


def in_turns(part: History, *rollouts: Path) -> History:
    """Find the turns of the runs in the rollouts of their thread, and its directory."""
    repo = part.working_dir
    if rollouts and part.kind != "rollout":
        told = foreign.read_rollout(*rollouts, is_wanted=lambda _: True)
        if isinstance(told, History):
            part = foreign_runs.matched(part, told)
            repo = repo or told.working_dir
    return replace(part, working_dir=repo or part.likely_dir)


def _usual_places(settings: Config) -> list[Path]:
    own = settings.environment.get("HOME")
    places = [
        settings.state_home,
        *([Path(own) / ".codex" / "tasks"] if own else []),
        Path(RUNS).absolute(),
        settings.codex_home,
    ]
    return [place for place in places if files.is_directory(place)]


def _each_once(places: Sequence[Path]) -> list[Path]:
    """Remove places that resolve to the same directory."""
    return list({place.resolve(): place for place in reversed(places)}.values())[::-1]


def _unreadable(source: Path, reason: str) -> Finding:
    return Finding(word="unreadable", source=source, reason=reason)


def _finding(word: Word, name: str, part: History) -> Finding:
    return Finding(
        word=word,
        source=part.source,
        session_id=name,
        kind=part.kind,
        title=part.title,
        asked=part.runs[0].prompt,
        runs=len(part.runs),
    )


def _keep_old_files(part: History, state_home: Path) -> str | None:
    """Copy files that exports would overwrite; return the directory of exports, if any.

    An older tool uses the same directory for its files of a thread. A log of events is
    not copied: exports only append to it.
    """
    places = [state_home / (part.session_id or "."), part.source]
    for place in dict.fromkeys(places):
        if not (place.is_relative_to(state_home) and (place / RECORD).is_file()):
            continue
        told = files.read_json(place / RECORD)
        if isinstance(told, dict) and is_ours(told):
            return part.session_id if place == places[0] else None
        names = [RECORD, "task.result"]
        with suppress(OSError):
            names += [] if is_event_log(place / "task.log") else ["task.log"]
        for name in names:
            copy = place / f"{name}.imported"
            if (place / name).is_file() and not copy.exists():
                files.export(copy, sources.content(place / name))
    return None
