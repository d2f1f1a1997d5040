"""Codex's home directory: the rollout files and the writer of a thread.

`$CODEX_HOME/sessions/YYYY/MM/DD/rollout-<local time>-<thread id>.jsonl`, and
`archived_sessions/` for threads that Codex has archived (0.50 to 0.169). When an
application reverts a thread to an earlier turn, Codex goes on in another file, whose
name has `_<revision>`, a UUID of version 7, after the thread's id.

The program that writes to a thread holds an exclusive `flock` on the empty file
`$CODEX_HOME/thread-writer-locks/<thread id>.lock` (0.147 to 0.171). Codex takes it only
while it holds `.coordination.lock` beside it, for which it waits. This module holds
that lock while it tries the other one, so a Codex that starts meanwhile does not fail.
"""

from __future__ import annotations

import errno
import os
from functools import partial

from parsers import json_text, loose_json
from parsers.light import UTC, datetime, pattern, suppress, timedelta
from parsers.paths import Path
from parsers.text import uuid
from runner import clock, files, locks
from runner.errors import FileFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

_UUID_VERSION_WITH_TIME = "7"
# Codex has three levels; users add copies beside them.
_DEEPEST = 8
TOPS = ("sessions", "archived_sessions")
ENDINGS = (".jsonl", ".jsonl.zst", ".jsonl.gz")
_LENGTHS = (4, 7, 10)  # of YYYY, YYYY/MM and YYYY/MM/DD
_COORDINATION = ".coordination.lock"
# Codex holds that lock for less than a millisecond.
_TRIES, _TRY_AGAIN_SECONDS = 10, 0.002
# Their values are names of variables; the last is a table of them.
_OF_SECRETS = ("env_key", "bearer_token_env_var", "env_http_headers")
_SYSTEM, _TIER = Path("/etc/codex/config.toml"), "service_tier"
_KERNEL_LOCKS = Path("/proc/locks")


def rollouts_of(home: Path, thread_id: str, *, or_packed: bool = False) -> list[Path]:
    """Find the rollout files of a thread, in the order in which they were written.

    The id contains its time, so the directories of that day and later ones (the names
    are in local time) are searched first.
    """
    tops = [home / top for top in TOPS]
    every = (directory for top in tops for directory, _ in directories(top))
    look = partial(rollouts_in, thread_id=thread_id, or_packed=or_packed)
    for places in (_days(home, made_at(thread_id)), every):
        if found := [path for each in places for path in look(each)]:
            return in_order(found, thread_id)
    return []


def rollouts_in(
    directory: Path, thread_id: str, *, or_packed: bool = False
) -> list[Path]:
    """Find the rollout files of a thread in one directory."""
    own = (f"-{thread_id}.jsonl", f"-{thread_id}_")
    names = [name for name in _names(directory) if own[0] in name or own[1] in name]
    endings = ENDINGS if or_packed else ENDINGS[:1]
    return [directory / name for name in names if name.endswith(endings)]


def has_saved(home: Path, thread_id: str) -> bool:
    """Return whether a thread has a rollout that is not empty, or a compressed one."""
    return size_of(rollouts_of(home, thread_id, or_packed=True)) > 0


def in_order(paths: Iterable[Path], thread_id: str) -> list[Path]:
    """Sort the files of a thread, each once: the first one, then its revisions.

    A file with another name is a copy, which counts when there is no other.
    """
    found: dict[str, Path] = {}
    for path in paths:
        rest = path.name.partition(thread_id)[2]
        revision, _, ending = rest.partition(".")
        is_own = f".{ending}" in ENDINGS and (not revision or uuid(revision[1:]))
        found.setdefault(rest if is_own else "", path)
    copies = [found.pop("")] if "" in found else []
    return [found[name] for name in sorted(found)] or copies


def size_of(paths: Iterable[Path]) -> int:
    """Return the bytes of all files of a thread."""
    return sum(status.st_size for path in paths if (status := files.status(path)))


def made_at(thread_id: str) -> datetime | None:
    """Read the time in the id of a thread; None when it has none."""
    if thread_id[14:15] != _UUID_VERSION_WITH_TIME:
        return None
    milliseconds = int(thread_id[:8] + thread_id[9:13], 16)
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def threads_named(home: Path, name: str) -> set[str]:
    """Return the threads with this name in Codex; their last one counts."""
    names: dict[object, object] = {}
    for line in files.read_if_there(home / "session_index.jsonl").splitlines():
        told = loose_json.mapping(loose_json.load_or_empty(line))
        names[uuid(told.get("id"))] = told.get("thread_name")
    return {str(thread) for thread, known in names.items() if thread and known == name}


def configured(home: Path, given: Sequence[str], *path: object) -> object:
    """Return a value of Codex's configuration, in which `-c KEY=VALUE` counts most.

    What cannot be read counts as empty: Codex itself reports it.
    """
    return _value(_texts(home), given, path)


def key_variables(home: Path, given: Sequence[str]) -> set[str]:
    """Name the variables that Codex's configuration names as those of secrets."""
    todo, names = [*_trees(_texts(home), given, _OF_SECRETS)], set[str]()
    for tree in todo:  # it grows
        for key, value in loose_json.mapping(tree).items():
            todo.append(value)
            if key in _OF_SECRETS:
                names.update(map(str, loose_json.mapping(value).values() or [value]))
    return names


def _texts(home: Path) -> list[str]:
    found = [files.read_if_there(each) for each in (_SYSTEM, home / "config.toml")]
    return [text.decode(errors="replace") for text in found]


def tier_of(given: Sequence[str], home: Path) -> tuple[str, bool]:
    """Return the configured service tier, and whether a command line gave it.

    `given` are the words of the command line; its `-c key=value` precede `config.toml`.
    """
    is_given = (told := _value((), given, (_TIER,))) is not None
    found = told if is_given else configured(home, (), _TIER)
    return loose_json.text(found) or "", is_given


def _value(
    texts: Iterable[str], given: Sequence[str], path: Sequence[object]
) -> object:
    found: object = None
    for tree in _trees(texts, given, [str(path[0])]):
        for name in path:
            tree = loose_json.mapping(tree).get(str(name))  # noqa: PLW2901 - it descends
        found = found if tree is None else tree
    return found


def _trees(
    texts: Iterable[str], given: Sequence[str], words: Collection[str]
) -> Iterator[object]:
    """Read the texts of TOML and the words of `-c` that have one of some words."""
    choices = [[text] for text in texts]
    for word in given:
        key, _, value = word.removeprefix("--config=").removeprefix("-c").partition("=")
        # A value that is no TOML is a text.
        choices.append([f"{key}={text}" for text in (value, json_text.dumps(value))])
    for either in choices:
        if not any(word in either[0] for word in words):
            continue  # parsing TOML would take as long as the start of Codex
        import tomllib  # noqa: PLC0415 - 6 ms, seldom needed

        for text in either:
            with suppress(ValueError, RecursionError):
                yield tomllib.loads(text)
                break


def directories(
    top: Path, faults: list[OSError] | None = None
) -> Iterator[tuple[Path, list[str]]]:
    """Walk a tree of rollouts: each directory and the names of its files.

    Links to directories are not followed; `faults` collects the errors of directories,
    and links out of the tree.
    """
    onerror = None if faults is None else faults.append
    highest = len(top.parts)
    for name, below, names in os.walk(top, onerror=onerror):
        directory = Path(name)
        below.sort()
        if faults is not None:
            out = (link_out(directory / each, top) for each in below)
            faults += filter(None, out)
        if len(directory.parts) - highest >= _DEEPEST:
            below.clear()
        yield directory, sorted(names)


def link_out(path: Path, top: Path) -> OSError | None:
    """Return an error when a path is a link out of a tree."""
    if not os.path.islink(path):  # noqa: PTH114 - a light path has no such test
        return None
    if path.resolve().is_relative_to(top.resolve()):
        return None
    return OSError(errno.ELOOP, "it is a link out of the directory", str(path))


def rollouts_since(home: Path, since: datetime) -> Iterator[Path]:
    """List recent rollout files that were written since an instant.

    Only the directories of the days from `since` on are searched: an older thread is
    found by its id.
    """
    for directory in _days(home, since):
        for name in _names(directory):
            status = files.status(directory / name)
            if status and status.st_mtime >= since.timestamp():
                yield directory / name


def writer_of(home: Path, thread_id: str) -> int | None:
    """Name the process that writes to a thread; None when there is none.

    It is the native Codex, never the npm launcher above it, and may be an app server
    that holds threads of other programs. 0 means that the pid of the writer is unknown.

    The kernel's table of locks is read first. It does not list holders in other PID
    namespaces and on other machines, so a file without an entry is locked for a moment.
    This happens only if the file exists: Codex removes it at its end, and leaves it
    only when it is killed.

    Raises:
        FileFault: this process has run out of descriptors or memory.
    """
    path = home / "thread-writer-locks" / f"{thread_id.lower()}.lock"
    if (status := files.status(path)) is None:
        return None
    pid = _locker(status)
    if pid is None and _is_taken(path):
        return _locker(status) or 0
    return pid


def _locker(wanted: os.stat_result) -> int | None:
    """Return the process with an exclusive lock on a file, from the kernel's table."""
    try:
        table = _KERNEL_LOCKS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    device = f"{os.major(wanted.st_dev):02x}:{os.minor(wanted.st_dev):02x}"
    entry = rf"(?m)^\d+: FLOCK +\S+ +WRITE +(\d+) (\S+):{wanted.st_ino} "
    for pid, named in pattern(entry).findall(table):
        if named == device or _has_open(pid, wanted):
            return int(pid)
    return None


def _has_open(pid: str, wanted: os.stat_result) -> bool:
    # On btrfs the table has another device than `stat`.
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as handles:
        return any(os.path.samestat(each.stat(), wanted) for each in handles)
    return False


def _is_taken(path: Path) -> bool:
    """Try a thread's lock while no Codex can; a Codex that starts waits 50 ms."""
    for _ in range(_TRIES):
        try:
            guard = locks.take(path.with_name(_COORDINATION), must_exist=True)
        except FileFault:
            return locks.look(path) is locks.Lock.HELD
        if guard is not None:
            try:
                return locks.look(path) is locks.Lock.HELD
            finally:
                os.close(guard)
        clock.sleep(_TRY_AGAIN_SECONDS)
    return True


def _days(home: Path, since: datetime | None) -> Iterator[Path]:
    """List the directories of the days from one before an instant on."""
    if since is None:
        return
    first = f"{since.astimezone() - timedelta(days=1):%Y/%m/%d}"
    below = [""]
    for length in _LENGTHS:
        every = (
            f"{up}{name}"
            for up in below
            for name in files.names(home / "sessions" / up)
        )
        below = [f"{name}/" for name in every if name >= first[:length]]
    yield from (home / "sessions" / name for name in below)


def _names(directory: Path) -> list[str]:
    return [name for name in files.names(directory) if name.startswith("rollout-")]
