from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from runner.foreign import readers_of, sources
from runner.foreign.history import History

MakePath = Callable[..., Path]
STARTED = (
    b'{"type":"thread.started","thread_id":"0199d9c2-0000-7000-8000-000000000001"}\n'
)


def kinds(directory: Path) -> list[str]:
    found = [each for read in readers_of(directory) for each in read(directory)]
    return [each.kind for each in found if isinstance(each, History)]


def test_a_root_of_tasks_is_known(tmp_path: Path, make_task: MakePath) -> None:
    make_task(STARTED)

    assert kinds(tmp_path) == ["codex-tasks"]


def test_a_root_whose_tasks_are_all_archived_is_known(
    tmp_path: Path, make_task: MakePath
) -> None:
    make_task(STARTED, "archive/2025/10/21/0199d9c2-0000-7000-8000-000000000001")

    assert kinds(tmp_path) == ["codex-tasks"]


def test_a_root_of_our_own_alone_holds_nothing_foreign(tmp_path: Path) -> None:
    (tmp_path / "runs.db").touch()

    assert readers_of(tmp_path)
    assert kinds(tmp_path) == []


def test_one_task_is_known(make_task: MakePath) -> None:
    assert kinds(make_task(STARTED)) == ["codex-tasks"]


def test_a_log_directory_is_known(tmp_path: Path, make_bash_run: MakePath) -> None:
    make_bash_run("R1", None)

    assert kinds(tmp_path) == ["run_codex_task.sh"]


def test_a_codex_home_is_known(tmp_path: Path, make_rollout: MakePath) -> None:
    make_rollout()

    assert kinds(tmp_path) == ["rollout"]


def test_a_directory_that_is_several_things_is_read_as_each(
    tmp_path: Path, make_bash_run: MakePath, make_task: MakePath
) -> None:
    make_bash_run("R1", None)
    make_task(STARTED)

    assert kinds(tmp_path) == ["run_codex_task.sh", "codex-tasks"]


def test_any_other_directory_can_be_read_in_no_way(tmp_path: Path) -> None:
    assert readers_of(tmp_path) == []


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotADirectoryError):
        readers_of(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        readers_of(tmp_path / "nowhere")


def test_a_line_that_is_too_large_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "_LARGEST", 10)
    text = b"one\n" + b"x" * 34 + b"\nexactly 9\n" + b"two\n" + b"x" * 10

    assert list(sources.lines(BytesIO(text))) == [
        *((0, b"one\n"), (39, b"exactly 9\n"), (49, b"two\n"))
    ]
    assert list(sources.texts(BytesIO(b"x" * 9))) == [b"x" * 9]
