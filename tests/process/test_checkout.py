"""What a run leaves in runs/ does not change what the tests say."""

import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support.imports import ROOT
from support.repository import git

from runner.cli.main import COMMANDS
from runner.version import VERSION

_NOT_COPIED = (".git", ".venv", ".codex-bin", "runs", "data", "__pycache__", ".*_cache")


def test_a_checkout_in_which_codex_has_left_python_files_passes_its_tests(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    skill = copy / "runs" / "quickstart-1" / "codex-home" / "skills" / "make.py"
    skill.parent.mkdir(parents=True)
    skill.write_text("import runner.nothing\n")

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--tb=line",
            "tests/unit/test_layout.py",
        ],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_git_knows_nothing_of_what_lies_in_runs() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")

    assert git(ROOT, "ls-files", "runs").split() == ["runs/.gitkeep"]


def test_a_source_distribution_has_every_file_of_the_checkout(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    if int(importlib.metadata.version("setuptools").partition(".")[0]) < 77:
        pytest.skip("an older setuptools is in .venv: run bin/setup --test")
    tracked = [name for name in git(ROOT, "ls-files").split() if (ROOT / name).exists()]
    for name in tracked:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "source" / name)

    build = "from setuptools import build_meta; build_meta.build_sdist('..')"
    subprocess.run(
        [sys.executable, "-c", build],
        cwd=tmp_path / "source",
        capture_output=True,
        check=True,
    )

    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        about = archive.extractfile(f"{path.name[:-7]}/PKG-INFO")
        assert about is not None
        told = about.read().decode()
    assert set(tracked) <= names
    assert not [name for name in names if name.endswith(".pyc")]
    for line in ("License-Expression: MIT", "License-File: LICENSE", "Author: "):
        assert f"\n{line}" in told


def test_ci_runs_the_two_commands_of_a_fresh_machine_in_their_order() -> None:
    script = (ROOT / ".ci" / "run").read_text()

    assert 0 < script.index("\nbin/quickstart") < script.rindex("exec bin/test")


@pytest.mark.parametrize("words", [[], ["--help"], ["codex-tasks", "--version"]])
def test_the_package_lists_the_commands_and_runs_one(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "runner", *words],
        capture_output=True,
        text=True,
        check=False,
    )

    usage = f"usage: python -m runner {{{','.join(COMMANDS)}}} ...\n"
    wanted = f"codex-tasks {VERSION}\n" if "codex-tasks" in words else usage
    assert (done.returncode, done.stdout, done.stderr) == (0, wanted, "")
