"""Record what a version of Codex writes, and what its model server had answered.

    python -m support.corpus CODEX [SCENARIO …]

writes `tests/codex/corpus/VERSION.tar.xz`: for each scenario the rollouts, the events
of each run (`run1.jsonl`, …) and `oracle.json`, the server's own account of the calls.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.corpus_server import CorpusServer, usage
from support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

PLACE = Path(__file__).parents[1] / "codex" / "corpus"
_SECONDS = 60
_COMPACT = "model_auto_compact_token_limit = 150000\n"
_AGENTS = """[agents]
max_depth = 3
[features]
multi_agent = true
collab = true
"""


@dataclass
class Run:
    """One `codex exec`: its thread, its calls by number, what was there before it."""

    plan: str
    options: list[str]
    resumes: str | None
    offsets: dict[str, int]
    started_at: float
    first_call: int
    thread: str | None = None
    exit_code: int | None = None
    ended_at: float = 0
    calls: list[int] = field(default_factory=list)


@dataclass
class Home:
    """A CODEX_HOME, the runs in it and their events."""

    codex: str
    root: Path
    server: CorpusServer
    provider: str = "loop"
    config: str = ""
    runs: list[Run] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.repo = self.root / "repo"
        self.repo.mkdir(parents=True)
        (self.root / "config.toml").write_text(
            f"""model = "gpt-5.1-codex"
model_provider = "loop"
check_for_update_on_startup = false
{self.config}
[analytics]
enabled = false
[model_providers.loop]
name = "{self.provider}"
base_url = "{self.server.base_url}"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
        )

    @property
    def rollouts(self) -> list[Path]:
        return sorted(self.root.glob("sessions/**/*.jsonl"))

    def written(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.rollouts)

    @property
    def environment(self) -> dict[str, str]:
        path = {"PATH": os.environ["PATH"], "HOME": str(self.root)}
        return {**path, "CODEX_HOME": str(self.root)}

    def start(
        self, plan: str, *options: str, resumes: str | None = None, forks: str = ""
    ) -> subprocess.Popen[bytes]:
        usual = ["--json", "--skip-git-repo-check", *options]
        place = ["-s", "danger-full-access", "-C", str(self.repo)]
        words = ["exec", *usual, *place, *(["resume", resumes] if resumes else [])]
        if forks:
            words = ["exec", "fork", forks, *usual]
        sizes = {str(p.relative_to(self.root)): p.stat().st_size for p in self.rollouts}
        calls = len(self.server.calls)
        self.runs.append(Run(plan, [*options], resumes, sizes, time.time(), calls))
        process = subprocess.Popen(
            [self.codex, *words, f"PLAN {plan}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.environment,
            cwd=self.repo,
            start_new_session=True,
        )
        self.events.append(b"")
        return process

    def end(self, process: subprocess.Popen[bytes], number: int = -1) -> str:
        """Wait for the end of a run; return its thread."""
        run = self.runs[number]
        self.events[number], _ = process.communicate(timeout=_SECONDS)
        run.exit_code, run.ended_at = process.returncode, time.time()
        run.calls = [call.number for call in self.server.calls[run.first_call :]]
        for line in self.events[number].splitlines():
            event = json.loads(line)
            run.thread = event.get("thread_id") or run.thread
            if run.thread:
                break
        return run.thread or ""

    def run(self, plan: str, *options: str, **more: str) -> str:
        return self.end(self.start(plan, *options, **more))

    def begin(self, plan: str, is_there: Callable[[], bool]) -> subprocess.Popen[bytes]:
        """Start a run and wait until the server has seen something."""
        process = self.start(plan)
        wait_until(is_there)
        return process

    def has_asked(self, number: int) -> bool:
        return len(self.server.calls) >= number


def single(home: Home) -> None:
    home.run("say")


def tools(home: Home) -> None:
    home.run("tools 3")


def resumed(home: Home) -> None:
    thread = home.run("tools 1")
    home.run("tools 2", "-m", "gpt-5.1-codex-mini", resumes=thread)
    home.run("say", resumes=thread)


def interrupted(home: Home) -> None:
    process = home.begin("hang 2", partial(home.has_asked, 3))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    # npm's launcher of Codex starts the program itself.
    os.kill(int((children or str(process.pid)).split()[0]), signal.SIGINT)
    home.run("say", resumes=home.end(process))


def killed(home: Home) -> None:
    process = home.begin("wait 2", partial(home.has_asked, 3))
    wait_until(lambda: b'"call_3"' in home.written())
    time.sleep(1)  # some versions write a call's usage now, some after its commands
    os.killpg(process.pid, signal.SIGKILL)
    thread = home.end(process)
    if str(usage(3)["total_tokens"]).encode() not in home.written():
        home.server.calls[2].state = "not written"
    home.run("tools 1", resumes=thread)


def resumed_after(end: str, home: Home) -> None:
    home.run("say", resumes=home.run(end))


def compacted(home: Home) -> None:
    home.run("tools 1", resumes=home.run("grow"))


def tiers(home: Home) -> None:
    home.run("tools 1", "-m", "gpt-5.5")
    thread = home.run("say", "-m", "gpt-5.5", "-c", 'service_tier="fast"')
    home.run("tools 1", "-m", "gpt-5.5", resumes=thread)


def rerouted(home: Home) -> None:
    thread = home.run("reroute gpt-5.5", "-m", "gpt-5.4")
    home.run("say", "-m", "gpt-5.4", resumes=thread)


def agents(home: Home) -> None:
    home.run("spawn 2", resumes=home.run("spawn 1"))


def agents_that_share(home: Home) -> None:
    thread = home.run("tools 1")
    home.run("share 1", resumes=thread)
    home.run("say", resumes=thread)


def reverted(home: Home) -> None:
    """Take the second of two turns back with the app server, as an IDE does."""
    thread = home.run("tools 1")
    home.run("say", resumes=thread)
    records = [json.loads(line) for line in home.rollouts[0].open(encoding="utf-8")]
    turns = [
        r["payload"].get("turn_id") for r in records if r["type"] == "turn_context"
    ]
    requests = [
        ("initialize", {"clientInfo": {"name": "corpus", "version": "1"}}),
        ("thread/resume", {"threadId": thread}),
        ("thread/revert", {"threadId": thread, "beforeTurnId": turns[-1]}),
    ]
    if turns[-1] is None:  # turns have no ids up to 0.98, and nothing takes one back
        return
    with subprocess.Popen(
        [home.codex, "app-server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=home.environment,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        for number, (method, params) in enumerate(requests):
            request = {"id": number, "method": method, "params": params}
            server.stdin.write(json.dumps(request) + "\n")
            server.stdin.flush()
            answers = map(json.loads, server.stdout)
            next((answer for answer in answers if answer.get("id") == number), None)
        server.stdin.close()
    home.run("tools 1", resumes=thread)


def forked(home: Home) -> None:
    child = home.run("say", forks=home.run("tools 1"))
    if child:  # `exec fork` is new in 0.169
        home.run("tools 1", forks=child)
        home.run("say", resumes=child)


def at_once(home: Home) -> None:
    pair = [home.start(plan) for plan in ("tools 2", "tools 3")]
    for number, process in enumerate(pair):
        home.end(process, number)


Steps = tuple["Callable[[Home], None]", dict[str, Any]]
SCENARIOS: dict[str, Steps] = {
    "single": (single, {}),
    "tools": (tools, {}),
    "resumed": (resumed, {}),
    "interrupted": (interrupted, {}),
    "killed": (killed, {}),
    "failed": (partial(resumed_after, "failed"), {}),
    "incomplete": (partial(resumed_after, "incomplete"), {}),
    "refused": (partial(resumed_after, "refused"), {}),
    "compacted": (compacted, {"config": _COMPACT}),
    "compacted on the server": (compacted, {"config": _COMPACT, "provider": "OpenAI"}),
    "tiers": (tiers, {"config": 'service_tier = "flex"\n'}),
    "rerouted": (rerouted, {}),
    "agents": (agents, {"config": _AGENTS}),
    "agents that share": (agents_that_share, {"config": _AGENTS}),
    "reverted": (reverted, {}),
    "forked": (forked, {}),
    "at once": (at_once, {}),
}


def record(codex: str, *names: str) -> Path:
    """Record scenarios, by default all; return the archive."""
    asked = [codex, "--version"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True)
    archive = PLACE / f"{version.stdout.split()[-1]}.tar.xz"
    server = CorpusServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with (
        tempfile.TemporaryDirectory(prefix="corpus") as directory,
        tarfile.open(archive, "w:xz", preset=9) as tar,
    ):
        for name in names or SCENARIOS:
            server.restart()
            steps, settings = SCENARIOS[name]
            home = Home(codex, Path(directory, name), server, **settings)
            steps(home)
            oracle = {
                "runs": [*map(asdict, home.runs)],
                "calls": [*map(asdict, server.calls)],
            }
            _add(tar, f"{name}/oracle.json", json.dumps(oracle, indent=1).encode())
            for number, events in enumerate(home.events, 1):
                _add(tar, f"{name}/run{number}.jsonl", events)
            for path in (home.root / "config.toml", *home.rollouts):
                where = path.relative_to(home.root)
                _add(tar, f"{name}/{where}", path.read_bytes())
            sys.stdout.write(f"{name}: {len(server.calls)} calls\n")
    server.shutdown()
    return archive


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    record(*sys.argv[1:])
