"""The top level is the one that was agreed on, and bin/ holds thin executables."""

import os
import tomllib

import pytest
from support.imports import ROOT

DIRECTORIES = {"bin", "docs", "parsers", "runner", "runs", "tests"}
TESTS = ROOT / "tests"
TIERS = {"unit", "ledger", "process", "codex", "chaos"}
FILES = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"}
MADE = ("build", "dist", "codex_runner.egg-info")
COMMANDS = sorted(path.name for path in (ROOT / "bin").iterdir())
MOST_LINES = 60


def shell_of(command: str) -> str:
    return (ROOT / "bin" / command).read_text()


def console_scripts() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["scripts"])


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


def test_every_console_script_has_its_file() -> None:
    assert console_scripts() <= set(COMMANDS)


def test_the_commands_of_the_suite_are_one_and_the_same_file() -> None:
    assert len({shell_of(command) for command in console_scripts()}) == 1


@pytest.mark.parametrize("path", [".ci/run", "bin/test", "bin/quickstart"])
def test_the_promised_entry_points_exist(path: str) -> None:
    assert os.access(ROOT / path, os.X_OK)
