"""What the rollouts of a home of Codex tell of runs that are imported.

The home is walked once, not once for each run: an import looks at thousands of them.
"""

from __future__ import annotations

from functools import cached_property

from parsers.rollouts.read import read_header_line, read_rollout
from parsers.struct import replace
from runner import clock
from runner.accounting.rollouts import HEADER_BYTES, RunRollouts, of_these_turns
from runner.codex import home
from runner.foreign import sources
from runner.foreign.history import UNKNOWN
from runner.foreign.rollouts import PREFIX, SESSIONS
from runner.foreign.turns import read_turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from parsers.rollouts.thread import Header, Rollout
    from runner.accounting.rollouts import Slice
    from runner.foreign.history import ForeignRun, History
    from runner.foreign.turn import ToldTurn

_ENDING = ".jsonl"


class Shelf:
    """The rollouts of one home of Codex."""

    def __init__(self, codex_home: Path) -> None:
        self.codex_home = codex_home

    def has(self, thread_id: str) -> bool:
        return thread_id in self._paths

    def open(self, thread_id: str, share: Slice, named: Iterable[str]) -> RunRollouts:
        """Read the part of a thread, and of its sub-agents, that one run has done.

        Args:
            thread_id: the thread.
            share: the run's part of it.
            named: sub-agent threads that the run's events name.
        """
        thread = self._read(thread_id, share, share.offset)
        if thread is None:
            return RunRollouts()
        wanted = [*named, *thread.spawned_thread_ids]
        wanted += self._children.get(thread_id, ())
        turns = {turn.turn_id for turn in thread.turns}
        agents = self._agents(wanted, share, seen={thread_id})
        narrowed = (of_these_turns(agent, turns) for agent in agents)
        return RunRollouts(
            thread=thread, agents=tuple(agent for agent in narrowed if agent.calls)
        )

    def dated(self, history: History) -> History:
        """Give runs whose times are guesses those of the turns that they are."""
        is_guessed = any(UNKNOWN in run.meta for run in history.runs)
        if not is_guessed or history.session_id is None:
            return history
        turns = self._turns(history.session_id)
        if not _are_same(history.runs, turns):
            return history
        pairs = zip(history.runs, turns, strict=False)
        return replace(history, runs=tuple(_dated(*pair) for pair in pairs))

    def _turns(self, thread_id: str) -> list[ToldTurn]:
        path = self._paths.get(thread_id)
        if path is None:
            return []
        try:
            with sources.opened(path) as stream:
                header = read_header_line(stream.readline(HEADER_BYTES))
                stream.seek(0)
                return read_turns(sources.texts(stream), header) if header else []
        except sources.UNREADABLE:
            return []

    def _agents(
        self, wanted: list[str], share: Slice, seen: set[str]
    ) -> Iterator[Rollout]:
        while wanted:
            thread_id = wanted.pop(0)
            if thread_id in seen:
                continue
            seen.add(thread_id)
            agent = self._read(thread_id, share, None)
            if agent is not None:
                wanted += agent.spawned_thread_ids
                yield agent

    def _read(self, thread_id: str, share: Slice, offset: int | None) -> Rollout | None:
        path = self._paths.get(thread_id)
        if path is None:
            return None
        since = share.since if offset is None else None
        try:
            with sources.opened(path) as stream:
                return read_rollout(
                    sources.texts(stream),
                    from_offset=offset or 0,
                    since=clock.iso(since) if since else None,
                    until=clock.iso(share.until) if share.until else None,
                )
        except sources.UNREADABLE:
            return None

    @cached_property
    def _found(self) -> list[tuple[Header, Path]]:
        found = ((_header(path), path) for path in _rollouts(self.codex_home))
        return [(header, path) for header, path in found if header is not None]

    @cached_property
    def _paths(self) -> dict[str, Path]:
        # The first one counts: Codex looks into the same places in the same order.
        return {header.thread_id: path for header, path in reversed(self._found)}

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        """Name the threads that say themselves whose they are."""
        found: dict[str, list[str]] = {}
        for header, _ in self._found:
            for parent in {header.session_id, header.parent_thread_id}:
                if parent not in {None, header.thread_id}:
                    found.setdefault(str(parent), []).append(header.thread_id)
        return found


def _rollouts(codex_home: Path) -> Iterator[Path]:
    for top in SESSIONS:
        for directory, names in home.directories(codex_home / top):
            for name in names:
                if name.startswith(PREFIX) and name.endswith(_ENDING):
                    yield directory / name


def _header(path: Path) -> Header | None:
    try:
        with sources.opened(path) as stream:
            return read_header_line(stream.readline(HEADER_BYTES))
    except OSError:
        return None


def _are_same(runs: Sequence[ForeignRun], turns: Sequence[ToldTurn]) -> bool:
    """Tell whether turns are those of the runs; later ones may be somebody else's."""
    if len(turns) < len(runs) or any(turn.began_at is None for turn in turns):
        return False
    pairs = zip(runs, turns, strict=False)
    agree = [(_words(run.prompt), _words(turn.prompt)) for run, turn in pairs]
    if len(turns) > len(runs):
        return all(asked and asked == heard for asked, heard in agree)
    return all(not asked or not heard or asked == heard for asked, heard in agree)


def _words(prompt: str | None) -> str:
    return " ".join((prompt or "").split())


def _dated(run: ForeignRun, turn: ToldTurn) -> ForeignRun:
    began_at = turn.began_at or run.started_at
    return replace(
        run,
        started_at=began_at,
        ended_at=max(began_at, turn.ended_at or began_at),
        meta={name: run.meta[name] for name in run.meta if name != UNKNOWN},
    )
