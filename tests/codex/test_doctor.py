"""`--doctor` with the real Codex: what would go wrong, and how to fix it."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.real_codex import RealTasks
from support.tasks import Ended

NAMES = ["codex", "login", "CODEX_HOME", "repo", "sandbox", "state", "log directory"]


def checks_of(ended: Ended) -> dict[str, dict[str, Any]]:
    found = json.loads(ended.stdout)
    assert found["ok"] is (ended.code == 0)
    return {check["name"]: check for check in found["checks"]}


def bad(ended: Ended) -> list[str]:
    return [name for name, check in checks_of(ended).items() if not check["is_good"]]


def test_all_is_well_where_runs_go_well(codex: RealTasks) -> None:
    text, as_json = codex("--doctor"), codex("--doctor", "--json")

    assert text.code == 0, text.stdout
    *checks, result = text.lines
    assert all(line.startswith("ok   ") for line in checks)
    assert result == "Doctor result: PASS (warnings=0)"
    assert "codex-cli 0.169.0" in text.lines[0]
    assert list(checks_of(as_json))[: len(NAMES)] == NAMES
    assert bad(as_json) == []
    assert codex.all == []
    assert not codex.log_dir.exists()


def test_the_sandbox_helper_is_tried(codex: RealTasks) -> None:
    ended = codex("--sandbox", "workspace-write", "--doctor", "--json")

    sandbox = checks_of(ended)["sandbox"]
    assert sandbox["detail"].startswith("a sandboxed command ")
    assert sandbox["is_good"] or "user namespaces" in sandbox["fix"]


def test_a_sandbox_that_codex_does_not_know_is_told(codex: RealTasks) -> None:
    ended = codex("--sandbox", "workspace-wirte", "--doctor", "--json")

    assert ended.code == 2
    assert "workspace-wirte" in ended.stderr


@pytest.mark.parametrize("name", ["no-such-codex", "/bin/true", "README.md"])
def test_a_codex_that_is_none_is_told(codex: RealTasks, name: str) -> None:
    ended = codex("--codex-bin", name, "--doctor")

    assert ended.code == 1
    (line,) = [line for line in ended.lines if line.startswith("FAIL codex: ")]
    assert "npm install -g @openai/codex" in line


def test_a_missing_login_is_told(codex: RealTasks, tmp_path: Path) -> None:
    empty = tmp_path / "empty-home"
    empty.mkdir()

    ended = codex("--doctor", "--json", env={"CODEX_HOME": str(empty)})

    assert bad(ended) == ["login"]
    assert "codex login" in checks_of(ended)["login"]["fix"]


def test_a_directory_that_codex_refuses_is_told(
    codex: RealTasks, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    (plain / ".git").mkdir(parents=True)  # without a HEAD it is none

    refused = codex("--repo", plain, "--doctor", "--json")
    skipped = codex("--repo", plain, "--skip-git-repo-check", "--doctor")
    nowhere = codex("--repo", tmp_path / "nowhere", "--doctor", "--json")

    assert bad(refused) == ["repo"]
    assert "--skip-git-repo-check" in checks_of(refused)["repo"]["fix"]
    assert skipped.code == 0
    assert bad(nowhere) == ["repo"]


def test_a_state_directory_that_others_can_read_is_told(
    codex: RealTasks, state_home: Path
) -> None:
    state_home.mkdir(mode=0o755)
    state_home.chmod(0o755)

    ended = codex("--doctor", "--json")

    assert bad(ended) == ["state"]
    assert checks_of(ended)["state"]["fix"] == f"chmod go= {state_home}"


def test_files_where_directories_should_be_are_told(
    codex: RealTasks, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()

    logs = codex("--log-dir", file / "runs", "--doctor", "--json")
    state = codex("--doctor", "--json", env={"CODEX_RUNNER_HOME": str(file / "s")})
    home = codex("--doctor", "--json", env={"CODEX_HOME": str(file / "h")})

    assert bad(logs) == ["log directory"]
    assert bad(state) == ["state"]
    assert "CODEX_RUNNER_HOME" in checks_of(state)["state"]["fix"]
    assert "CODEX_HOME" in bad(home)


@pytest.mark.parametrize("command", ["run_codex_task", "parse_codex_run"])
def test_help_and_version_go_to_stdout(codex: RealTasks, command: str) -> None:
    for flag, start in (("--help", f"{command} "), ("--version", f"{command} ")):
        done = codex.cli(flag, command=command)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(start)
