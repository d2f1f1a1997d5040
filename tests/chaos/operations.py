"""What the chaos does: commands with chance arguments, and what they have said."""

import json
import random
import re
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TASKS, TASK = "codex_tasks", "run_codex_task"
MODES = (
    *(("ok",) * 30 + ("fail",) * 4),
    *("crash", "crash", "early", "early", "tool", "limit", "limit", "busy", "busy"),
)
MOST_SESSIONS = 7
CHANGES = ("pause", "resume", "resume", "retry", "retry", "deliver")
# The share of prompts with a check, and their turns.
_CHECKED, CHECKS = 0.25, 3
_RUN_ID = r"\d{8}-\d{6}-\d{6}-[0-9a-f]{8}"


@dataclass(slots=True)
class Operation:
    """One command: what it was given, and how it ended.

    `tag` is the prompt that it brings, `session` the thread that it names. `code` is
    negative when a signal has ended it, None while it runs.
    """

    number: int
    command: str
    words: list[str]
    place: Path
    tag: str | None = None
    session: str | None = None
    began: float = field(default_factory=time.time)
    pid: int = 0
    code: int | None = None
    ended: float = 0.0

    @property
    def verb(self) -> str:
        return self.words[0] if self.command == TASKS else self.command

    @property
    def stdout(self) -> str:
        return self._read("out")

    @property
    def stderr(self) -> str:
        return self._read("err")

    @property
    def is_accepted(self) -> bool:
        """Say whether the command has said that its prompt is taken."""
        if self.tag is None:
            return False
        return self.code == 0 or "codex_run_id=" in self.stdout

    @property
    def run_ids(self) -> set[str]:
        """Give the ids of its run that it has printed, also before it was killed."""
        said = re.findall(rf"^codex_run_id=({_RUN_ID})$", self.stdout, re.MULTILINE)
        said += re.findall(rf"delivered by run ({_RUN_ID})", self.stderr)
        return {*said, *re.findall(rf"recorded as run ({_RUN_ID})", self.stderr)}

    @property
    def threads(self) -> set[str]:
        """Give the threads that it has printed as its own."""
        if self.verb == "start" and "--queue" not in self.words:
            return {line for line in self.stdout.splitlines(keepends=True) if line}
        return set(
            re.findall(r"^codex_session_id=(\S{36})\n", self.stdout, re.MULTILINE)
        )

    def __str__(self) -> str:
        words = shlex.join(self.words)
        end = "runs" if self.code is None else f"{self.code}"
        seconds = f"{self.ended - self.began:.2f} s" if self.ended else ""
        at = time.strftime("%H:%M:%S", time.gmtime(self.began))
        milliseconds = int(self.began % 1 * 1000)
        start = f"{at}.{milliseconds:03} {self.verb} pid {self.pid}"
        return f"{start}: {words} -> {end} {seconds}"

    def _read(self, name: str) -> str:
        path = self.place / f"{self.number}.{name}"
        return path.read_text(errors="replace") if path.exists() else ""


class Choice:
    """Choose operations by chance, on the sessions that are known."""

    def __init__(self, chance: random.Random, home: Path) -> None:
        self._chance = chance
        self._home = home
        self._count = 0
        self.sessions: list[str] = []
        self._log_dir = home / "logs"
        self._tasks = ("--working-dir", str(home / "repo"))
        self._codex = ("--codex-bin", str(home / "codex"))

    def next(self) -> Operation:
        """Choose the next one."""
        self._count += 1
        if not self.sessions or self._count <= 3:
            return self._start()
        verbs: Sequence[tuple[int, Callable[[], Operation]]] = (
            (4 if len(self.sessions) < MOST_SESSIONS else 0, self._start),
            (4, self._run),
            (4, self._resume),
            (12, self._send),
            (26, self._queue),
            (7, self._stop),
            (3, self._archive),
            (4, self._unarchive),
            (2, self._remove),
            (3, self._start_later),
            (6, self._slots),
            (6, self._change),
            (4, lambda: self._on_session(self._chance.choice(CHANGES))),
            (5, self._status),
            (5, self._wait),
            (3, lambda: self._make(TASKS, "ls", "--json")),
            (2, lambda: self._make(TASKS, "verify", "--json")),
        )
        (verb,) = self._chance.choices([v for _, v in verbs], [w for w, _ in verbs])
        return verb()

    def known(self, operation: Operation) -> None:
        """Learn the sessions that an operation has made or removed."""
        for thread in operation.threads:
            if thread.strip() not in self.sessions:
                self.sessions.append(thread.strip())
        is_removed = operation.verb == "rm" and operation.code == 0
        if operation.session in self.sessions and (
            is_removed or "no task" in operation.stderr
        ):
            self.sessions.remove(operation.session)

    def _make(
        self,
        command: str,
        *words: str,
        tag: str | None = None,
        session: str | None = None,
    ) -> Operation:
        place = self._home / "operations"
        return Operation(self._count, command, [*words], place, tag, session)

    def _prompt(self) -> tuple[str, str]:
        """Make a prompt, and its tag."""
        tag = f"p{self._count}"
        how, pause = (
            self._chance.choice(MODES),
            self._chance.choice((0, 5, 20, 60, 250)),
        )
        return tag, f"{tag} {how} {pause}"

    def _checks(self, tag: str) -> list[str]:
        """Let some prompts be checked."""
        if self._chance.random() >= _CHECKED:
            return []
        command = f"{self._home / 'check'} {tag}"
        return ["--verify", command, "--max-iterations", str(CHECKS)]

    def _terms(self, tag: str) -> list[str]:
        """Choose a worktree, a budget that is never used up, a check and a program."""
        found = ["--worktree"] if self._chance.random() < 0.15 else []
        found += ["--max-tokens", "1000000"] if self._chance.random() < 0.2 else []
        return [*found, *self._notified(), *self._checks(tag)]

    def _notified(self) -> list[str]:
        """Choose whether a prompt notifies a program."""
        program = f"sh {self._home / 'notify.sh'}"
        return ["--notify", program] if self._chance.random() < 0.3 else []

    def _session(self) -> str:
        return self._chance.choice(self.sessions)

    def _start(self) -> Operation:
        tag, prompt = self._prompt()
        words = ("start", *self._terms(tag), *self._tasks, *self._codex)
        return self._make(TASKS, *words, prompt, tag=tag)

    def _run(self) -> Operation:
        tag, prompt = self._prompt()
        words = [*self._run_words(), *self._checks(tag), "--task", prompt]
        return self._make(TASK, *words, tag=tag)

    def _resume(self) -> Operation:
        tag, prompt = self._prompt()
        session = self._session()
        words = [*self._run_words(), *self._checks(tag)]
        words += ["--resume", session, "--task", prompt]
        if self._chance.random() < 0.6:
            words.append("--wait-for-session")
        return self._make(TASK, *words, tag=tag, session=session)

    def _run_words(self) -> list[str]:
        words = ["--repo", str(self._home / "repo"), "--log-dir", str(self._log_dir)]
        words += [*self._codex, "--timeout", "20"]
        words += ["--event-stream", str(self._home / "stream.jsonl")]
        words += self._notified()
        words += ["--notify-cmd", f"sh {self._home / 'hook.sh'}"]
        if self._chance.random() < 0.3:
            words.append("--wait-for-slot")
        return [*words, "--detach"] if self._chance.random() < 0.4 else words

    def _send(self) -> Operation:
        tag, prompt = self._prompt()
        session = self._session()
        words = ("send", *self._terms(tag), session, prompt)
        return self._make(TASKS, *words, tag=tag, session=session)

    def _queue(self) -> Operation:
        tag, prompt = self._prompt()
        session = self._session()
        words = (
            "send",
            "--queue",
            *self._notified(),
            *self._wishes(),
            *self._checks(tag),
        )
        words += (session, prompt)
        return self._make(TASKS, *words, tag=tag, session=session)

    def _wishes(self) -> list[str]:
        """Choose how a prompt waits: mostly as usual."""
        wishes: list[list[str]] = [
            *([] for _ in range(8)),
            ["--priority", str(self._chance.randint(-3, 3))],
            ["--not-before", "+1s"],
            ["--after", self._session()],
            ["--after-any-end", self._session()],
            ["--group", "one"],
            ["--recoveries", "1"],
            ["--retries", "1"],
            ["--expires", "1s"],
        ]
        return self._chance.choice(wishes)

    def _start_later(self) -> Operation:
        tag, prompt = self._prompt()
        how = (*self._notified(), *self._wishes())
        words = ("start", "--queue", *how, *self._tasks, *self._codex)
        words += tuple(self._checks(tag))
        return self._make(TASKS, *words, prompt, tag=tag)

    def _slots(self) -> Operation:
        slots = self._chance.choice(("0", "1", "2", "3", "none", "none"))
        group = ["--group", "one"] if self._chance.random() < 0.3 else []
        return self._make(TASKS, "slots", slots, *group)

    def _change(self) -> Operation:
        """Change a prompt by its number, which may wait or not."""
        number = str(self._chance.randint(max(1, self._count // 2), self._count))
        words: list[list[str]] = [
            ["rm", number],
            ["move", number, "--first"],
            ["edit", number, "--priority", "3"],
            ["edit", number, "--after", self._session()],
        ]
        return self._make(TASKS, "queue", *self._chance.choice(words))

    def _stop(self) -> Operation:
        if self._chance.random() < 0.1:
            return self._make(TASKS, "stop", "-a")
        return self._on_session("stop")

    def _archive(self) -> Operation:
        return self._on_session("archive")

    def _unarchive(self) -> Operation:
        return self._on_session("unarchive")

    def _remove(self) -> Operation:
        return self._on_session("rm")

    def _status(self) -> Operation:
        return self._on_session("status", "--json")

    def _wait(self) -> Operation:
        return self._on_session("status", "--wait", "--timeout", "2")

    def _on_session(self, *words: str) -> Operation:
        session = self._session()
        return self._make(TASKS, *words, session, session=session)


def differences(operation: Operation) -> list[dict[str, object]]:
    """Read what `verify --json` has found."""
    found: list[dict[str, object]] = json.loads(operation.stdout)["differences"]
    return found
