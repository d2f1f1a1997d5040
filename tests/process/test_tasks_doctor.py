"""`codex-tasks doctor`: what would go wrong here, and how to fix it."""

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.commands import Cli
from support.many import fill
from support.sabotage import TASKS, fails, sabotaged
from support.stand_in import StandIn
from support.terminal import on_screen

NAMES = ["codex", "login", "CODEX_HOME", "repo", "sandbox", "state"]


@pytest.fixture
def doctor(cli: Cli, stand_in: StandIn) -> "Doctor":
    stand_in.plays(login="Logged in")
    return Doctor(cli, stand_in)


class Doctor:
    """Asks in a directory, with a stand-in that is logged in and needs no sandbox."""

    def __init__(self, cli: Cli, stand_in: StandIn) -> None:
        self.cli = cli
        self.usual = ["--codex-bin", str(stand_in.path), "-s", "danger-full-access"]

    def __call__(
        self, *words: object, env: dict[str, str | None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.cli("doctor", *self.usual, *words, command="codex_tasks", env=env)

    def checks(
        self, *words: object, env: dict[str, str | None] | None = None
    ) -> dict[str, dict[str, Any]]:
        done = self(*words, "--json", env=env)
        found = json.loads(done.stdout)
        assert done.returncode == (0 if found["ok"] else 1)
        assert done.stderr == ""
        return {check["name"]: check for check in found["checks"]}


def bad(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in checks.items() if not check["is_good"]]


@pytest.mark.core
def test_all_is_well_where_sessions_go_well(doctor: Doctor, repo: Path) -> None:
    text = doctor("--working-dir", repo)
    checks = doctor.checks("--working-dir", repo)

    assert text.returncode == 0, text.stdout
    assert all(line.startswith("ok   ") for line in text.stdout.splitlines())
    assert list(checks)[: len(NAMES)] == NAMES
    assert {"file system", "containment", "git"} <= set(checks)
    assert bad(checks) == []


def test_a_terminal_shows_each_check_with_a_sign(doctor: Doctor, repo: Path) -> None:
    words = ("doctor", *doctor.usual, "--working-dir", repo)

    for columns in (80, 120):
        *lines, empty, whole = on_screen(doctor.cli, columns, *map(str, words))

        assert lines[0].split()[:3] == ["✓", "ok", "codex"]
        assert max(map(len, lines)) <= columns
        assert (empty, whole) == ("", "no problems")


def test_nothing_is_said_of_a_log_directory(doctor: Doctor, repo: Path) -> None:
    names = list(doctor.checks("--working-dir", repo))

    assert not [name for name in names if "log" in name and name != "login"]


def test_looking_leaves_nothing_behind(
    doctor: Doctor, repo: Path, state_home: Path
) -> None:
    doctor("--working-dir", repo)

    made = [p.name for p in state_home.iterdir()]
    assert [name for name in made if not name.startswith("ledger.db")] == []


def test_a_working_directory_that_is_made_later_is_no_fault(
    doctor: Doctor, repo: Path, tmp_path: Path
) -> None:
    inside = doctor.checks("--working-dir", repo / "new" / "place")
    outside = doctor.checks("--working-dir", tmp_path / "new")
    allowed = doctor.checks("--working-dir", tmp_path / "new", "--skip-git-repo-check")

    assert bad(inside) == []
    assert "can be created" in inside["working directory"]["detail"]
    assert bad(outside) == ["repo"]
    assert bad(allowed) == []
    assert not (repo / "new").exists()


def test_a_file_is_no_working_directory(doctor: Doctor, repo: Path) -> None:
    checks = doctor.checks("--working-dir", repo / "README.md")

    assert bad(checks) == ["repo"]
    assert "not a directory" in checks["repo"]["detail"]


def test_a_path_that_cannot_be_looked_at_is_no_working_directory(
    doctor: Doctor, tmp_path: Path
) -> None:
    words = [*doctor.usual, "--doctor", "--json", "--repo", tmp_path / ("x" * 300)]
    done = doctor.cli(*words, command="run_codex_task")

    (repo,) = [c for c in json.loads(done.stdout)["checks"] if c["name"] == "repo"]
    assert repo["detail"].endswith("is not a directory")


def test_a_missing_git_is_told(doctor: Doctor, repo: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    checks = doctor.checks("--working-dir", repo, env={"PATH": str(empty)})

    assert "git" in bad(checks)
    assert "install git" in checks["git"]["fix"]


def test_a_missing_codex_is_told(doctor: Doctor, repo: Path) -> None:
    checks = doctor.checks("--working-dir", repo, "--codex-bin", "no-such-codex")

    assert bad(checks) == ["codex"]
    assert "npm install" in checks["codex"]["fix"]


def test_a_state_directory_that_cannot_be_is_told(
    doctor: Doctor, repo: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    env: dict[str, str | None] = {"CODEX_RUNNER_HOME": str(file / "state")}

    checks = doctor.checks("--working-dir", repo, env=env)

    assert bad(checks) == ["state"]
    assert "CODEX_RUNNER_HOME" in checks["state"]["fix"]


def test_a_ledger_that_cannot_be_opened_hides_no_other_check(
    doctor: Doctor, repo: Path
) -> None:
    env: dict[str, str | None] = {
        **sabotaged(fails(TASKS, "sqlite3.connect", "ledger.db"))
    }

    checks = doctor.checks("--working-dir", repo, env=env)

    assert bad(checks) == ["state"]
    assert "No space left" in checks["state"]["detail"]
    assert "CODEX_RUNNER_HOME" in checks["state"]["fix"]
    assert {"codex", "repo", "git"} <= set(checks)


def test_a_damaged_ledger_is_repaired_by_verify(
    doctor: Doctor, repo: Path, state_home: Path
) -> None:
    state_home.mkdir(mode=0o700)
    (state_home / "ledger.db").write_bytes(b"garbage" * 1000)

    check = doctor.checks("--working-dir", repo)["state"]
    said = doctor.cli("ls", command="codex_tasks").stderr

    assert check["fix"] == "codex-tasks verify --repair"
    assert check["detail"].endswith("file is not a database")
    error, fix = said.splitlines()
    assert error.endswith("file is not a database")
    assert fix == f"fix:   {check['fix']}"


def test_a_ledger_that_takes_no_write_is_told(
    doctor: Doctor, repo: Path, state_home: Path
) -> None:
    doctor("--working-dir", repo)
    with closing(sqlite3.connect(state_home / "ledger.db")) as ledger, ledger:
        ledger.execute(
            "create trigger full before insert on settings"
            " begin select raise(abort, 'the disk is full'); end"
        )

    checks = doctor.checks("--working-dir", repo)

    assert bad(checks) == ["state"]
    assert "the disk is full" in checks["state"]["detail"]


def test_a_state_directory_that_others_can_read_is_told(
    doctor: Doctor, repo: Path, state_home: Path
) -> None:
    state_home.mkdir()
    state_home.chmod(0o755)

    checks = doctor.checks("--working-dir", repo)

    assert bad(checks) == ["state"]


def test_the_timer_is_told_whether_it_runs_is_needed_and_is_installed(
    doctor: Doctor, repo: Path, tmp_path: Path
) -> None:
    at = {"HOME": str(tmp_path / "home"), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    (tmp_path / "systemctl").touch(0o700)
    env: dict[str, str | None] = {**at}
    off = {**env, "CODEX_RUNNER_TIMER": "0"}
    wait = ("start", "--queue", "--not-before", "+1h", "--working-dir", repo, "x")

    def told(env: dict[str, str | None]) -> tuple[str, str | None]:
        check = doctor.checks("--working-dir", repo, env=env)["timer"]
        return check["detail"], check["fix"]

    later = "not installed: after a reboot the next command starts it"
    assert told(env) == (f"nothing waits for it; {later}", None)
    assert doctor.cli(*wait, command="codex_tasks", env=off).returncode == 0
    assert told(off) == (
        f"prompts wait for it, and CODEX_RUNNER_TIMER=0; {later}",
        None,
    )
    assert told(env) == (
        f"prompts wait for it, and it does not run; {later}",
        "codex-tasks queue",
    )
    done = doctor.cli("install-timer", command="codex_tasks", env=off)
    assert done.returncode == 0
    assert done.stderr.endswith("it starts at the next login\n")
    assert doctor.cli("queue", command="codex_tasks", env=env).returncode == 0
    assert told(env) == ("it runs; it starts at the next login", None)
    assert doctor.cli("stop", "-a", command="codex_tasks", env=env).returncode == 0


@pytest.mark.parametrize(
    ("table", "why"),
    {
        "no TOML": ('[models."one"]\ninput = \n', "line 2"),
        "no price": ('[models."one"]\ninput = "cheap"\noutput = 1\n', "'cheap'"),
        "no models": ("models = 7\n", "names no models"),
        "other table": ('[model."one"]\ninput = 1\noutput = 1\n', "key 'model'"),
        "key": ("[models.one]\ninput = 1\noutput = 1\ncached = 1\n", "'cached'"),
        "nested": (f"a = {'[' * 100_000}", "too deeply"),
    }.values(),
)
def test_prices_that_cannot_be_used_are_a_finding(
    doctor: Doctor, repo: Path, state_home: Path, table: str, why: str
) -> None:
    state_home.mkdir(mode=0o700)
    (state_home / "prices.toml").write_text(table)

    checks = doctor.checks("--working-dir", repo)

    assert bad(checks) == ["prices"]
    assert why in checks["prices"]["detail"]
    assert "prices.toml" in checks["prices"]["fix"]


def test_prices_that_can_be_used_are_said_so(
    doctor: Doctor, repo: Path, state_home: Path
) -> None:
    state_home.mkdir(mode=0o700)
    (state_home / "prices.toml").write_text('[models."one"]\ninput = 1\noutput = 2\n')

    found = doctor.checks("--working-dir", repo)["prices"]

    assert found["is_good"]
    assert "genai-prices" in found["detail"]
    assert "days old" in found["detail"]


def test_models_without_a_price_are_named(
    doctor: Doctor, repo: Path, state_home: Path
) -> None:
    fill(state_home, sessions=4, runs_per_session=10)

    found = doctor.checks("--working-dir", repo)["prices"]

    assert found["is_good"]
    assert "calls without a price: own-model (" in found["detail"]
