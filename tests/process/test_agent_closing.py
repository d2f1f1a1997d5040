"""`codex-agent kill`, `delete` and `clean`; what ends by itself or by SIGKILL."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import stand_in as script
from support.agents import Agents, Job
from support.processes import kill, wait_until
from support.stand_in import StandIn
from support.tasks import gone, is_refused

ELSEWHEN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def busy(agents: Agents, codex: StandIn, go: Path) -> Job:
    """Start a job whose Codex has a child of its own session, and waits."""
    codex.plays(
        *script.begin(),
        script.spawn(),
        script.message("half of it"),
        script.wait_for(go),
        script.message("all of it"),
        script.complete(),
        thread=script.FRESH,
    )
    job = agents.start("--no-constraints", "Begin.")
    job.wait_begun()
    wait_until(lambda: codex.children, what="the child")
    return job


def test_kill_ends_a_job_with_all_its_processes(busy: Job, codex: StandIn) -> None:
    supervisor, pids = busy.runs[0].supervisor(), [busy.runs[0].codex()]
    pids += codex.children
    busy.send("Later.")

    said = busy("kill")

    assert (said.code, said.stdout) == (0, f"Killed job: {busy.id}\n")
    assert gone(*pids)
    wait_until(lambda: gone(supervisor), what="the end of the supervisor")
    report = busy.report
    assert (report["status"], report["outcome"]) == ("failed", "stopped")
    assert report["turn_state"] == "idle"
    assert report["error"]
    assert busy.await_turn().code == 1
    assert len(codex.runs) == 1
    again = busy("kill")
    assert (again.code, again.stdout) == (0, f"Job {busy.id} had ended already.\n")
    assert {**busy.report, "elapsed_ms": 0} == {**report, "elapsed_ms": 0}


def test_kill_leaves_a_job_that_has_ended_as_it_is(agents: Agents) -> None:
    job = agents.ended("Do it.")
    before = agents("status", job.id).stdout

    said = job("kill")

    assert (said.code, said.stdout) == (0, f"Job {job.id} had ended already.\n")
    assert agents("status", job.id).stdout == before
    assert job.status == "completed"
    told = agents.told("kill", job.id)
    assert told["tasks"] == [{"id": job.id, "stopped": False, "canceled": 0}]


def test_kill_of_several_names_each_and_goes_on_after_an_unknown_one(
    agents: Agents, held: Path
) -> None:
    jobs = [agents.start(f"Job {number}.") for number in range(3)]
    for job in jobs:
        job.wait_begun()
    ids = [job.id for job in jobs]
    done = agents("kill", ids[0], "ffffffff", ids[0][:5], *ids[1:])
    assert done.code == 3
    assert done.lines == [f"Killed job: {each}" for each in ids]
    assert "no job 'ffffffff'" in done.stderr
    assert not held.exists()


def files_of(agents: Agents) -> set[str]:
    home = agents.sessions.state_home
    names = {str(path.relative_to(home)) for path in home.rglob("*")}
    return {name for name in names if not name.startswith("ledger.db")}


@pytest.mark.parametrize("storage", ["sqlite", "json", "dual"])
def test_delete_leaves_no_file_of_the_job(agents: Agents, storage: str) -> None:
    agents.sessions.cli.environment["CODEX_AGENT_STORAGE"] = storage
    other = agents.ended("Other.")
    before = files_of(agents)
    job = agents.ended("Do it.")
    job.send("More.")
    job.await_turn()
    names = {job.id, job.report["session_id"], *job.turns}

    said = job("delete")

    assert said.code == 0
    assert said.stdout.startswith(f"Deleted job: {job.id} (")
    left = files_of(agents) - before
    assert not [path for path in left if any(name in path for name in names)]
    assert left <= {"jobs/.lock"}
    assert agents("status", job.id).code == 3
    assert [row["id"] for row in agents.jobs("--all")] == [other.id]
    assert job("delete").code == 3


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "..", "*", ""])
def test_delete_of_a_path_is_an_error(
    agents: Agents, tmp_path: Path, name: str
) -> None:
    agents.ended("Do it.")
    (tmp_path / "x").write_text("mine")
    before = files_of(agents)

    assert agents("delete", name).code in {2, 3}
    assert files_of(agents) >= before
    assert (tmp_path / "x").read_text() == "mine"


def test_delete_refuses_a_job_that_runs_and_one_that_waits(
    agents: Agents, held: Path
) -> None:
    first = agents.start("First.")
    first.wait_begun()
    second = agents.start("--after", first.id, "Second.")
    assert first("delete").code == 75
    assert second("delete").code == 75
    held.touch()
    assert second.await_turn().code == 0
    both = agents("delete", first.id, second.id)
    assert both.code == 0, both.stderr
    assert agents.jobs() == []


def test_delete_keeps_work_that_is_not_merged(agents: Agents, codex: StandIn) -> None:
    codex.plays(
        *script.begin(),
        script.write("new.txt", "new\n"),
        script.complete(),
        thread=script.FRESH,
    )
    job = agents.ended("--worktree", "Do it.")
    refused = job("delete")
    assert refused.code == 1
    assert job.status == "completed"
    assert job("delete", "--force").code == 0


def test_clean_removes_jobs_that_ended_seven_days_ago(
    agents: Agents, held: Path
) -> None:
    held.touch()
    old, young, failed = (agents.ended(text) for text in ("A.", "B.", "Fail."))
    held.unlink()
    runs = agents.start("Runs.")
    runs.wait_begun()
    for job, days in ((old, 7.01), (young, 6.99), (failed, 30), (runs, 30)):
        at = datetime.now(UTC) - timedelta(days=days)
        text = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        agents.sessions.change(
            "update runs set ended_at = iif(ended_at is null, null, ?) where session ="
            " (select id from sessions where short_id = ?)",
            text, job.id,
        )  # fmt: skip

    said = agents("clean")

    assert said.code == 0, said.stderr
    assert {line.split()[2] for line in said.lines} == {old.id, failed.id}
    assert {row["id"] for row in agents.jobs()} == {young.id, runs.id}
    assert agents("clean").stdout == "No jobs to remove.\n"
    held.touch()
    runs.await_turn()


@pytest.mark.usefixtures("without_timer")
def test_a_killed_codex_makes_the_job_fail_and_it_can_be_resumed(
    busy: Job, codex: StandIn, go: Path
) -> None:
    kill(busy.runs[0].codex())

    assert busy.await_turn().code == 1
    report = busy.report
    assert (report["status"], report["outcome"]) == ("failed", "interrupted")
    assert "SIGKILL" in report["error"] or "signal" in report["error"]
    go.touch()
    busy.send("Go on.")
    assert busy.await_turn().stdout == "all of it\n"
    assert codex.given(busy.report["session_id"]) == ["Begin.", "Go on."]
    busy("kill")


@pytest.mark.usefixtures("without_timer")
def test_a_killed_supervisor_harms_nothing(busy: Job, go: Path) -> None:
    codex = busy.runs[0].codex()
    kill(busy.runs[0].supervisor())

    assert busy.status == "running"
    go.touch()
    wait_until(lambda: gone(codex))
    assert busy.await_turn().stdout == "all of it\n"
    assert busy.status == "completed"
    busy("kill")


@pytest.mark.usefixtures("without_timer")
def test_without_supervisor_and_codex_a_job_is_lost(busy: Job, go: Path) -> None:
    for pid in (busy.runs[0].supervisor(), busy.runs[0].codex()):
        kill(pid)

    assert busy.await_turn().code == 1
    report = busy.report
    assert (report["status"], report["outcome"]) == ("failed", "lost")
    assert report["error"]
    go.touch()
    assert busy.session.send("By codex-tasks.").code == 0
    assert busy.await_turn().stdout == "all of it\n"
    busy("kill")


@pytest.mark.usefixtures("without_timer")
def test_after_a_reboot_no_job_is_running(busy: Job, go: Path) -> None:
    run = busy.runs[0]
    supervisor, codex = run.supervisor(), run.codex()
    sql = "select place from runs where run_id = ?"
    sessions = busy.agents.sessions
    ((place,),) = sessions.rows(sql, run.run_id)
    machine, _, namespace = place.split()
    for pid in (supervisor, codex):
        kill(pid)
    sessions.change(
        "update runs set place = ? where run_id = ?",
        f"{machine} {ELSEWHEN} {namespace}",
        run.run_id,
    )

    (row,) = busy.agents.jobs()
    assert (row["status"], row["outcome"]) == ("failed", "lost")
    go.touch()
    busy.send("Go on.")
    assert busy.await_turn().code == 0
    busy("kill")


def test_without_a_name_nothing_is_ended(agents: Agents) -> None:
    assert is_refused(agents("kill"), 2, "name the jobs")
    assert is_refused(agents("delete"), 2, "name the jobs")
    assert agents("kill", "--all").code == 2
