"""The top level is the one that was agreed on, and bin/ holds thin executables."""

import os
import tomllib

import pytest
from support.imports import ROOT

from runner.cli import main

DIRECTORIES = {"bin", "docs", "parsers", "runner", "runs", "tests"}
TESTS = ROOT / "tests"
TIERS = {"unit", "ledger", "process", "codex", "chaos"}
FILES = {"README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md", "pyproject.toml"}
MADE = ("build", "dist", "codex_runner.egg-info")
COMMANDS = sorted(path.name for path in (ROOT / "bin").iterdir())
MOST_LINES = 60


def shell_of(command: str) -> str:
    return (ROOT / "bin" / command).read_text()


def scripts_of_the_wheel() -> list[str]:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    return list(tool["setuptools"]["script-files"])


def test_the_top_level_holds_nothing_else() -> None:
    visible = {
        path
        for path in ROOT.iterdir()
        if not path.name.startswith(".") and path.name not in MADE
    }

    assert {path.name for path in visible if path.is_dir()} <= DIRECTORIES
    assert {path.name for path in visible if path.is_file()} <= FILES


def test_each_test_is_in_the_directory_of_its_tier() -> None:
    tiers = {
        path.parent.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")
    }

    assert tiers <= TIERS


def test_packages_are_named_as_agreed() -> None:
    assert (ROOT / "runner" / "__init__.py").exists()
    assert (ROOT / "parsers" / "__init__.py").exists()


def test_runs_is_data_that_git_ignores() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()

    assert {"runs/*", "!runs/.gitkeep"} <= set(ignored)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_a_thin_executable(command: str) -> None:
    text = shell_of(command)

    assert os.access(ROOT / "bin" / command, os.X_OK)
    assert text.startswith("#!/bin/sh\n")
    assert len(text.splitlines()) <= MOST_LINES


def test_the_wheel_has_the_scripts_of_a_clone() -> None:
    assert scripts_of_the_wheel() == [f"bin/{name}" for name in main.COMMANDS]


def test_all_commands_are_started_by_the_script_of_the_first() -> None:
    _, *others = map(shell_of, main.COMMANDS)

    assert len(set(others)) == 1


@pytest.mark.parametrize("path", [".ci/run", "bin/test", "bin/quickstart"])
def test_the_promised_entry_points_exist(path: str) -> None:
    assert os.access(ROOT / path, os.X_OK)
