"""State directories of version 0.2: its programs at work, and killed migrations."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import old_state
from support.commands import Cli, rows_of
from support.imports import ROOT
from support.old_version import OldCli, checked_out
from support.processes import kill, wait_until
from support.stand_in import StandIn

# As the old commands showed it, and not as it is now; test_migrate.py says why.
NEW_EACH_TIME = {
    "living": ("updated_at", "last_run"),
    "mail_file_gone": ("queue_held",),
}


@pytest.fixture(scope="session")
def old_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checked_out(tmp_path_factory.mktemp("version-0.2") / "source")


@pytest.fixture
def old(old_source: Path, cli: Cli) -> OldCli:
    """Run commands of version 0.2."""
    return OldCli(old_source, cli)


@pytest.fixture
def started(old: OldCli, repo: Path, waiting: StandIn) -> str:
    """Start a task of version 0.2 that waits in the middle of its turn."""
    done = old("start", "--codex-bin", waiting.path, "--working-dir", repo, "Do it.")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def tasks(cli: Cli, *arguments: object) -> subprocess.CompletedProcess[str]:
    return cli(*arguments, command="codex_tasks")


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def run_of(state_home: Path) -> dict[str, Any]:
    """Return the record of the only run in the index of version 0.2."""
    ((text,),) = rows(state_home / "runs.db", "select record from runs")
    found: dict[str, Any] = json.loads(text)
    return found


def status(cli: Cli) -> dict[str, dict[str, Any]]:
    done = tasks(cli, "status", "-a", "--json")
    assert done.returncode == 0, done.stderr
    return {each["id"]: each for each in rows_of(done.stdout)}


# Its programs at work


def test_migrate_waits_for_a_run_of_the_version_before(
    cli: Cli, started: str, go: Path, state_home: Path
) -> None:
    run_id = run_of(state_home)["run_id"]
    migrating = cli.start("migrate", command="codex_tasks")
    assert migrating.stderr is not None
    assert run_id in migrating.stderr.readline().decode()
    assert not (state_home / "ledger.db").exists()

    go.touch()
    out, _ = migrating.communicate(timeout=30)

    assert migrating.returncode == 0
    assert b"1 task, 1 run, 0 waiting prompts" in out
    found = status(cli)[started]
    assert (found["state"], found["outcome"]) == ("STOPPED", "succeeded")
    assert found["last_result"] == "It is done."
    assert found["usage"]["total_tokens"] == 1545


def test_migrate_stops_it_when_asked_to_and_keeps_what_waits(
    cli: Cli, old: OldCli, started: str, state_home: Path
) -> None:
    assert old("send", "--queue", started, "And then this.").returncode == 0

    done = tasks(cli, "migrate", "--stop")

    assert done.returncode == 0, done.stderr
    ledger = state_home / "ledger.db"
    assert rows(ledger, "select outcome from runs") == [("stopped",)]
    text = "select state, cast(text as text) from prompts"
    assert rows(ledger, text) == [("queued", "And then this.")]


def test_the_first_command_names_the_run_that_it_has_waited_for(
    cli: Cli, started: str, state_home: Path, go: Path
) -> None:
    script = (
        "from pathlib import Path; from runner.ledger.migrate import migrate;"
        " import sys; migrate(Path(sys.argv[1]), patience=0.2)"
    )
    argv = [sys.executable, "-c", script, str(state_home)]

    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=False)

    assert f"are not finished: {run_of(state_home)['run_id']}" in done.stderr
    assert not (state_home / "ledger.db").exists()
    go.touch()
    assert tasks(cli, "status", "--wait", started).returncode == 0


def test_a_codex_that_lives_without_its_supervisor_is_seen_and_stopped(
    cli: Cli, started: str, state_home: Path
) -> None:
    processes = run_of(state_home)["processes"]
    kill(processes["supervisor"]["pid"])

    found = status(cli)[started]
    assert (found["state"], found["outcome"]) == ("RUNNING", None)

    assert tasks(cli, "stop", started).returncode == 0
    found = status(cli)[started]
    assert (found["state"], found["outcome"]) == ("STOPPED", "stopped")


def test_old_commands_that_start_later_are_refused(
    cli: Cli, old: OldCli, started: str, go: Path, state_home: Path
) -> None:
    go.touch()
    assert tasks(cli, "migrate").returncode == 0
    before = {each.name for each in state_home.iterdir() if each.is_dir()}

    for words in (["ls"], ["send", started, "more"], ["verify", "--repair"]):
        done = old(*words)
        assert done.returncode == 1, words
        assert "made by a newer version (schema 3)" in done.stderr, words
    where = str(cli.cwd / "repo")
    done = old("--repo", where, "--task", "x", command="run_codex_task")
    assert done.returncode == 1
    assert {each.name for each in state_home.iterdir() if each.is_dir()} == before


def test_an_old_program_that_had_opened_the_index_queues_nothing(
    cli: Cli, old: OldCli, started: str, go: Path, state_home: Path
) -> None:
    go.touch()
    wait_until(lambda: run_of(state_home)["state"] == "finished", what="the end")
    sender = cli.launch(
        old.script(
            "from pathlib import Path\n"
            "from runner import mailbox\n"
            "from runner.store.ledger import Ledger\n"
            f"ledger = Ledger(Path({str(state_home)!r}))\n"
            "ledger.unfinished(); print('open', flush=True); sys.stdin.readline()\n"
            f"mailbox.put({started!r}, b'lost?', ledger, Path({str(state_home)!r}))\n"
        ),
        stdin=subprocess.PIPE,
    )
    assert sender.stdout is not None
    sender.stdout.readline()

    assert tasks(cli, "migrate").returncode == 0
    _, err = sender.communicate(b"\n", timeout=30)

    assert sender.returncode != 0
    assert b"brought to a newer version: run the command again" in err
    assert rows(state_home / "ledger.db", "select count(*) from prompts") == [(0,)]
    assert not list(state_home.glob("*/mail/*"))


# The frozen directory, through the commands


@pytest.fixture
def frozen(tmp_path: Path, environment: dict[str, str]) -> Path:
    """Make the frozen state directory the one of the commands; return its root."""
    root = tmp_path / "root"
    state = old_state.extract(root)
    for name in ("repo", os.fsdecode(b"r\xffepo")):
        init = ["git", "init", "-q", str(root / name)]
        subprocess.run(init, check=True)
    environment["CODEX_RUNNER_HOME"] = str(state)
    environment["CODEX_HOME"] = str(root / "home" / ".codex")
    environment["PATH"] = f"{root / 'bin'}:{environment['PATH']}"
    return root


def test_what_was_left_behind_is_judged_and_what_waits_is_delivered(
    cli: Cli, frozen: Path
) -> None:
    settled = old_state.expected(frozen, "settled")
    different = {settled["ids"][name]: f for name, f in NEW_EACH_TIME.items()}

    wait_until(
        lambda: all(each["state"] != "RUNNING" for each in status(cli).values()),
        deadline=60,
        what="the end of all runs",
    )

    found = status(cli)
    assert found.keys() == settled["sessions"].keys()
    for name, was in settled["sessions"].items():
        excepted = {*different.get(name, ())}
        if not Path(was["directory"]).is_dir():
            # It never had one, or has none any more.
            assert found[name]["directory"] is None
            excepted.add("directory")
        names = was.keys() - excepted
        if was["error"] == "Codex and its supervisor are gone and the turn has no end":
            # What was judged before keeps its text.
            now = "Codex and its supervisor ended without a terminal event"
            assert found[name]["error"] in {was["error"], now}
            names -= {"error"}
        for block in ("usage", "cost"):
            del found[name][block]["uncounted_runs"]  # which it did not know
        found[name]["cost"].pop("reason", None)  # likewise
        if was["cost"]["usd"] is not None:
            # The old version showed what a sum of floats leaves behind its last digit.
            was["cost"]["usd"] = round(was["cost"]["usd"], 10)
        assert {f: found[name][f] for f in names} == {f: was[f] for f in names}, name


def test_first_commands_that_come_at_once_give_the_same_answer(
    cli: Cli, frozen: Path
) -> None:
    started = [cli.start("ls", "-a", "--json", command="codex_tasks") for _ in range(8)]
    outs = [each.communicate(timeout=60)[0] for each in started]

    assert [each.returncode for each in started] == [0] * 8
    listed = [{task["id"] for task in rows_of(out)} for out in outs]
    live = old_state.expected(frozen, "live")
    assert listed == [set(live["order_of_ls"])] * 8


def test_a_limit_to_the_size_of_files_changes_nothing(cli: Cli, frozen: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    argv = cli.argv("ls", command="codex_tasks")
    done = subprocess.run(
        argv,
        env=cli.env(None),
        capture_output=True,
        check=False,
        preexec_fn=limit,
    )

    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert rows(frozen / "state" / "runs.db", "pragma user_version") == [(2,)]
    assert tasks(cli, "ls").returncode == 0


def test_the_version_before_goes_on_after_a_restore(
    cli: Cli, old: OldCli, frozen: Path
) -> None:
    tasks(cli, "stop", "-a")
    done = tasks(cli, "restore")
    assert done.returncode == 0, done.stderr

    listed = old("ls", "-a", "--json")

    assert listed.returncode == 0
    live = old_state.expected(frozen, "live")
    ids = [each["id"] for each in json.loads(listed.stdout)]
    assert sorted(ids) == sorted(live["order_of_ls"])
    titles = {each["id"]: each["title"] for each in json.loads(listed.stdout)}
    assert titles == {key: each["title"] for key, each in live["sessions"].items()}
    # What `stop` has canceled is not delivered.
    waiting = "select count(*) from mail where state = 'waiting'"
    assert rows(frozen / "state" / "runs.db", waiting) == [(0,)]


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """Make a directory in which a commit takes as long as on a user's disk."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        yield Path(place)


def test_a_killed_migration_is_not_done_or_done(on_disk: Path) -> None:
    # In memory no kill would come between its commits.
    state = old_state.extract(on_disk / "root")
    script = ROOT / "tests" / "support" / "kill_migrations.py"
    argv = [sys.executable, str(script), str(state), "100", "7"]

    done = subprocess.run(
        argv,
        env={"PYTHONPATH": f"{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["bad"] == []
    assert sum(told["kills"].values()) == 100
