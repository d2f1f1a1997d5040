"""A lock belongs to an open file; asking about it does not take it."""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from runner.errors import FileFault
from runner.locks import Lock, look, take, take_open


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "owner"


@pytest.fixture
def held(path: Path) -> Iterator[int]:
    descriptor = take(path)
    assert descriptor is not None
    yield descriptor
    os.close(descriptor)


def test_a_lock_is_taken_once_and_free_when_its_file_is_closed(path: Path) -> None:
    descriptor = take(path)

    assert descriptor is not None
    assert take(path) is None
    assert look(path) is Lock.HELD
    os.close(descriptor)
    assert look(path) is Lock.FREE


def test_a_lock_lives_as_long_as_a_copy_of_its_descriptor(path: Path) -> None:
    descriptor = take(path)
    assert descriptor is not None
    copy = os.dup(descriptor)

    os.close(descriptor)

    assert look(path) is Lock.HELD
    os.close(copy)
    assert look(path) is Lock.FREE


def test_looking_takes_nothing(path: Path) -> None:
    path.touch()

    assert [look(path), look(path)] == [Lock.FREE, Lock.FREE]
    descriptor = take(path)
    assert descriptor is not None
    os.close(descriptor)


def test_the_file_of_a_lock_is_private_and_not_inherited(path: Path, held: int) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(held)


def test_a_lock_that_must_exist_is_not_created(path: Path) -> None:
    with pytest.raises(FileFault, match="open the lock"):
        take(path, must_exist=True)

    assert not path.exists()


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "below a file"])
def test_a_missing_or_foreign_file_is_unknown_not_free(path: Path, kind: str) -> None:
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "below a file":
            path.touch()
            path /= "owner"
        case _:
            assert not path.exists()

    assert look(path) is Lock.UNKNOWN


def test_an_open_file_is_locked_for_all_copies_of_it(path: Path) -> None:
    ours = os.open(path, os.O_RDWR | os.O_CREAT)
    theirs = os.open(path, os.O_RDWR)
    try:
        assert take_open(ours)
        assert take_open(os.dup(ours))
        assert not take_open(theirs)
    finally:
        os.close(theirs)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_reader_that_cannot_look_takes_no_lock_for_free(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)

    with pytest.raises(FileFault, match=os.strerror(number)):
        look(path)


def test_a_file_system_without_locks_is_told_and_leaves_no_descriptor(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def refuse(descriptor: int, _: int) -> NoReturn:
        opened.append(descriptor)
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)

    with pytest.raises(FileFault, match="lock"):
        take(path)
    assert look(path) is Lock.UNKNOWN
    for descriptor in opened:
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            os.fstat(descriptor)
