"""Look through the state directory: what is ours, what is not, and who may read it.

What is not ours is named and never touched.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from functools import partial
from pathlib import Path

from parsers.struct import Struct
from parsers.text import UUID
from runner import clock, files, log_dirs, session_files, whereabouts
from runner.ledger import removed
from runner.run_files import PREFIX
from runner.service import verify_merge
from runner.service.verify_findings import Finding
from runner.session_files import SessionFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.ledger.runs import Ledger

_FILE, _DIRECTORY = 0o600, 0o700
_STALE_SECONDS = 3600.0
_INDEX = re.compile(r"runs\.db(\.damaged-[0-9-]+)?(-wal|-shm|-journal)?")
_OWN = ("prices-cache.json", "codex-versions.json", log_dirs.NAME, removed.NAME)
_USERS = "prices.toml"
_LOCKS = "locks"
_LOCK = re.compile(r".+\.lock")
_BUCKET = re.compile(r"[0-9]+")
_BUCKETS_DEEP = 3
_SESSION = (
    *("task.json", "task.log", "task.result", "task.pid"),
    # What an older tool had written before its task was taken in where it lay.
    *("task.json.imported", "task.log.imported", "task.pipe"),
)
_RUN = re.compile(
    rf"{PREFIX}(?P<run>.+)"
    r"\.(prompt|events\.jsonl|stderr|log|meta\.json|summary\.json)"
)
# What a killed command leaves: files that are being written, sessions that are being
# imported or removed.
_WRITTEN = "|".join(
    [*map(re.escape, (*_OWN, *_SESSION)), verify_merge.PROMPT.pattern, _RUN.pattern]
)
_LEFT = re.compile(rf"\.({_WRITTEN})\.[0-9a-f]{{8}}\.tmp")
_KEY = rf"({UUID.pattern}|[0-9]{{8}}-[0-9]{{6}}-[0-9]{{6}}-[0-9a-f]{{8}})"
_REMOVED = rf"{re.escape(session_files.REMOVED)}(?P<removed>{_KEY})-[0-9a-f]{{8}}"
_ASIDE = re.compile(rf"\.import-{_KEY}\.tmp|{_REMOVED}")
_META = re.compile(rf"{PREFIX}(?P<run>.+)\.meta\.json")


class Tree:
    """Walk through the state directory.

    Args:
        state_home: the state directory.
        ledger: the index, which tells whose directories are ours.
    """

    def __init__(self, state_home: Path, ledger: Ledger) -> None:
        self._home = state_home
        self._ledger = ledger
        self._runs = ledger.known()

    def differences(self) -> Iterator[Finding]:
        """Name what is foreign, left over, or open to others."""
        for entry in _entries(self._home):
            try:
                yield from self._on_top(entry)
            except OSError as error:
                yield self._closed(entry, error)

    def _on_top(self, entry: Entry) -> Iterator[Finding]:
        if entry.name == session_files.ARCHIVE:
            yield from self._archive(entry)
        elif entry.name == session_files.PENDING:
            yield from self._directory(entry, self._nameless)
        elif entry.name == _LOCKS:
            yield from self._directory(entry, partial(self._file, _LOCK))
        elif UUID.fullmatch(entry.name):
            yield from self._session(entry)
        elif entry.name in _OWN or _INDEX.fullmatch(entry.name):
            yield from self._mode(entry, _FILE)
        elif entry.name != _USERS:
            yield from self._other(entry)

    def _archive(self, entry: Entry, depth: int = 0) -> Iterator[Finding]:
        if depth == _BUCKETS_DEEP:
            below: Callable[[Entry], Iterator[Finding]] = self._session
        else:
            below = partial(self._bucket, depth + 1)
        yield from self._directory(entry, below)

    def _bucket(self, depth: int, entry: Entry) -> Iterator[Finding]:
        if _BUCKET.fullmatch(entry.name) and entry.is_directory:
            yield from self._archive(entry, depth)
        else:
            yield from self._other(entry)

    def _session(self, entry: Entry) -> Iterator[Finding]:
        if entry.is_link:
            yield self._link(entry)
        elif self._is_ours(entry):
            yield from self._directory(entry, self._in_session)
        elif (error := entry.refusal) is not None:
            # Whose it is cannot be seen.
            yield self._closed(entry, error)
        else:
            yield from self._other(entry)

    def _nameless(self, entry: Entry) -> Iterator[Finding]:
        """Look at a first run whose thread has no name, or that never came to be."""
        is_seen = entry.is_directory and not entry.is_link and entry.refusal is None
        if not is_seen or self._is_ours(entry):
            yield from self._session(entry)
            return
        paths = [
            Path(top) / name for top, _, names in os.walk(entry.path) for name in names
        ]
        if not paths and entry.is_stale:
            yield self._left(entry)
        elif not all(map(_is_of_a_run, paths)):
            yield from self._other(entry)
        elif paths:
            # It is being prepared, or whoever did that has died before it was done.
            yield from self._directory(entry, self._in_session)

    def _is_ours(self, entry: Entry) -> bool:
        return (
            entry.name in self._runs
            or bool(metas(SessionFiles(entry.path)))
            or self._ledger.sessions.find(entry.name) is not None
        )

    def _in_session(self, entry: Entry) -> Iterator[Finding]:
        paths = SessionFiles(entry.path.parent)
        if entry.is_link and entry.path in {paths.runs, paths.mailbox}:
            yield self._link(entry)
        elif entry.path == paths.runs and entry.is_directory:
            yield from self._directory(entry, partial(self._file, _RUN))
            yield from self._unrecorded(paths)
        elif entry.path == paths.mailbox and entry.is_directory:
            yield from self._directory(entry, partial(self._file, verify_merge.PROMPT))
        elif entry.name in _SESSION and not entry.is_directory:
            yield from self._mode(entry, _FILE)
        else:
            yield from self._other(entry)

    def _unrecorded(self, paths: SessionFiles) -> Iterator[Finding]:
        for run_id in sorted(unrecorded(paths) - self._runs.keys()):
            named = [
                paths.runs / name for name in files.names(paths.runs) if run_id in name
            ]
            if named and all(map(_is_stale, named)):
                yield Finding(
                    subject=self._name(paths.runs / f"{PREFIX}{run_id}"),
                    kind="unrecorded",
                    detail="files of a run that has no record",
                )

    def _file(self, pattern: re.Pattern[str], entry: Entry) -> Iterator[Finding]:
        if pattern.fullmatch(entry.name) and not entry.is_directory:
            yield from self._mode(entry, _FILE)
        else:
            yield from self._other(entry)

    def _directory(
        self, entry: Entry, below: Callable[[Entry], Iterator[Finding]]
    ) -> Iterator[Finding]:
        if not entry.is_directory:
            yield from self._other(entry)
            return
        yield from self._mode(entry, _DIRECTORY)
        try:
            inside = _entries(entry.path)
        except FileNotFoundError:
            return  # moved or removed since it was listed
        except OSError as error:
            yield self._closed(entry, error)
            return
        for each in inside:
            yield from below(each)

    def _closed(self, entry: Entry, error: OSError) -> Finding:
        return Finding(
            subject=self._name(entry.path),
            kind="closed",
            detail=f"cannot be looked into: {error.strerror}",
            hides=self._session_at(entry.path),
        )

    def _link(self, entry: Entry) -> Finding:
        """Name a link in the place of a directory, through which nothing is written."""
        return Finding(
            subject=self._name(entry.path),
            kind="link",
            detail="a link lies where its directory should, left as it is",
            hides=self._session_at(entry.path),
        )

    def _session_at(self, path: Path) -> str | None:
        """Name the session that a path belongs to."""
        for name in (path.name, path.parent.name):
            if name in self._runs or UUID.fullmatch(name):
                return self._runs.get(name, name)
        return None

    def _mode(self, entry: Entry, wanted: int) -> Iterator[Finding]:
        mode = stat.S_IMODE(entry.status.st_mode) & 0o777
        if mode != wanted and not stat.S_ISLNK(entry.status.st_mode):
            yield Finding(
                subject=self._name(entry.path),
                kind="mode",
                detail=f"its mode is {mode:04o}, not {wanted:04o}",
                mend=partial(entry.path.chmod, wanted),
            )

    def _other(self, entry: Entry) -> Iterator[Finding]:
        """Name what has no place here, if it is still there."""
        if self._is_left(entry):
            if entry.is_stale and not self._is_needed(entry):
                yield self._left(entry)
        elif os.path.lexists(entry.path) and not self._ledger.is_source(entry.path):
            detail = _foreign_as(entry)
            yield Finding(subject=self._name(entry.path), kind="foreign", detail=detail)

    def _is_left(self, entry: Entry) -> bool:
        """Tell by its exact shape whether a killed command has left it behind."""
        if stat.S_ISDIR(entry.status.st_mode):
            is_on_top = entry.path.parent == self._home
            return is_on_top and _ASIDE.fullmatch(entry.name) is not None
        is_plain = stat.S_ISREG(entry.status.st_mode)
        return is_plain and _LEFT.fullmatch(entry.name) is not None

    def _is_needed(self, entry: Entry) -> bool:
        """Tell whether it is what the index still has and somebody wanted to remove."""
        match = _ASIDE.fullmatch(entry.name)
        key = match["removed"] if match else None
        if key is None:
            return False
        row = self._ledger.sessions.find(key)
        if row is not None:
            return whereabouts.is_missing(row, self._ledger, self._home)
        unnamed = session_files.pending(self._home, key)
        return key in self._runs and not files.is_directory(unnamed.directory)

    def _left(self, entry: Entry) -> Finding:
        return Finding(
            subject=self._name(entry.path),
            kind="leftover",
            detail="left behind by a command that was killed",
            mend=partial(_remove, entry),
        )

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._home))


class Entry(Struct, kw_only=False):
    """Hold one entry of a directory: a link counts as what it leads to."""

    path: Path
    status: os.stat_result

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def is_directory(self) -> bool:
        return files.is_directory(self.path)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def refusal(self) -> OSError | None:
        """Return why a directory cannot be looked into; None when it can."""
        try:
            if self.is_directory:
                _entries(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            return error
        return None

    @property
    def is_stale(self) -> bool:
        return clock.now().timestamp() - self.status.st_mtime > _STALE_SECONDS


def places(state_home: Path) -> Iterator[SessionFiles]:
    """List the directories that are, or look like, a session's; links are none."""
    tops = [state_home, state_home / session_files.PENDING]
    for top in (*tops, *session_files.buckets(state_home)):
        for name in files.names(top):
            path = top / name
            is_one = top != state_home or UUID.fullmatch(name) is not None
            if is_one and files.is_directory(path) and not path.is_symlink():
                yield SessionFiles(path)


def metas(paths: SessionFiles) -> dict[str, Path]:
    """Name the records that lie in a session's directory, by the ids of their runs."""
    found = ((_META.fullmatch(name), name) for name in files.names(paths.runs))
    return {match["run"]: paths.runs / name for match, name in found if match}


def unrecorded(paths: SessionFiles) -> set[str]:
    """Name the runs of which a session's directory has files, but no record."""
    matches = map(_RUN.fullmatch, files.names(paths.runs))
    return {match["run"] for match in matches if match} - metas(paths).keys()


def _is_of_a_run(path: Path) -> bool:
    return bool(_RUN.fullmatch(path.name) or _LEFT.fullmatch(path.name))


def _entries(directory: Path) -> list[Entry]:
    found = []
    for name in sorted(os.listdir(directory)):  # noqa: PTH208 - names are enough
        path = directory / name
        try:
            found.append(Entry(path, path.lstat()))
        except FileNotFoundError:
            continue
    return found


def _is_stale(path: Path) -> bool:
    status = files.status(path)
    return status is not None and Entry(path, status).is_stale


def _foreign_as(entry: Entry) -> str:
    if entry.is_directory:
        told = files.read_json(SessionFiles(entry.path).json)
        if isinstance(told, dict) and "id" in told and "runs" not in told:
            return "a task of the older codex-tasks: codex-tasks import takes it in"
        if isinstance(told, dict) and told.get("id") == entry.name:
            return (
                "a task whose runs lie elsewhere and are not on record: codex-tasks"
                " import DIR takes them in from their log directory"
            )
    return "nothing of this suite's, left as it is"


def _remove(entry: Entry) -> None:
    if stat.S_ISDIR(entry.status.st_mode):
        shutil.rmtree(entry.path)
    else:
        entry.path.unlink()
