"""A stand-in `codex` that misbehaves on demand: plays the script beside it.

Run as `stand_in_codex.pyc SELF [codex arguments]`: SELF.script holds the script,
written by `support.stand_in`, and SELF.record collects what each call was given, both
as `marshal` writes them. The tests start it thousands of times: it is compiled, and
what it imports is in the interpreter, save what a step alone needs.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import NoReturn

    Step = dict[str, object]
_CHUNK = 1 << 20


class Play:
    """One call: its arguments, and the script's steps carried out in order."""

    def __init__(self, own_path: str, arguments: Sequence[str]) -> None:
        self.own_path = own_path
        self.arguments = list(arguments)
        with open(own_path + ".script", "rb") as file:  # noqa: PTH123  # pathlib costs more than the rest
            self.script = marshal.load(file)  # noqa: S302  # json does too
        asked = self._asked_thread()
        self.thread = str(self.script["thread"] if asked is None else asked)
        if self.thread == "fresh":
            self.thread = _fresh_thread()
        self.prompt = ""

    def run(self) -> int:
        if {"--version", "-V"} & set(self.arguments):
            self.record(version=True)
            _write(1, f"{self.script['version']}\n".encode())
            return 0
        if self.arguments[:2] == ["login", "status"]:
            _write(2, f"{self.script['login'] or 'Not logged in'}\n".encode())
            return 0 if self.script["login"] else 1
        stdin = self._stdin()
        self.prompt = stdin or ""
        self.record(stdin=stdin, thread=self.thread)
        self.play(self.script["steps"])
        return 0

    def play(self, steps: Sequence[Step]) -> None:
        for step in steps:
            getattr(self, f"do_{step['do']}")(step)

    def do_bytes(self, step: Step) -> None:
        descriptor = 2 if step["to"] == "stderr" else 1
        data = step["data"]
        assert isinstance(data, bytes)
        data = data.replace(b"$THREAD", self.thread.encode())
        if b"$PROMPT" in data:
            data = data.replace(b"$PROMPT", _in_json(self.prompt))
        _write(descriptor, data)
        if b'"turn.started"' in data:
            self.record(began=self.prompt, thread=self.thread)

    def do_fill(self, step: Step) -> None:
        left = int(str(step["count"]))
        while left > 0:
            _write(1, b"x" * min(left, _CHUNK))
            left -= _CHUNK

    def do_write(self, step: Step) -> None:
        path = self._expand(str(step["path"]))
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)  # noqa: PTH103, PTH120  # as above
        with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123  # as above
            file.write(self._expand(str(step["text"])))

    def do_wait(self, step: Step) -> None:
        time.sleep(float(str(step["seconds"])))

    def do_wait_for(self, step: Step) -> None:
        while not os.path.exists(str(step["path"])):  # noqa: PTH110  # as above
            time.sleep(0.005)

    def do_when(self, step: Step) -> None:
        steps = step["steps"]
        assert isinstance(steps, list)
        if str(step["text"]) in self.prompt:
            self.play(steps)
            os._exit(0)

    def do_alone(self, _: Step) -> None:
        """Hold the thread until our end; record it when another call holds it."""
        path = f"{self.own_path}.{self.thread}.held"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.record(together=self.thread)

    def do_hang(self, _: Step) -> NoReturn:
        while True:
            time.sleep(3600)

    def do_ignore(self, step: Step) -> None:
        for name in _names(step["signals"]):
            _signal().signal(_number(name), _signal().SIG_IGN)

    def do_on_signal(self, step: Step) -> None:
        steps = step["steps"]
        assert isinstance(steps, list)

        def handle(_number: int, _frame: object) -> None:
            self.play(steps)

        _signal().signal(_number(str(step["signal"])), handle)

    def do_repeat(self, step: Step) -> None:
        steps = step["steps"]
        assert isinstance(steps, list)
        for _ in range(int(str(step["times"]))):
            self.play(steps)

    def do_spawn(self, step: Step) -> None:
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            os.close(reader)
            self._be_child(step, writer)
        os.close(writer)
        self.record(child=int(os.read(reader, 16)))
        os.close(reader)
        if step["double_fork"]:
            os.waitpid(child, 0)

    def do_native(self, step: Step) -> NoReturn:
        """Start the native child, pass signals on to it, and end as it does."""
        program, script = str(step["program"]), str(step["script"])
        text = script.replace("$THREAD", self.thread)
        child = os.posix_spawn(program, [program, "-c", text], os.environ)

        def pass_on(number: int, _frame: object) -> None:
            os.kill(child, number)

        for name in ("INT", "TERM"):
            _signal().signal(_number(name), pass_on)
        self.record(native=child)
        if step["leave"] is not None:
            self.do_exit({"code": step["leave"]})
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            name = _signal().Signals(os.WTERMSIG(status)).name
            self.do_die({"signal": name.removeprefix("SIG")})
        os._exit(os.waitstatus_to_exitcode(status))

    def do_exit(self, step: Step) -> NoReturn:
        os._exit(int(str(step["code"])))

    def do_die(self, step: Step) -> None:
        number = _number(str(step["signal"]))
        if number != _number("KILL"):
            _signal().signal(number, _signal().SIG_DFL)
        os.kill(os.getpid(), number)

    def record(self, **facts: object) -> None:
        """Append one line; a single write, so that calls at once do not mix."""
        status = _status()
        line = {
            "argv": self.arguments,
            "cwd": os.getcwd(),  # noqa: PTH109  # as above
            "env": dict(os.environ),
            "umask": int(status["Umask"], 8),
            "pid": os.getpid(),
            "ppid": os.getppid(),
            "pgid": os.getpgid(0),
            "sid": os.getsid(0),
            "descriptors": _open_descriptors(),
            "ignored": int(status["SigIgn"], 16),
            **facts,
        }
        path = self.own_path + ".record"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        descriptor = os.open(path, flags, 0o600)
        os.write(descriptor, marshal.dumps(line))
        os.close(descriptor)

    def _stdin(self) -> str | None:
        if not self.script["read_stdin"]:
            return None
        return sys.stdin.buffer.read().decode("utf-8", "replace")

    def _asked_thread(self) -> str | None:
        """Find the id in `exec [options] resume [options] ID -`."""
        if "resume" not in self.arguments:
            return None
        after = self.arguments[self.arguments.index("resume") + 1 :]
        return next((word for word in reversed(after) if word.count("-") == 4), None)

    def _expand(self, text: str) -> str:
        home = os.environ.get("CODEX_HOME", os.path.expanduser("~/.codex"))  # noqa: PTH111  # as above
        return text.replace("$THREAD", self.thread).replace("$CODEX_HOME", home)

    def _be_child(self, step: Step, writer: int) -> NoReturn:
        """Be a tool that Codex has started: sleeps, perhaps beyond its parent's end."""
        try:
            if step["own_session"]:
                os.setsid()
            if step["double_fork"] and os.fork() != 0:
                os._exit(0)
            for name in _names(step["ignore"]):
                _signal().signal(_number(name), _signal().SIG_IGN)
            os.write(writer, str(os.getpid()).encode())
            os.close(writer)
            if not step["keep_output"]:
                _leave_output()
            time.sleep(float(str(step["seconds"])))
        finally:
            os._exit(0)


def _fresh_thread() -> str:
    """Make a thread id as Codex does: a UUID of version 7."""
    text = f"{time.time_ns() // 1_000_000:012x}" + os.urandom(10).hex()
    return "-".join(
        (text[:8], text[8:12], f"7{text[13:16]}", f"8{text[17:20]}", text[20:])
    )


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _leave_output() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def _names(value: object) -> list[str]:
    assert isinstance(value, list)
    return [str(name) for name in value]


def _signal() -> ModuleType:
    import signal  # noqa: PLC0415 - its import takes half as long as the start

    return signal


def _number(name: str) -> int:
    number: int = _signal().Signals[f"SIG{name}"]
    return number


def _in_json(text: str) -> bytes:
    """Write a text as it is within a JSON string."""
    if text.isascii() and text.isprintable() and not {'"', "\\"} & set(text):
        return text.encode()
    import json  # noqa: PLC0415 - as above

    return json.dumps(text)[1:-1].encode()


def _status() -> dict[str, str]:
    """Read the fields of /proc/self/status."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
        lines = [line.partition(":") for line in file]
    return {name: value.strip() for name, _, value in lines}


def _open_descriptors() -> dict[str, str]:
    """Show where each inherited descriptor leads."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # as above
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115  # as above
        except OSError:
            continue  # the listing's own descriptor
    return found


if __name__ == "__main__":
    # All is written, and the interpreter's own end takes a while.
    os._exit(Play(sys.argv[1], sys.argv[2:]).run())
