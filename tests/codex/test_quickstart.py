"""bin/quickstart's program, with the real Codex: a whole run from one command."""

import json
import signal
from pathlib import Path

import pytest
from support.codex_home import native_codex
from support.commands import Cli
from support.processes import wait_until
from support.repository import git


@pytest.fixture
def quickstart(cli: Cli, real_codex: Path) -> Cli:
    """Have the real Codex on PATH, as bin/quickstart does."""
    cli.command = "quickstart"
    path = cli.environment["PATH"]
    cli.environment["PATH"] = f"{native_codex(real_codex).parent}:{path}"
    return cli


def test_without_a_login_it_demonstrates_a_whole_run(
    quickstart: Cli, real_codex: Path, tmp_path: Path, state_home: Path
) -> None:
    (tmp_path / "empty").mkdir()
    path = f"{real_codex.parent}:{quickstart.environment['PATH']}"
    env = {"CODEX_HOME": str(tmp_path / "empty"), "PATH": path}

    done = quickstart(env=env)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    keys = [line.partition("=")[0] for line in lines[:4]]
    assert keys == ["codex_run_id", "log_file", "meta_file", "summary_file_pending"]
    run_id = lines[0].partition("=")[2]
    assert lines[-1].startswith(f"OK {run_id} succeeded")
    assert "tok $0.0" in lines[-1]
    assert "is ignored" not in done.stdout
    (place,) = (tmp_path / "runs").glob("quickstart-*")
    assert "greets the reader" in (place / "repo" / "HELLO.md").read_text()
    assert not state_home.exists()
    assert "Traceback" not in done.stderr

    # Commands of the caller's ledger may show the run, but never take it over.
    shown = quickstart(run_id, command="parse_codex_run")
    assert json.loads(shown.stdout)["run_id"] == run_id
    imported = quickstart("import", "runs", command="codex_tasks")
    assert run_id not in imported.stdout
    quickstart("verify", "--repair", command="codex_tasks")
    usage = quickstart("usage", "--json", command="codex_tasks")
    assert json.loads(usage.stdout)["total"]["runs"] == 0


def test_with_a_login_it_runs_the_callers_task(
    quickstart: Cli, repo: Path, state_home: Path
) -> None:
    done = quickstart("--repo", repo, "--task", "say: -v", "--sandbox", "read-only")

    assert done.returncode == 0, done.stderr
    assert "uses your model" in done.stderr
    assert "\n  -v\n" in done.stdout or "\n-v\n" in done.stdout
    assert (state_home / "ledger.db").exists()


def test_with_a_login_but_no_task_it_uses_a_scratch_repository(
    quickstart: Cli, tmp_path: Path
) -> None:
    done = quickstart("--task", "run: pwd\npatch: new.txt")

    assert done.returncode == 0, done.stderr
    (place,) = (tmp_path / "runs").glob("quickstart-*")
    assert (place / "repo" / "new.txt").exists()


def test_a_failed_run_is_a_failed_quickstart(quickstart: Cli, repo: Path) -> None:
    done = quickstart("--repo", repo, "--task", "fail: 500")

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("FAIL")


def test_offline_leaves_the_callers_repository_alone(
    quickstart: Cli, repo: Path
) -> None:
    done = quickstart("--offline", "--repo", repo, "--task", "Do as you like.")

    assert done.returncode == 0, done.stderr
    assert git(repo, "status", "--porcelain") == ""
    assert "your repository is not used" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demonstration_ends_its_run(
    quickstart: Cli, tmp_path: Path, number: int
) -> None:
    process = quickstart.start("--offline")
    wait_until(lambda: list(tmp_path.glob("runs/*.events.jsonl")))
    process.send_signal(number)

    out, err = process.communicate(timeout=30)
    assert process.returncode in {0, 130, 128 + number}
    assert b"Traceback" not in err
    assert b"codex_run_id=" in out


def test_what_stands_behind_two_dashes_is_codexs(quickstart: Cli, repo: Path) -> None:
    done = quickstart("--repo", repo, "--task", "say: hi", "--", "--ephemeral")

    assert done.returncode == 0, done.stderr
    assert list(Path(quickstart.environment["CODEX_HOME"]).glob("sessions/*")) == []


def test_a_reader_that_goes_away_ends_a_demonstration(
    quickstart: Cli, tmp_path: Path
) -> None:
    process = quickstart.start("--offline")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None

    assert process.wait(30) in {0, 141}
    assert list(tmp_path.glob("runs/*.summary.json"))


def test_an_option_that_is_not_known_is_refused_as_the_command_does(
    quickstart: Cli, repo: Path
) -> None:
    done = quickstart("--repo", repo, "--task", "x", "--nonsense")

    assert done.returncode == 2
    assert done.stdout == ""
    error, fix = done.stderr.splitlines()[-2:]
    assert error == "error: unrecognized arguments: --nonsense"
    assert fix == "fix:   run_codex_task --help"


def test_a_missing_codex_is_one_line(quickstart: Cli) -> None:
    done = quickstart("--codex-bin", "/nowhere/codex")

    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "/nowhere/codex" in line
    assert "npm install" in line


def test_help_says_what_it_does(quickstart: Cli) -> None:
    done = quickstart("--help")

    assert done.returncode == 0
    assert "--offline" in done.stdout
