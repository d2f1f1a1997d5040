"""Start commands by chance, and kill commands, supervisors and Codexes by chance.

Only processes that this one has started are killed: it adopts their orphans, so they
are below it. Each is held by a pidfd while it is looked at, so that no other process
that got its number is ever killed.
"""

import os
import random
import shlex
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from chaos.operations import Choice, Operation
from support.codex_home import ROOT, built_environment
from support.forks import load
from support.processes import command_line, processes_below, processes_with
from support.repository import make_repository, state_of
from support.stand_in import make_program

from parsers.paths import Path as LightPath
from runner.cli import codex_tasks, run_codex_task
from runner.cli.command import leave
from runner.config import RUN_MARKER
from runner.ledger.database import NAME
from runner.ledger.ledger import Ledger
from runner.lifecycle.handoff import NAME as SUPERVISOR
from runner.lifecycle.timer import ring
from runner.process.signals import WAITED, become_subreaper

AT_ONCE = 4
_PACE_SECONDS = 0.01
_KILL_EVERY_SECONDS = 0.05
_KILL_CHANCE = 0.2
# How many of the commands that bring a prompt are killed, and within what time: it is
# that of such a command.
_SENDERS_KILLED, _SENDER_SECONDS = 0.25, 0.4
# How often the ends of usage limits and back-offs come, of the looks for a kill.
_PASSING_CHANCE = 0.05
# A command that takes longer than this is stuck.
_PATIENCE_SECONDS = 60.0
_END_SECONDS = 60.0
_TIMER_SECONDS = 70.0  # above the time after which a claimed notice is due again
# One in so many commands is started as a program of its own, the others are forks.
_PROGRAM_EVERY = 8
# The numbers of the commands that follow when no process is killed any more.
_LATER = 1_000_000
_PF_FORKNOEXEC = 0x40
# The signals that a copy of a command blocks: a supervisor, a teller, a sweeper.
_BLOCKED = sum(1 << number - 1 for number in WAITED)
_HERE = Path(__file__).parent


class Chaos:
    """Hold a state directory, what has been done to it, and what was killed."""

    def __init__(self, home: Path, seed: int) -> None:
        self.home = home
        self.state = home / "state"
        self.operations: list[Operation] = []
        self.kills: Counter[str] = Counter()
        self.faults: list[str] = []
        self.sweeps = self.repaired = 0
        self._chance = random.Random(seed)  # noqa: S311  # not for secrets
        self._choice = Choice(self._chance, home)
        self._running: dict[int, Operation] = {}
        self._environment = built_environment(
            home / "home",
            CODEX_HOME=home / "codex-home",
            CODEX_RUNNER_HOME=self.state,
            CODEX_RUNNER_GRACE_SECONDS="0.5",
        )
        load()
        become_subreaper()
        self._make()

    def play(self, is_enough: Callable[[int], bool]) -> None:
        """Do operations, several at once, and kill, until it is enough."""
        killed_at = time.monotonic()
        doomed: dict[int, float] = {}
        while not is_enough(len(self.operations)):
            self._reap()
            if len(self._running) < AT_ONCE:
                sent = self._choice.next()
                self.start(sent)
                if sent.tag and self._chance.random() < _SENDERS_KILLED:
                    after = self._chance.uniform(0, _SENDER_SECONDS)
                    doomed[sent.pid] = time.monotonic() + after
            for pid in [pid for pid, at in doomed.items() if time.monotonic() >= at]:
                del doomed[pid]
                self.kills["sender"] += pid in self._running and self._signal(pid)
            if time.monotonic() - killed_at >= _KILL_EVERY_SECONDS:
                killed_at = time.monotonic()
                self._kill()
                if self._chance.random() < _PASSING_CHANCE:
                    self._let_time_pass()
            time.sleep(_PACE_SECONDS)

    def settle(self) -> None:
        """Kill no more; sweeps alone must bring everything to an end."""
        deadline = time.monotonic() + _END_SECONDS
        # A command follows the turns of its prompt, which may wait for one of these.
        self.change("update queues set slots = null")
        self.change("update sessions set paused = 0")
        self._let_time_pass()
        self._wait_for_commands()
        for row in self.rows("select short_id from sessions where archived_at > ''"):
            self.run("unarchive", row["short_id"])
        self.run("slots", "none")
        self.run("slots", "none", "--group", "one")
        for row in self.rows("select short_id from sessions where paused"):
            self.run("resume", row["short_id"])
        while self._open() and time.monotonic() < deadline:
            self._let_time_pass()
            self.sweeps += 1
            self.run("ls", "--json")
            time.sleep(0.1)
        if found := self._open():
            self.faults.append(f"stuck after {self.sweeps} sweeps: {found}")
        self._end_tools(deadline)
        # All that could still tell is gone now: what is due is told by a command.
        while self.rows("select 1 from outbox where done_at is null"):
            self.change("update outbox set due_at = '2000' where done_at is null")
            self.run("ls", "--json")
            self._wait_for_processes(deadline)
            if time.monotonic() > deadline:
                break

    def run(self, *words: str) -> Operation:
        """Do one operation to its end; no process is killed."""
        number, place = _LATER + len(self.operations), self.home / "operations"
        operation = Operation(number, "codex_tasks", [*words], place)
        self.start(operation)
        self._wait_for_commands()
        return operation

    def start(self, operation: Operation) -> None:
        """Start a command in the background."""
        self.operations.append(operation)
        operation.began = time.time()
        sys.stdout.flush()
        operation.pid = os.fork()
        if operation.pid == 0:
            self._be(operation)
        self._running[operation.pid] = operation

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Ask the ledger."""
        with closing(sqlite3.connect(self.state / NAME, timeout=60)) as db:
            db.row_factory = sqlite3.Row
            return db.execute(sql, values).fetchall()

    def change(self, sql: str) -> None:
        """Change the ledger."""
        with closing(sqlite3.connect(self.state / NAME, timeout=60)) as db, db:
            db.execute(sql)

    def log(self) -> Iterator[list[str]]:
        """Read what the Codexes have done: what, tag, thread, run, pid."""
        path = self.home / "codex.log"
        for line in path.read_text().splitlines() if path.exists() else ():
            yield line.split()

    def end(self) -> list[str]:
        """End what is left and name it.

        A tool of a session that was removed is no fault: no command knows it any more.
        """
        sql = "select run_id from chaos where what = 'run removed'"
        tools = {pid for row in self.rows(sql) for pid in self._tools(row["run_id"])}
        # A timer may sleep until a notification that a supervisor has sent was due.
        deadline = time.monotonic() + _TIMER_SECONDS
        while (left := processes_below(os.getpid())) and time.monotonic() < deadline:
            if not any(command_line(pid).startswith("codex-timer") for pid in left):
                break
            time.sleep(_PACE_SECONDS)
        names = [f"{pid} {command_line(pid)}" for pid in left if pid not in tools]
        for pid in left:
            self._signal(pid)
        return names

    def _tools(self, run_id: str) -> list[int]:
        """List what Codex has left running of a run."""
        marked = processes_with(RUN_MARKER, run_id)
        return [pid for pid in marked if not _has_executed(pid)]

    def _make(self) -> None:
        locks = "codex-home/thread-writer-locks"
        for name in ("held", "operations", locks, "logs"):
            (self.home / name).mkdir(parents=True)
        make_repository(self.home / "repo")
        self.of_user = state_of(self.home / "repo")
        for name in ("codex", "check"):
            make_program(self.home / name, _HERE / f"{name}.py", str(self.home))
        hooks = shlex.quote(str(self.home / "hooks.jsonl"))
        (self.home / "hook.sh").write_text(f"cat >> {hooks}\n")
        events = shlex.quote(str(self.home / "events.jsonl"))
        (self.home / "notify.sh").write_text(f"cat >> {events}\n")
        Ledger(self.state).close()
        with closing(sqlite3.connect(self.state / NAME)) as db:
            db.executescript((_HERE / "audit.sql").read_text())

    def _be(self, operation: Operation) -> None:
        """Be the command, in a fork of this process or as a program of its own."""
        try:
            for name, descriptor in (("out", 1), ("err", 2)):
                path = operation.place / f"{operation.number}.{name}"
                opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(opened, descriptor)
                os.close(opened)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.chdir(self.home)
            if operation.number % _PROGRAM_EVERY == 0:
                module = f"runner.cli.{operation.command}"
                environment = {**self._environment, "PYTHONPATH": str(ROOT)}
                argv = [sys.executable, "-P", "-m", module, *operation.words]
                os.execve(sys.executable, argv, environment)  # noqa: S606  # no shell is wanted
            os.environ.clear()
            os.environ.update(self._environment)
            command = (
                codex_tasks if operation.command == "codex_tasks" else run_codex_task
            )
            leave(command.main(operation.words))
        except BaseException:  # noqa: BLE001  # a child must never come back from here
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(70)

    def _reap(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            operation = self._running.pop(pid, None)
            if operation is None:
                continue
            operation.code = os.waitstatus_to_exitcode(status)
            operation.ended = time.time()
            self._choice.known(operation)
            if operation.verb == "stop" and operation.code == 0:
                self._check_stopped(operation)

    def _wait_for_commands(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        passing = time.monotonic()
        while self._running and time.monotonic() < deadline:
            self._reap()
            time.sleep(_PACE_SECONDS)
            if time.monotonic() - passing >= 1:
                passing = time.monotonic()
                self._let_time_pass()
        for pid, operation in self._running.items():
            self.faults.append(f"a command does not end: {operation}")
            os.kill(pid, signal.SIGKILL)

    def _wait_for_processes(self, deadline: float, *, with_timer: bool = True) -> None:
        """Wait until only tools are left, and without `with_timer` the timer."""
        while time.monotonic() < deadline:
            left = [
                pid
                for pid in processes_below(os.getpid())
                if with_timer or self._kind(pid) != "timer"
            ]
            if not any(_has_executed(pid) or _is_copy(pid) for pid in left):
                return
            time.sleep(_PACE_SECONDS)

    def _check_stopped(self, operation: Operation) -> None:
        """See that nothing is open that was there before a stop that said so."""
        limit = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(operation.began))
        limit += f".{int(operation.began % 1 * 1000):03}Z"
        for row in self.rows(
            "select p.id, p.state, p.preview from prompts p join sessions s on"
            " s.id = p.session where p.ended_at is null and p.queued_at < ?"
            " and (s.thread_id = ? or ? is null)",
            limit,
            operation.session,
            operation.session,
        ):
            self.faults.append(f"open after `{operation}`: {tuple(row)}")

    def _kill(self) -> None:
        """Kill at chance one of the processes that work."""
        if self._chance.random() >= _KILL_CHANCE:
            return
        found: dict[str, list[int]] = {"command": [*self._running]}
        for pid in processes_below(os.getpid()):
            if (what := self._kind(pid)) is not None:
                found.setdefault(what, []).append(pid)
        what = self._chance.choice(
            sorted(kind for kind, pids in found.items() if pids) or ["command"]
        )
        if found[what] and self._signal(self._chance.choice(found[what])):
            self.kills[what] += 1

    def _kind(self, pid: int) -> str | None:
        """Say what a process is; None of a hook or a tool."""
        if pid in self._running:
            return None
        words = command_line(pid)
        if words.startswith("codex-timer"):
            # A hook that it has started has this name until it is executed.
            return "timer" if _blocked_by(pid) in {0, _BLOCKED} else None
        if _is_copy(pid):
            # It takes this name once it has recorded its run.
            return "supervisor" if SUPERVISOR in words else "copy"
        names = (name for name in ("codex", "check") if f"{name}." in words)
        return next(names, None) if _has_executed(pid) else None

    def _signal(self, pid: int) -> bool:
        """Kill a process that is ours; tell whether it was."""
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                if pid in processes_below(os.getpid()):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    return True
            finally:
                os.close(descriptor)
        return False

    def _open(self) -> list[tuple[object, ...]]:
        """List what is not over: runs, and prompts that wait for no person."""
        runs = self.rows("select run_id, state from runs where state <> 'finished'")
        prompts = self.rows(
            "with recursive held(session) as (select session from prompts"
            " where hold is not null and ended_at is null"
            # A session of which a prompt needs one of a held session stands too.
            " union select p.session from held join prompts q using (session)"
            " join needs n on n.needs = q.id and not n.met"
            " join prompts p on p.id = n.prompt"
            " where q.ended_at is null and p.ended_at is null)"
            " select p.id, p.state, w.word, w.detail from prompts p"
            " left join why_waiting w on w.id = p.id where p.ended_at is null"
            " and p.session not in held"
        )
        return [tuple(row) for row in (*runs, *prompts)]

    def _let_time_pass(self) -> None:
        """Let the back-offs end."""
        self.change("update prompts set wake_at = wake_from where wake_at is not null")
        self.change("update holds set until = '2000-01-01T00:00:00.000Z'")
        ring(LightPath(str(self.state)))

    def _end_tools(self, deadline: float) -> None:
        """See that `stop` ends what Codexes have left running, and that it is all."""
        time.sleep(0.2)
        ids = [row[0] for row in self.rows("select short_id from sessions")]
        if ids:
            self.run("stop", *ids)
        # The timer waits until what a killed process has claimed can be told again.
        self._wait_for_processes(deadline, with_timer=False)


def _has_executed(pid: int) -> bool:
    """Say whether a process has become its program: before, it looks as its parent."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return not int(text.rpartition(")")[2].split()[6]) & _PF_FORKNOEXEC


def _is_copy(pid: int) -> bool:
    """Say whether a process is a copy of a command that goes on without that one."""
    return _blocked_by(pid) == _BLOCKED


def _blocked_by(pid: int) -> int:
    """Give the signals that a process blocks, -1 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return -1
    _, _, blocked = text.partition("\nSigBlk:")
    return int(blocked.split()[0], 16)
