"""What a run leaves in runs/ does not change what the tests say."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.imports import ROOT
from support.repository import git

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


def test_ci_runs_the_two_commands_of_a_fresh_machine_in_their_order() -> None:
    script = (ROOT / ".ci" / "run").read_text()

    assert 0 < script.index("\nbin/quickstart") < script.rindex("exec bin/test")
