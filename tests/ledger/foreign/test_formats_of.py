from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from runner.foreign import formats_of, read_tasks, sources

MakePath = Callable[..., Path]
STARTED = (
    b'{"type":"thread.started","thread_id":"0199d9c2-0000-7000-8000-000000000001"}\n'
)


def test_a_root_of_tasks_is_known(tmp_path: Path, make_task: MakePath) -> None:
    make_task(STARTED)

    assert formats_of(tmp_path) == ["tasks"]


def test_a_root_whose_tasks_are_all_archived_is_known(
    tmp_path: Path, make_task: MakePath
) -> None:
    make_task(STARTED, "archive/2025/10/21/0199d9c2-0000-7000-8000-000000000001")

    assert formats_of(tmp_path) == ["tasks"]


def test_a_root_of_our_own_alone_holds_nothing_foreign(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()

    assert formats_of(tmp_path) == ["tasks"]
    assert list(read_tasks(tmp_path)) == []


def test_one_task_is_known(make_task: MakePath) -> None:
    assert formats_of(make_task(STARTED)) == ["task"]


def test_a_log_directory_is_known(tmp_path: Path, make_bash_run: MakePath) -> None:
    make_bash_run("R1", None)

    assert formats_of(tmp_path) == ["bash"]


def test_a_codex_home_is_known(tmp_path: Path, make_rollout: MakePath) -> None:
    make_rollout()

    assert formats_of(tmp_path) == ["rollouts"]


def test_a_directory_that_is_several_things_is_read_as_each(
    tmp_path: Path, make_bash_run: MakePath, make_task: MakePath
) -> None:
    make_bash_run("R1", None)
    make_task(STARTED)

    assert formats_of(tmp_path) == ["tasks", "bash"]


def test_any_other_directory_can_be_read_in_no_way(tmp_path: Path) -> None:
    assert formats_of(tmp_path) == []


def test_a_file_may_be_a_rollout(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert formats_of(tmp_path / "file") == ["rollouts"]
    with pytest.raises(FileNotFoundError):
        formats_of(tmp_path / "nowhere")


def test_a_line_that_is_too_large_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "_LARGEST", 10)
    text = b"one\n" + b"x" * 34 + b"\nexactly 9\n" + b"two\n" + b"x" * 10

    assert list(sources.lines(BytesIO(text))) == [
        *((0, b"one\n"), (39, b"exactly 9\n"), (49, b"two\n"))
    ]
    assert list(sources.texts(BytesIO(b"x" * 9))) == [b"x" * 9]
