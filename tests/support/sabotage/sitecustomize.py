"""Lets a test stop a command of the suite at an exact point of its work.

Python imports this at its start when `support.sabotage` has put its directory on
PYTHONPATH. `CODEX_TEST_SABOTAGE` holds a JSON list of points; each names a word of the
command line, an audit event of the interpreter, a text among its arguments, and what
happens when that comes for the n-th time. SQL statements are events too, named
`sqlite3.execute`; `effect` stands for every event by which others see a change.
"""

import functools
import json
import os
import signal
import sys
import time

_VARIABLE = "CODEX_TEST_SABOTAGE"
_EFFECTS = {
    *("os.rename", "os.remove", "os.mkdir", "os.rmdir"),
    *("os.fork", "os.posix_spawn"),
}
# What a command detaches: a copy, whose command line is still that of the command.
_SUPERVISOR = "runner.supervisor"


def install() -> None:
    """Watch for the points that the environment names."""
    points: list[dict[str, object]] = json.loads(os.environ.get(_VARIABLE, "[]"))
    mine = [point for point in points if point["who"] in sys.orig_argv]
    supervisors = [point for point in points if point["who"] == _SUPERVISOR]
    if not mine and not supervisors:
        return
    seen = dict.fromkeys(range(len(points)), 0)

    def be_supervisor() -> None:
        mine[:] = supervisors
        seen.update(dict.fromkeys(seen, 0))

    os.register_at_fork(after_in_child=be_supervisor)

    def hook(event: str, arguments: "tuple[object, ...]") -> None:
        for number, point in enumerate(mine):
            if _is_at(point, event, arguments):
                seen[number] += 1
                if seen[number] == point["time"]:
                    _do(point)

    _let_sql_be_heard()
    sys.addaudithook(hook)


def _is_at(
    point: "dict[str, object]", event: str, arguments: "tuple[object, ...]"
) -> bool:
    if point["event"] == "effect":
        return _is_effect(event, arguments)
    if event == "os.posix_spawn":
        arguments = arguments[:2]  # the environment holds all of these texts
    return event == point["event"] and str(point["text"]) in repr(arguments)


def _is_effect(event: str, arguments: "tuple[object, ...]") -> bool:
    if event == "open":
        path, _, flags = arguments
        is_new_or_grows = int(str(flags)) & (os.O_EXCL | os.O_APPEND)
        return bool(is_new_or_grows) and not str(path).endswith(".tmp")
    if event == "sqlite3.execute":
        return arguments[0] == "commit"
    return event in _EFFECTS


def _let_sql_be_heard() -> None:
    import _sqlite3  # noqa: PLC0415  # only where something is to happen
    import sqlite3  # noqa: PLC0415

    class Heard(sqlite3.Connection):
        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
            try:
                sys.audit("sqlite3.execute", sql)
            except OSError as error:
                message = "database or disk is full"
                raise sqlite3.OperationalError(message) from error
            return super().execute(sql, *values)  # type: ignore[arg-type]  # passed on

    connect = functools.partial(sqlite3.connect, factory=Heard)
    _sqlite3.connect = sqlite3.connect = connect  # type: ignore[assignment]  # called as it is


def _do(point: "dict[str, object]") -> None:
    if mark := point.get("mark"):
        os.close(os.open(str(mark), os.O_CREAT | os.O_WRONLY, 0o600))
    if point["then"] == "die with children":
        with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123  # as below
            for pid in file.read().split():
                os.kill(int(pid), signal.SIGKILL)
    if str(point["then"]).startswith("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if point["then"] == "be no copy":
        for name in ("runner.lifecycle.handoff", "runner.supervisor.main"):
            if module := sys.modules.get(name):
                module.IS_COPY = False  # type: ignore[attr-defined]  # it has it
        return
    if point["then"] == "fail":
        raise OSError(28, "No space left on device")
    reached, go = str(point["reached"]), str(point["go"])
    os.close(os.open(reached, os.O_CREAT | os.O_WRONLY, 0o600))
    while not os.path.exists(go):  # noqa: PTH110  # pathlib would raise events too
        time.sleep(0.005)


install()
