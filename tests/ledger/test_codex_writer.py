"""Who writes to a thread of Codex: its lock is looked at, and nobody is disturbed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner import locks
from runner.codex import home
from runner.codex.home import writer_of
from runner.files import open_regular
from runner.locks import Lock

THREAD = "01a22b2c-cb88-7760-b0fe-be14a920d397"
OTHER = "01a22b2c-cb88-7760-b0fe-be14a920d398"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Lay the files out as Codex does; the lock itself is free."""
    directory = tmp_path / "thread-writer-locks"
    directory.mkdir()
    (directory / ".coordination.lock").touch()
    path = directory / f"{THREAD}.lock"
    path.touch()
    return path


@contextmanager
def taken(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold the lock of a file as another program would."""
    handle = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put an empty file in the place of the kernel's table, as a container sees it."""
    path = tmp_path / "locks"
    path.touch()
    monkeypatch.setattr(home, "_KERNEL_LOCKS", path)
    return path


def entry(path: Path, device: str = "", kind: str = "FLOCK  ADVISORY  WRITE") -> str:
    status = path.stat()
    own = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    return f"1: {kind} {os.getpid()} {device or own}:{status.st_ino} 0 EOF\n"


@pytest.mark.usefixtures("lock")
def test_nobody_writes_where_there_is_no_file(tmp_path: Path) -> None:
    assert writer_of(tmp_path, OTHER) is None
    assert writer_of(tmp_path / "nowhere", THREAD) is None


def test_a_file_that_was_left_behind_is_nobody_s(tmp_path: Path, lock: Path) -> None:
    assert writer_of(tmp_path, THREAD) is None
    assert lock.exists()


def test_whoever_holds_the_lock_is_named(tmp_path: Path, lock: Path) -> None:
    with taken(lock):
        assert writer_of(tmp_path, THREAD) == os.getpid()
        assert writer_of(tmp_path, THREAD.upper()) == os.getpid()
    assert writer_of(tmp_path, THREAD) is None


def test_the_lock_of_another_thread_is_another_s(tmp_path: Path, lock: Path) -> None:
    other = lock.with_name(f"{OTHER}.lock")
    other.touch()

    with taken(other):
        assert writer_of(tmp_path, THREAD) is None


def test_a_holder_that_the_table_leaves_out_is_none_the_less_there(
    tmp_path: Path, lock: Path, table: Path
) -> None:
    with taken(lock):
        assert writer_of(tmp_path, THREAD) == 0
        table.unlink()
        assert writer_of(tmp_path, THREAD) == 0
    assert writer_of(tmp_path, THREAD) is None


def test_a_holder_is_named_where_the_table_has_other_devices(
    tmp_path: Path, lock: Path, table: Path
) -> None:
    table.write_text(entry(lock, device="ff:ff"))

    with taken(lock):
        assert writer_of(tmp_path, THREAD) == os.getpid()


def test_the_same_inode_elsewhere_is_another_file(
    tmp_path: Path, lock: Path, table: Path
) -> None:
    table.write_text(entry(lock, device="ff:ff"))

    assert writer_of(tmp_path, THREAD) is None


@pytest.mark.parametrize(
    "kind",
    ["-> FLOCK  ADVISORY  WRITE", "POSIX  ADVISORY  WRITE", "FLOCK  ADVISORY  READ "],
)
def test_whoever_waits_or_shares_is_no_writer(
    tmp_path: Path, lock: Path, table: Path, kind: str
) -> None:
    table.write_text(entry(lock, kind=kind))

    assert writer_of(tmp_path, THREAD) is None


@pytest.mark.usefixtures("table")
def test_whoever_asks_does_not_hinder_others_who_ask(
    tmp_path: Path, lock: Path
) -> None:
    with taken(lock, fcntl.LOCK_SH):
        assert writer_of(tmp_path, THREAD) is None


def test_a_lock_is_tried_only_while_no_codex_can_take_it(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordination = lock.with_name(".coordination.lock")
    tried = []

    def try_it(path: Path) -> Lock:
        tried.append(path)
        assert real_look(coordination) is Lock.HELD
        return real_look(path)

    real_look = locks.look
    monkeypatch.setattr(locks, "look", try_it)

    assert writer_of(tmp_path, THREAD) is None
    assert tried == [lock]
    assert real_look(coordination) is Lock.FREE


@pytest.mark.parametrize("how", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_while_a_codex_starts_or_ends_the_thread_counts_as_held(
    tmp_path: Path, lock: Path, how: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "look", lambda _: pytest.fail("it was tried"))

    with taken(lock.with_name(".coordination.lock"), how):
        assert writer_of(tmp_path, THREAD) == 0


@pytest.mark.usefixtures("table")
def test_a_lock_is_asked_without_the_file_that_guards_it(
    tmp_path: Path, lock: Path
) -> None:
    lock.with_name(".coordination.lock").unlink()

    assert writer_of(tmp_path, THREAD) is None
    with taken(lock):
        assert writer_of(tmp_path, THREAD) == 0
    assert list(lock.parent.iterdir()) == [lock]


@pytest.mark.usefixtures("table")
def test_no_descriptor_stays_open(tmp_path: Path, lock: Path) -> None:
    handle = open_regular(lock)
    os.close(handle)

    assert writer_of(tmp_path, THREAD) is None
    with taken(lock):
        assert writer_of(tmp_path, THREAD) == 0

    again = open_regular(lock)
    os.close(again)
    assert again == handle
