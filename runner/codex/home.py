"""Codex's home directory: where the rollout file of a thread lies.

`$CODEX_HOME/sessions/YYYY/MM/DD/rollout-<local time>-<thread id>.jsonl`, and
`archived_sessions/` for threads that Codex has archived (0.50 to 0.169).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runner import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_UUID_VERSION_WITH_TIME = "7"
# Codex has three levels, people put copies beside.
_DEEPEST = 8


def rollout_of(home: Path, thread_id: str) -> Path | None:
    """Find the rollout file of a thread.

    The id holds the time it was made at, so the directories of that day and its
    neighbours (the names are in local time) are looked into first.
    """
    for directory in _likely_days(home, thread_id):
        if found := _in_directory(directory, thread_id):
            return found
    for top in ("sessions", "archived_sessions"):
        for directory, _ in directories(home / top):
            if found := _in_directory(directory, thread_id):
                return found
    return None


def directories(
    top: Path, faults: list[OSError] | None = None
) -> Iterator[tuple[Path, list[str]]]:
    """Walk through a tree of rollouts: each directory and the names of its files.

    Args:
        top: where it begins; links in it are not followed.
        faults: gathers what could not be listed.
    """
    onerror = None if faults is None else faults.append
    highest = len(top.parts)
    for name, below, names in os.walk(top, onerror=onerror):
        directory = Path(name)
        below.sort()
        if len(directory.parts) - highest >= _DEEPEST:
            below.clear()
        yield directory, sorted(names)


def rollouts_since(home: Path, since: datetime) -> Iterator[Path]:
    """List rollout files that were written to since an instant, of recent days.

    Only the directories of the days from `since` on are looked into: a thread made
    earlier is found by its id.
    """
    day = since.astimezone() - timedelta(days=1)
    last = clock.now().astimezone() + timedelta(days=1)
    while day <= last:
        directory = home / "sessions" / f"{day:%Y/%m/%d}"
        for name in _names(directory):
            path = directory / name
            try:
                if path.stat().st_mtime >= since.timestamp():
                    yield path
            except OSError:
                continue
        day += timedelta(days=1)


def _likely_days(home: Path, thread_id: str) -> Iterator[Path]:
    if thread_id[14:15] != _UUID_VERSION_WITH_TIME:
        return
    milliseconds = int(thread_id[:8] + thread_id[9:13], 16)
    try:
        made = datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return
    for shift in (0, -1, 1):
        yield home / "sessions" / f"{made + timedelta(days=shift):%Y/%m/%d}"


def _in_directory(directory: Path, thread_id: str) -> Path | None:
    ending = f"-{thread_id}.jsonl"
    return next(
        (directory / name for name in _names(directory) if name.endswith(ending)), None
    )


def _names(directory: Path) -> list[str]:
    try:
        names = [path.name for path in directory.iterdir()]
    except OSError:
        return []
    return [name for name in names if name.startswith("rollout-")]
