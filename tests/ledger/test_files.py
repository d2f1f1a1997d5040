"""Files are private, whole or not there; ids sort by time and are never the same."""

import errno
import fcntl
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from parsers.text import uuid
from runner import clock, files
from runner.errors import FileFault
from runner.locks import Lock, look, take
from runner.run_files import new_run_id

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_hundred_thousand_ids_made_in_a_burst_are_different() -> None:
    made = {new_run_id(clock.now()) for _ in range(100_000)}

    assert len(made) == 100_000


def test_ids_sort_by_time() -> None:
    begin = datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    steps = [timedelta(microseconds=1), timedelta(seconds=1), timedelta(days=400)]
    instants = sorted(begin + step * n for step in steps for n in range(50))
    ids = [new_run_id(at) for at in dict.fromkeys(instants)]

    assert ids == sorted(ids)


def test_an_id_is_a_plain_name_and_never_a_sessions() -> None:
    made = new_run_id(clock.now())

    assert made.replace("-", "").isalnum()
    assert made == made.lower()
    assert uuid(made) is None


def refuse(*_: object, **__: object) -> None:
    raise FULL


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_replacement_that_fails_leaves_what_stood_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    owner = Path if step == "replace" else os
    monkeypatch.setattr(owner, step, refuse)

    with pytest.raises(FileFault, match="No space left"):
        files.replace(path, b"new")

    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_replacement_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a longer old text")
    path.chmod(0o644)

    files.replace(path, b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_creating_what_is_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("nowhere")

    for name in ("file", "link"):
        with pytest.raises(FileFault, match="File exists"):
            files.create(tmp_path / name, b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_creation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileFault, match="No space left"):
        files.append(Path("/dev/full"), b"x")
    with pytest.raises(FileFault):
        files.create(tmp_path / "no" / "file", b"x")

    assert list(tmp_path.iterdir()) == []


def test_directories_are_private_and_old_ones_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(mode=0o755)
    old = os.umask(0)
    try:
        files.make_directory(tmp_path / "old" / "a" / "b")
    finally:
        os.umask(old)

    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o755
    for made in ("old/a", "old/a/b"):
        assert (tmp_path / made).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["file", "file/below", "link"])
def test_a_directory_that_cannot_be_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere/at/all")

    with pytest.raises(FileFault, match=name):
        files.make_directory(tmp_path / name)


def test_appending_keeps_what_is_there(tmp_path: Path) -> None:
    files.append(tmp_path / "file", b"a\n")
    files.append(tmp_path / "file", b"b\n")
    files.append_text(tmp_path / "file", "\udcff\n")

    assert (tmp_path / "file").read_bytes() == b"a\nb\n\\udcff\n"


def test_a_copy_goes_through_a_link_and_to_a_device(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")

    files.copy_to(tmp_path / "link", b"x")
    files.copy_to(Path("/dev/null"), b"x")

    assert (tmp_path / "target").read_bytes() == b"x"
    assert (tmp_path / "link").is_symlink()
    assert Path("/dev/null").is_char_device()


def test_a_lock_is_held_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert look(path) is Lock.UNKNOWN
    handle = take(path)
    assert handle is not None

    assert look(path) is Lock.HELD
    assert take(path) is None
    assert not os.get_inheritable(handle)
    os.close(handle)
    assert look(path) is Lock.FREE


def test_a_file_system_without_locks_is_a_fault_not_a_lock_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    (tmp_path / "lock").touch()

    with pytest.raises(FileFault, match="lock"):
        take(tmp_path / "lock")
    assert look(tmp_path / "lock") is Lock.UNKNOWN


def test_reading_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(b"{\xff")

    assert files.read_text(tmp_path / "none") == ""
    assert files.read_json(tmp_path / "none") is None
    assert files.read_json(tmp_path / "damaged") is None
    assert files.status(tmp_path / "none") is None
    files.remove([tmp_path / "none"])


def test_json_that_is_too_deep_is_none(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_bytes(b"[" * 100_000)

    assert files.read_json(path) is None


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "state")

    with pytest.raises(OSError, match="it is not a regular file"):
        files.read_bytes(tmp_path / "state")
    assert files.read_text(tmp_path / "state") == ""
    assert files.read_json(tmp_path / "state") is None
    assert look(tmp_path / "state") is Lock.UNKNOWN
