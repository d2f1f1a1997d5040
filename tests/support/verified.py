"""A state directory with real sessions that tests damage, and verify."""

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import stand_in as script
from support.commands import Cli
from support.processes import wait_until
from support.stand_in import StandIn

FIRST = script.THREAD
OTHER = "01a1f000-0000-7000-8000-00000000000f"
HOUR = 3600
CAPABILITIES = "-dac_override,-dac_read_search,-chown"
BOUND = (
    ("setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", CAPABILITIES)
    if os.getuid() == 0
    else ()
)
TABLES = ("runs", "sessions", "usage")


@dataclass(frozen=True)
class Context:
    """One state directory with real sessions, and the commands that work on it."""

    cli: Cli
    home: Path
    repo: Path
    stand_in: StandIn

    def run(
        self, *words: object, code: int | None = 0, stdin: str | None = None
    ) -> str:
        done = self.cli(*words, command="codex_tasks", cwd=self.repo, stdin=stdin)
        assert code in {None, done.returncode}, done.stdout + done.stderr
        return done.stdout

    def start(self, *words: object, thread: str = script.THREAD) -> str:
        self.stand_in.plays(*script.ordinary(), thread=thread)
        options = ["--codex-bin", self.stand_in.path, "--skip-git-repo-check"]
        started = self.run("start", *options, *words, "Do it.").strip()
        self.wait(started)
        return started

    def send(self, session: str, *words: str) -> None:
        self.run("send", session, *words)
        self.wait(session)

    def as_others(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command without the right of root to read everything."""
        return subprocess.run(
            [*BOUND, *self.cli.argv(*words, command="codex_tasks")],
            env=self.cli.env(),
            cwd=self.repo,
            capture_output=True,
            text=True,
            check=False,
        )

    def wait(self, session: str) -> None:
        wait_until(self._is_quiet, 20, what=f"the end of {session}")

    def _is_quiet(self) -> bool:
        with self.db() as db:
            living = db.execute("select 1 from runs where state <> 'finished'")
            mail = db.execute("select 1 from mail where state = 'waiting'")
            return living.fetchone() is None and mail.fetchone() is None

    def db(self) -> "closing[sqlite3.Connection]":
        return closing(sqlite3.connect(self.home / "runs.db", isolation_level=None))

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        with self.db() as db:
            return {
                name: db.execute(f"select * from {name} order by 1, 2").fetchall()  # noqa: S608
                for name in TABLES
            }

    def verify(self, *words: str) -> dict[str, Any]:
        done = self.cli("verify", "--json", *words, command="codex_tasks")
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if found["ok"] else 1), done.stderr
        return found

    def kinds(self, *words: str) -> list[str]:
        return [each["kind"] for each in self.verify(*words)["differences"]]

    def directory(self, session: str = script.THREAD) -> Path:
        return self.home / session

    def meta(self, session: str = script.THREAD) -> Path:
        return next(self.directory(session).glob("runs/*.meta.json"))


def age(path: Path) -> None:
    at = path.stat().st_mtime - 2 * HOUR
    os.utime(path, (at, at))


def mail_file(house: Context, name: str, text: str = "More.") -> Path:
    path = house.directory() / "mail" / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(0o600)
    path.write_text(text)
    return path
