"""Find the rollouts of a run: its thread's and its sub-agents'.

Each thread is counted once, and only with the run's own share.
"""

from __future__ import annotations

from parsers.light import timedelta
from parsers.rollouts.read import read_header, read_rollout
from parsers.struct import Struct, replace
from runner import clock, files
from runner.codex import home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from parsers.light import datetime
    from parsers.paths import Path
    from parsers.rollouts.thread import Call, Header, Rollout

# Codex writes its last records shortly after its last event.
AFTERMATH = timedelta(seconds=10)
_UUID_LENGTH = 36
# Errors from the contents of a file, besides OSError.
_UNREADABLE = (OSError, MemoryError, RecursionError)


class Rollouts:
    """Find rollouts of a Codex home by searching its directories.

    `roots_of` chooses threads that are known not to be sub-agents: their files are not
    opened.
    """

    def __init__(
        self,
        codex_home: Path,
        roots_of: Callable[[Iterable[str]], set[str]] = lambda _: set(),
    ) -> None:
        self.home = codex_home
        self._roots_of = roots_of

    def paths_of(self, thread_id: str) -> list[Path]:
        """Return the rollout files of a thread, in order."""
        return home.rollouts_of(self.home, thread_id)

    def children_of(self, thread_id: str, since: datetime | None) -> Iterator[str]:
        """Return the recent threads whose header names this thread as parent."""
        recent = home.rollouts_since(self.home, since) if since else ()
        paths = {path: path.stem[-_UUID_LENGTH:] for path in recent}
        roots = self._roots_of(paths.values()) if paths else set()
        for path, name in paths.items():
            header = None if name in roots else _header(path)
            if header is not None and thread_id in _parents(header):
                yield header.thread_id


class RolloutAt(Rollouts):
    """Read one thread from a named file, wherever it is, and its agents beside it."""

    def __init__(self, codex_home: Path, thread_id: str, path: Path) -> None:
        super().__init__(codex_home)
        self._thread_id, self._path = thread_id, path

    def paths_of(self, thread_id: str) -> list[Path]:
        beside = home.rollouts_in(self._path.parent, thread_id)
        elsewhere = super().paths_of(thread_id)
        if thread_id != self._thread_id:
            return home.in_order(beside, thread_id) or elsewhere
        named = self._path.resolve()
        for found in (elsewhere, home.in_order(beside, thread_id)):
            if named in (path.resolve() for path in found):
                return found
        return [self._path]


class RolloutIndex(Rollouts):
    """Find rollouts of a Codex home in a list that is read once.

    Of copies of a file the first one counts: Codex searches the same directories in the
    same order. `faults` are directories that could not be listed, and links out of
    them, which are not followed.
    """

    def __init__(self, codex_home: Path, tops: Iterable[Path] | None = None) -> None:
        super().__init__(codex_home)
        self.faults: list[OSError] = []
        self._paths: dict[str, list[Path]] = {}
        self._children: dict[str, list[str]] = {}
        usual = (codex_home / name for name in home.TOPS)
        for top in filter(files.is_directory, usual if tops is None else tops):
            for directory, names in home.directories(top, self.faults):
                for name in names:
                    if name.startswith("rollout-") and name.endswith(home.ENDINGS):
                        self._find(directory / name, top)

    @property
    def threads(self) -> list[list[Path]]:
        """The files of each thread; a file without a header is one alone."""
        return [home.in_order(paths, name) for name, paths in self._paths.items()]

    def paths_of(self, thread_id: str) -> list[Path]:
        return home.in_order(self._paths.get(thread_id, ()), thread_id)

    def children_of(self, thread_id: str, _since: datetime | None) -> Iterator[str]:
        yield from self._children.get(thread_id, ())

    def add(self, path: Path) -> None:
        """Add a file, unless it is in the list."""
        header = _header(path)
        name = header.thread_id if header else str(path)
        known = self._paths.setdefault(name, [])
        for parent in _parents(header) if header and not known else ():
            self._children.setdefault(parent, []).append(name)
        if path not in known:
            known.append(path)

    def _find(self, path: Path, top: Path) -> None:
        fault = home.link_out(path, top)
        if fault is None:
            self.add(path)
        else:
            self.faults.append(fault)


class Slice(Struct):
    """Hold which part of a session belongs to one run.

    `offset` is the exact size of the thread's rollout before the run, in bytes;
    `since` and `until` bound the records by their times.
    """

    offset: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class RunRollouts(Struct):
    """Hold the rollouts of a run; None when its thread has no rollout."""

    thread: Rollout | None = None
    agents: tuple[Rollout, ...] = ()


def read_rollouts(
    where: Path | Rollouts, session_id: str | None, share: Slice, named: Iterable[str]
) -> RunRollouts:
    """Read the rollouts of a run.

    Args:
        where: their Codex home, or its index.
        session_id: the run's thread.
        share: the run's part of the thread.
        named: sub-agent threads that the run's events name.
    """
    rollouts = where if isinstance(where, Rollouts) else Rollouts(where)
    paths = rollouts.paths_of(session_id) if session_id else []
    thread = _read(paths, share, offset=share.offset)
    if thread is None or session_id is None:
        return RunRollouts()
    children = rollouts.children_of(session_id, share.since)
    names = (*named, *thread.spawned_thread_ids, *children)
    # Times cannot separate calls: run 1 starts a sub-agent, then run 2 resumes the
    # session while run 3 resumes the sub-agent's thread, so both call models at once.
    own_turns = {turn.turn_id for turn in thread.turns}
    found = _agents(rollouts, session_id, [(name, 0) for name in names], share)
    agents = (made_for(own_turns, agent) for agent, _ in found)
    return RunRollouts(thread=thread, agents=tuple(a for a in agents if a.calls))


def made_for(turns: Collection[str], agent: Rollout) -> Rollout:
    """Return a sub-agent with those of its calls that were made for turns of its root.

    Old versions of Codex write no turns: then all of its calls.
    """
    calls = (c for c in agent.calls if not turns or c.root_turn_id in {None, *turns})
    return replace(agent, calls=tuple(calls))


def read_turns(
    rollouts: Rollouts,
    session_id: str,
    threads: Sequence[Rollout],
    named: Sequence[Iterable[str]],
) -> list[RunRollouts]:
    """Read the rollouts of all turns of a thread: those of their sub-agents.

    Each call belongs to one turn: by its place in the file, that of a sub-agent by the
    turn of the thread that it was made for, else by the turn that named the sub-agent
    first.

    Args:
        rollouts: the rollouts of a Codex home.
        session_id: the thread.
        threads: what its own rollout says of each turn.
        named: sub-agent threads that the events of each turn name.
    """
    if not threads:
        return []
    owner: dict[str | None, int] = {
        turn.turn_id: number
        for number, thread in enumerate(threads)
        for turn in thread.turns
    }
    wanted = [
        (name, number)
        for number, thread in enumerate(threads)
        for name in (*named[number], *thread.spawned_thread_ids)
    ]
    wanted += [(name, 0) for name in rollouts.children_of(session_id, None)]
    own_turns = {None, *owner}
    agents: list[list[Rollout]] = [[] for _ in threads]
    for agent, number in _agents(rollouts, session_id, wanted, Slice()):
        shares: dict[int, list[Call]] = {}
        for call in agent.calls:
            # A turn of its own: another program has resumed the sub-agent's thread.
            if not owner or call.root_turn_id in own_turns:
                at = owner.get(call.root_turn_id, number)
                shares.setdefault(at, []).append(call)
        for at, calls in shares.items():
            agents[at].append(replace(agent, calls=tuple(calls)))
    return [
        RunRollouts(thread=thread, agents=tuple(mine))
        for thread, mine in zip(threads, agents, strict=True)
    ]


def _agents(
    rollouts: Rollouts, session_id: str, wanted: list[tuple[str, int]], share: Slice
) -> Iterator[tuple[Rollout, int]]:
    """Read sub-agents and theirs, each once, with the number of its first name."""
    seen = {session_id}
    while wanted:
        name, number = wanted.pop(0)
        agent = None if name in seen else _read(rollouts.paths_of(name), share)
        seen.add(name)
        if agent is not None:
            wanted += [(each, number) for each in agent.spawned_thread_ids]
            yield agent, number


def _read(
    paths: Sequence[Path], share: Slice, *, offset: int | None = None
) -> Rollout | None:
    by_time = offset is None
    try:
        if paths:
            return read_rollout(
                files.lines_of(paths),
                from_offset=offset or 0,
                since=clock.iso(share.since) if share.since and by_time else None,
                until=clock.iso(share.until) if share.until else None,
            )
    except _UNREADABLE:
        pass
    return None


def _header(path: Path) -> Header | None:
    """Read a file's header; None when it has none or is compressed."""
    try:
        with files.reader(path) as stream:
            return read_header(stream)
    except OSError:
        return None


def _parents(header: Header) -> set[str]:
    """Return the threads in a sub-agent's header."""
    named = {header.session_id, header.parent_thread_id} - {None, header.thread_id}
    return {name for name in named if name is not None}
