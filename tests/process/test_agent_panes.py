"""`codex-agent` with tmux, which shows the log of a job, and without it."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import stand_in as script
from support.agents import Agents
from support.processes import is_alive, kill, wait_until
from support.stand_in import StandIn
from support.tasks import gone

TMUX = shutil.which("tmux")
# Without it there is nothing to show (`.ci/run` installs it).
needs_tmux = pytest.mark.skipif(TMUX is None, reason="tmux is not installed")


class Tmux:
    """One server of tmux, of the test alone."""

    def __init__(self, agents: Agents, place: Path) -> None:
        self._environment = agents.sessions.cli.environment
        self._environment["TMUX_TMPDIR"] = str(place)
        self._environment["CODEX_AGENT_EXEC_RUNNER"] = "tmux"

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [str(TMUX), *words],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    @property
    def pid(self) -> int | None:
        said = self("display-message", "-p", "#{pid}").strip()
        return int(said) if said else None

    @property
    def names(self) -> list[str]:
        return self("list-sessions", "-F", "#{session_name}").split()

    def shown(self, job: str) -> str:
        return self("capture-pane", "-p", "-t", f"=codex-agent-{job}:")


@pytest.fixture
def tmux(agents: Agents) -> Iterator[Tmux]:
    """Make a place for a server; the path of its socket is short."""
    with tempfile.TemporaryDirectory(prefix="tmux-") as place:
        tmux = Tmux(agents, Path(place))
        yield tmux
        pid = tmux.pid
        tmux("kill-server")
        if pid is not None:
            wait_until(lambda: not is_alive(pid), what="the end of tmux")


def without_tmux(tmp_path: Path, agents: Agents) -> None:
    """Let commands find what they need, but no tmux."""
    place = tmp_path / "programs"
    place.mkdir()
    for name in ("git", "sh", "sleep", "env", "uname"):
        (place / name).symlink_to(str(shutil.which(name)))
    agents.sessions.cli.environment["PATH"] = str(place)


def test_without_tmux_all_is_there_but_panes(agents: Agents, tmp_path: Path) -> None:
    without_tmux(tmp_path, agents)

    assert agents("sessions").stdout == "No active codex-agent sessions\n"
    assert agents.told("sessions")["sessions"] == []
    job = agents.ended("--no-constraints", "Do it.")
    assert job("capture").stdout.startswith("user\n  Do it.\n")
    attach = job("attach")
    assert attach.code == 0
    assert "apt install tmux" in attach.stderr
    stand_in = agents.sessions.stand_in.path
    health = agents("health", "--codex-bin", stand_in)
    assert health.code == 0
    assert health.lines[0].startswith("tmux: not found")
    assert health.lines[1:] == ["codex: 0.169.0", "Status: Ready"]
    missing = agents("health", "--codex-bin", tmp_path / "none")
    assert (missing.code, missing.lines[-1]) == (1, "Status: Not ready")
    asked = {"CODEX_AGENT_EXEC_RUNNER": "tmux"}
    said = agents(*agents.starting("-w", "Do it."), env=asked)
    assert said.code == 0
    assert "apt install tmux" in said.stderr


def test_another_way_to_show_jobs_is_refused(agents: Agents) -> None:
    for kind in ("screen", "TMUX", "tmux "):
        said = agents(*agents.starting("Do it."), env={"CODEX_AGENT_EXEC_RUNNER": kind})
        assert said.code == 2
        assert "is none of spawn, tmux" in said.stderr
    assert agents.jobs() == []


@needs_tmux
def test_health_and_the_empty_list_with_tmux(agents: Agents, tmux: Tmux) -> None:
    assert agents("sessions").stdout == "No active codex-agent sessions\n"
    said = agents("health", "--codex-bin", agents.sessions.stand_in.path)
    assert (said.code, said.lines[0]) == (0, "tmux: OK")
    assert tmux.pid is None


@needs_tmux
@pytest.mark.parametrize("storage", ["sqlite", "json"])
def test_a_pane_shows_the_log_of_a_job_and_closes_with_it(
    agents: Agents, codex: StandIn, go: Path, tmux: Tmux, storage: str
) -> None:
    codex.plays(
        *script.begin(),
        script.message("half of it"),
        script.wait_for(go),
        script.message("all of it"),
        script.complete(),
        thread=script.FRESH,
    )
    agents.sessions.cli.environment["CODEX_AGENT_STORAGE"] = storage
    job = agents.start("--no-constraints", "Do it.")

    wait_until(lambda: "half of it" in tmux.shown(job.id), 20, "the text in the pane")
    assert tmux.names == [f"codex-agent-{job.id}"]
    assert job.report["runner"] == "tmux"
    (line,) = agents("sessions").lines[2:]
    assert line.split()[:2] == [f"codex-agent-{job.id}", "no"]
    assert job("attach").stdout == f'tmux attach -t "codex-agent-{job.id}"\n'
    go.touch()
    assert job.await_turn().stdout == "all of it\n"
    wait_until(lambda: tmux.names == [], what="the end of the pane")
    go.unlink()
    job.send("More.")
    wait_until(lambda: "More." in tmux.shown(job.id), 20, "the next text in the pane")
    assert job("kill").stdout == f"Killed job: {job.id}\n"
    assert tmux.names == []


@needs_tmux
def test_killing_tmux_harms_nothing(
    agents: Agents, codex: StandIn, held: Path, tmux: Tmux
) -> None:
    job = agents.start("--no-constraints", "Do it.")
    job.wait_begun()
    wait_until(lambda: "Do it." in tmux.shown(job.id), 20, "the text in the pane")
    pid = tmux.pid
    assert pid is not None
    later = agents.start("--no-constraints", "--after", job.id, "Later.")
    kill(pid)

    assert job.status == "running"
    held.touch()
    assert job.await_turn().stdout == "answer to Do it.\n"
    assert later.await_turn().stdout == "answer to Later.\n"
    assert job.report["exit_code"] == 0
    assert job("kill").stdout == f"Job {job.id} had ended already.\n"
    assert len(codex.runs) == 2


@needs_tmux
def test_exit_code_kill_and_output_are_the_same(
    agents: Agents, codex: StandIn, tmux: Tmux
) -> None:
    spawn = {"CODEX_AGENT_EXEC_RUNNER": "spawn"}
    codex.plays(*script.begin(), script.message("x"), script.leave(7))
    codes, outputs, kills = [], [], []
    for env in ({}, spawn):
        codex.plays(
            *script.begin(), script.message("x"), script.leave(7), thread=script.FRESH
        )
        said = agents(*agents.starting("-w", "--no-constraints", "Do it."), env=env)
        codes.append(said.code)
        row = agents.jobs()[0]
        shown = agents("output", row["id"]).lines
        outputs.append([line for line in shown if line.startswith("  ")])
        codex.plays(*script.begin(), script.spawn(), script.hang(), thread=script.FRESH)
        job = agents.start("Hang.", env=env)
        job.wait_begun()
        done = job("kill")
        report = job.report
        kills.append((done.code, report["status"], report["exit_code"]))
        assert gone(*codex.children)
    assert codes == [7, 7]
    assert outputs[0] == outputs[1]
    assert kills[0] == kills[1]
    assert isinstance(tmux, Tmux)


@needs_tmux
@pytest.mark.parametrize("name", ["#(touch X)", "$(touch X)", "a;touch X", "`touch X`"])
def test_nothing_that_a_user_wrote_is_executed(
    agents: Agents, repo: Path, tmux: Tmux, name: str, held: Path
) -> None:
    odd = repo.parent / name
    odd.mkdir()

    job = agents.start("-d", odd, "-m", name, "--label", name, "--no-constraints", name)
    job.wait_begun()
    wait_until(lambda: name in tmux.shown(job.id), 20, "the text in the pane")
    held.touch()

    assert job.await_turn().stdout == f"answer to {name}\n"
    (run,) = agents.sessions.stand_in.runs
    assert (run["cwd"], run["stdin"]) == (str(odd), name)
    assert [*repo.parent.rglob("X")] == []
    assert not Path("X").exists()
