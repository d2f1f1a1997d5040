"""Git is asked in bytes, and a state of files costs the user nothing."""

import os
import subprocess
from pathlib import Path

import pytest
from support.repository import git as by_hand

from parsers.paths import Path as LightPath
from runner.errors import RunnerFault
from runner.git import Change, Git, GitError, git_in, total, tree_of


@pytest.fixture(params=[False, True], ids=["plumbum", "light"])
def git(repo: Path, request: pytest.FixtureRequest) -> Git:
    return git_in(str(repo), dict(os.environ), is_light=request.param)


@pytest.fixture
def place(tmp_path: Path) -> LightPath:
    """Name a directory for objects: a list of them is separated by colons."""
    return LightPath(str(tmp_path / 'a:b "c"'))


def test_a_name_need_not_be_utf_8(git: Git, repo: Path, place: LightPath) -> None:
    name = os.fsdecode(b"\xff\n\t.txt")
    (repo / name).write_text("1\n2\n")

    tree = tree_of(git, place, "-A")

    (change,) = git.with_objects(place / "objects").changes("HEAD", tree)
    assert change == Change(path=name, added=2, removed=0)


def test_a_renamed_file_is_one_change(git: Git, repo: Path, place: LightPath) -> None:
    (repo / "README.md").rename(repo / "READ.md")
    (repo / "data").write_bytes(b"\0\1")

    tree = tree_of(git, place, "-A")

    changes = git.with_objects(place / "objects").changes("HEAD", tree)
    assert [each.path for each in changes] == ["READ.md", "data"]
    assert total(changes) == {"files": 2, "lines_added": 0, "lines_removed": 0}


def test_a_state_leaves_neither_index_nor_object(
    git: Git, repo: Path, place: LightPath
) -> None:
    (repo / "README.md").write_text("New.\n")
    before = {p: p.read_bytes() for p in (repo / ".git").rglob("*") if p.is_file()}

    tree_of(git, place, "-u")

    after = {p: p.read_bytes() for p in (repo / ".git").rglob("*") if p.is_file()}
    assert after == before
    assert [path.name for path in place.iterdir()] == ["objects"]


def test_a_conflict_of_the_user_is_a_state_too(
    git: Git, repo: Path, place: LightPath
) -> None:
    def commit(branch: str) -> None:
        by_hand(repo, "checkout", "--quiet", "-B", branch, "base")
        (repo / "README.md").write_text(f"{branch}\n")
        by_hand(repo, "commit", "--quiet", "--all", f"--message={branch}")

    by_hand(repo, "tag", "base")
    commit("side")
    commit("main")
    with pytest.raises(subprocess.CalledProcessError):
        by_hand(repo, "merge", "side")

    assert tree_of(git, place, "-u")


def test_what_git_says_is_one_line(git: Git) -> None:
    with pytest.raises(GitError, match=r"^git rev-parse: fatal: .*$") as error:
        git.line("rev-parse", "--verify", "nowhere")

    assert "\n" not in str(error.value)


def test_a_directory_that_is_gone_is_named(git: Git, repo: Path) -> None:
    repo.rename(repo.with_name("moved"))

    with pytest.raises(RunnerFault, match=f"git cannot be run in {repo}: No such file"):
        git("status")
