"""Find the turns of a log in its thread's rollout, where no record names their place.

A log names its own end: the figure of the thread after its last turn, else how that
turn ended. Times only choose among turns that agree with it.
"""

from __future__ import annotations

from parsers.accounting.tokens import Usage
from parsers.light import timedelta
from parsers.rollouts import records
from parsers.rollouts.read import read_parts
from parsers.struct import Struct, replace
from runner import files
from runner.accounting.rollouts import RunRollouts, read_turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsers.facts import Facts
    from parsers.light import datetime
    from parsers.paths import Path
    from runner.accounting.rollouts import Rollouts, Slice

# What all versions print, up to 0.120 no reasoning tokens.
_PRINTED = ("input_tokens", "cached_input_tokens", "output_tokens")
_KIND_WITHIN = 120  # bytes
# Other tools record whole seconds.
_ROUNDED = timedelta(seconds=1)


class _Part(Struct, kw_only=False):
    """One turn of a rollout: where it begins, when, and what its events would say.

    The usage of `facts` is the thread's, `share` the turn's own.
    """

    place: int
    began_at: datetime | None
    facts: Facts
    share: Usage | None


def rollouts_of_log(
    facts: Facts, thread_id: str, share: Slice, rollouts: Rollouts
) -> RunRollouts:
    """Read the rollouts of a log's turns; none when it is not known which they are.

    Args:
        facts: the facts of the log.
        thread_id: its thread.
        share: when its run began and ended, if that is known.
        rollouts: the rollouts of a Codex home.
    """
    if not (paths := rollouts.paths_of(thread_id)):
        return RunRollouts()
    from runner.foreign.sources import UNREADABLE  # noqa: PLC0415 - not without one

    try:
        turns = _parts_of(paths)
        last = _last_of(facts, share, turns)
        first = -1 if last is None else last + 1 - max(facts.turns, 1)
        if last is None or first < 0:
            return RunRollouts()
        places = [0, turns[first].place, *(turn.place for turn in turns[last + 1 :])]
        threads = read_parts(files.lines_of(paths), places[:3])
    except UNREADABLE:
        return RunRollouts()
    named = [(), facts.agent_threads, ()][: len(threads)]
    return read_turns(rollouts, thread_id, threads, named)[1]


def _parts_of(paths: Sequence[Path]) -> list[_Part]:
    from runner.foreign import eventlines, sources  # noqa: PLC0415 - a rare need
    from runner.foreign.rollouts import own_turns  # noqa: PLC0415

    # Of a thread's commands, which may be many, none is needed.
    header, turns = own_turns(paths, _tells_a_turn)
    found, before = [], Usage()
    for turn in turns:
        ended, failure, _ = turn.end(header.cli_version)
        facts = eventlines.facts_of_turn(None, turn.items.values(), ended, failure)
        facts = replace(facts, usage=turn.usage)
        share, before = turn.usage and turn.usage - before, turn.usage or before
        found.append(_Part(turn.place, sources.instant(turn.at), facts, share))
    return found


def _tells_a_turn(line: bytes) -> bool:
    is_prompt = b'"type":"user_message"' in line[:_KIND_WITHIN]
    return is_prompt or records.worth_of(line) in {"figures", "anything"}


def _last_of(facts: Facts, share: Slice, turns: Sequence[_Part]) -> int | None:
    """Return the index of the turn that a log ends with, if there is only one."""
    found = [at for at, turn in enumerate(turns) if _agree(facts, turn)]
    tests: tuple[Callable[[_Part], bool], ...] = (
        lambda turn: facts.ended == turn.facts.ended,
        lambda turn: _says_the_same(facts, turn.facts),
        lambda turn: _is_in(turn, share),
    )
    for is_own in tests:
        found = [at for at in found if is_own(turns[at])] or found
    return found[0] if len(found) == 1 else None


def _agree(log: Facts, turn: _Part) -> bool:
    """Return whether a log may end with a turn: by figure, else by end and answer."""
    usage = turn.share if log.is_share else turn.facts.usage
    has_figure = log.usage is not None or log.uncached_tokens is not None
    if log.ended != "completed" or not has_figure or usage is None:
        # A text for people does not say how it ended; up to 0.142 a turn that failed
        # after a message is written as completed.
        is_open = log.kind == "log" and log.ended is None
        has_end = is_open or (log.ended is None) == (turn.facts.ended is None)
        return has_end and _says_the_same(log, turn.facts)
    if log.usage is None:
        return usage.uncached_tokens == log.uncached_tokens
    return all(getattr(log.usage, each) == getattr(usage, each) for each in _PRINTED)


def _says_the_same(log: Facts, turn: Facts) -> bool:
    return (log.final_message or "").strip() == (turn.final_message or "").strip()


def _is_in(turn: _Part, share: Slice) -> bool:
    if turn.began_at is None or share.since is None:
        return False
    until = (share.until or turn.began_at) + _ROUNDED
    return share.since - _ROUNDED <= turn.began_at <= until
