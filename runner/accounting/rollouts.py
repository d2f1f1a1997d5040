"""Find the rollouts that tell what a run used: its thread's and its sub-agents'.

Each thread is counted once, and only for what is the run's own share.
"""

from __future__ import annotations

from datetime import timedelta

from parsers.rollouts.read import read_header_line, read_rollout
from parsers.struct import Struct, replace
from runner import clock, files
from runner.codex import home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from parsers.rollouts.thread import Rollout

# Codex's last records come some moments after its last event.
AFTERMATH = timedelta(seconds=10)
# A header is one line that holds the model's base instructions too.
HEADER_BYTES = 1 << 20


class Slice(Struct):
    """Tell which part of a session is one run's.

    `offset` is where the thread's rollout ended before the run, in bytes, which is
    exact; `since` and `until` bound the records by their own times.
    """

    offset: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class RunRollouts(Struct):
    """Hold what the rollouts say of a run; None when its thread has no rollout."""

    thread: Rollout | None = None
    agents: tuple[Rollout, ...] = ()


def read_rollouts(
    codex_home: Path, session_id: str | None, share: Slice, named: Iterable[str]
) -> RunRollouts:
    """Read the rollouts of a run.

    Args:
        codex_home: where Codex keeps them.
        session_id: the run's thread.
        share: the run's part of it.
        named: sub-agent threads that the run's events name.
    """
    path = home.rollout_of(codex_home, session_id) if session_id else None
    if path is None or session_id is None:
        return RunRollouts()
    thread = _read(path, share, offset=share.offset)
    if thread is None:
        return RunRollouts()
    wanted = [*named, *thread.spawned_thread_ids]
    wanted += _spawned_since(codex_home, session_id, share)
    own_turns = {turn.turn_id for turn in thread.turns}
    agents = _agents(codex_home, wanted, share, seen={session_id})
    return RunRollouts(
        thread=thread,
        agents=tuple(
            agent for each in agents if (agent := of_these_turns(each, own_turns)).calls
        ),
    )


def of_these_turns(agent: Rollout, turns: set[str]) -> Rollout:
    """Leave out a sub-agent's calls that were made for the turns of another run.

    Their times do not tell them apart: run 1 makes a sub-agent, then run 2 resumes the
    session while run 3 resumes the sub-agent's thread, so both call models at once.
    """
    calls = tuple(
        call
        for call in agent.calls
        if call.root_turn_id is None or not turns or call.root_turn_id in turns
    )
    return replace(agent, calls=calls)


def _agents(
    codex_home: Path, wanted: list[str], share: Slice, seen: set[str]
) -> Iterator[Rollout]:
    while wanted:
        thread_id = wanted.pop(0)
        if thread_id in seen:
            continue
        seen.add(thread_id)
        path = home.rollout_of(codex_home, thread_id)
        agent = _read(path, share) if path else None
        if agent is not None:
            wanted += agent.spawned_thread_ids
            yield agent


def _read(path: Path, share: Slice, *, offset: int | None = None) -> Rollout | None:
    by_time = offset is None
    try:
        with files.reader(path) as stream:
            return read_rollout(
                stream,
                from_offset=offset or 0,
                since=clock.iso(share.since) if share.since and by_time else None,
                until=clock.iso(share.until) if share.until else None,
            )
    except OSError:
        return None


def _spawned_since(codex_home: Path, session_id: str, share: Slice) -> Iterator[str]:
    """Name the sub-agent threads that say themselves which session they are of."""
    if share.since is None:
        return
    for path in home.rollouts_since(codex_home, share.since):
        try:
            with files.reader(path) as stream:
                header = read_header_line(stream.readline(HEADER_BYTES))
        except OSError:
            continue
        if header is None or header.thread_id == session_id:
            continue
        if session_id in {header.session_id, header.parent_thread_id}:
            yield header.thread_id
