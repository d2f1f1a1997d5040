"""Runs commands as forks of an interpreter that has loaded the suite already.

Loading takes most of a command's time. What a fork has of its own is the rest: process,
environment, directory, streams, exit code. A test of how a program is loaded starts
interpreters: by a variable that Python reads, other than for a sabotage.

Run as a program, this is the interpreter. Its standard input is a socket, and it forks
for each message there. It adopts the supervisors of commands that have ended, so they
are found below it.
"""

import gc
import importlib
import inspect
import json
import os
import pkgutil
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from support import sabotage
from support.sabotage import sitecustomize

from runner.cli.command import leave
from runner.process.signals import become_subreaper

# The libraries that commands load when they need them.
_LIBRARIES = ("genai_prices.data_snapshot", "jsonlines", "plumbum")
# These are read once: by an interpreter at its start, PATH by plumbum.
_EARLY = ("LANG", "LC_", "LD_", "PATH", "PYTHON")
# With this in its environment a command is an interpreter of its own.
INTERPRETER = {"PYTHONHASHSEED": "random"}
_KEPT = ("LANG", "LC_ALL", "PATH")
_STREAMS = 3
_TESTS = str(Path(__file__).parents[1])
# In which a pid is told, and then a status.
_DIGITS = 8
# How soon an adopted process that has ended is collected.
_PACE_MILLISECONDS = 100


class Forks:
    """The interpreter and the way to it; one for each xdist worker."""

    def __init__(self) -> None:
        self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._interpreter = subprocess.Popen(
                [sys.executable, "-P", "-m", "support.forks"],
                stdin=its.fileno(),
                # An interpreter asks at its start of what kind they are.
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={
                    **{each: os.environ[each] for each in _KEPT if each in os.environ},
                    "PYTHONPATH": _TESTS,
                },
            )

    @property
    def pid(self) -> int:
        """Name the process below which the forks are."""
        return self._interpreter.pid

    def close(self) -> None:
        self._control.close()
        self._interpreter.communicate()

    def can_run(self, env: Mapping[str, str]) -> bool:
        """Say whether a fork does what a new interpreter in this environment does."""
        early = {name: env[name] for name in env if name.startswith(_EARLY)}
        if sabotage.is_for_forks(env):
            del early["PYTHONPATH"]
        return all(
            name in _KEPT and os.environ.get(name) == early[name] for name in early
        )

    def start(self, argv: list[str], **options: Any) -> subprocess.Popen[Any]:  # noqa: ANN401  # Popen's own
        """Run a module as `Popen` does; `argv` begins with its name."""
        return _Fork(self._control, argv, **options)


class _Fork(subprocess.Popen[Any]):
    """A child of the interpreter in the place of our own."""

    def __init__(self, control: socket.socket, argv: list[str], **options: Any) -> None:  # noqa: ANN401  # passed on
        self._control = control
        super().__init__(argv, **options)

    def _execute_child(self, *given: Any) -> None:  # noqa: ANN401  # Popen has prepared it
        names = inspect.signature(super()._execute_child).parameters  # type: ignore[misc]  # it is there
        its = dict(zip(names, given, strict=True))
        self._told, theirs = socket.socketpair()
        pipes = (its["p2cread"], its["c2pwrite"], its["errwrite"])
        # One that is not piped is our own.
        streams = [own if pipe < 0 else pipe for own, pipe in enumerate(pipes)]
        with theirs:
            socket.send_fds(self._control, [b"!"], [theirs.fileno(), *streams])
        cwd, in_session = str(its["cwd"]), its["start_new_session"]
        request = [its["args"], dict(its["env"]), cwd, _umask(), in_session]
        self._told.sendall(json.dumps(request).encode())
        self._told.shutdown(socket.SHUT_WR)
        self.pid = int(self._told.recv(_DIGITS, socket.MSG_WAITALL))
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(its[end] for end in ends))  # type: ignore[attr-defined]  # as above

    def _internal_poll(self, **_: object) -> int | None:
        return self._end_within(0)

    def _wait(self, timeout: float | None) -> int:
        code = self._end_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _end_within(self, seconds: float | None) -> int | None:
        """Take its exit code, once it has ended."""
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._told, select.POLLIN)
            if waiting.poll(None if seconds is None else seconds * 1000):
                with self._told:
                    status = int(self._told.recv(_DIGITS, socket.MSG_WAITALL))
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def _umask() -> int:
    """Read the umask; to set it would concern the other threads."""
    _, _, text = Path("/proc/self/status").read_text().partition("\nUmask:")
    return int(text.split()[0], 8)


class _Server:
    """Forks for each message, and tells the pid and then the exit status of each."""

    def __init__(self) -> None:
        self._control = socket.socket(fileno=0)
        self._running: dict[int, tuple[int, socket.socket]] = {}
        self._waiting = select.poll()
        self._waiting.register(self._control, select.POLLIN)

    def serve(self) -> None:
        while True:
            for ready, _ in self._waiting.poll(_PACE_MILLISECONDS):
                if ready in self._running:
                    self._end(ready)
                elif not self._begin():
                    return
            self._collect()

    def _collect(self) -> None:
        """Reap what was adopted; the commands are reaped by their own handles."""
        commands = {pid for pid, _ in self._running.values()}
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        for pid in {int(each) for each in children.split()} - commands:
            os.waitpid(pid, os.WNOHANG)

    def _begin(self) -> bool:
        _, descriptors, _, _ = socket.recv_fds(self._control, 1, 16)
        if not descriptors:
            return False
        client, streams = socket.socket(fileno=descriptors[0]), descriptors[1:]
        with client.makefile() as file:
            request = json.load(file)
        if (pid := os.fork()) == 0:
            _be(streams, *request)
        client.sendall(f"{pid:0{_DIGITS}}".encode())
        handle = os.pidfd_open(pid)
        self._running[handle] = pid, client
        self._waiting.register(handle, select.POLLIN)
        for descriptor in streams:
            os.close(descriptor)
        return True

    def _end(self, handle: int) -> None:
        pid, client = self._running.pop(handle)
        _, status = os.waitpid(pid, 0)
        with client, suppress(OSError):  # nobody waits any more
            client.sendall(f"{status:0{_DIGITS}}".encode())
        self._waiting.unregister(handle)
        os.close(handle)


def _be(
    descriptors: list[int],
    argv: list[str],
    env: dict[str, str],
    cwd: str,
    umask: int,
    in_session: bool,  # noqa: FBT001  # from JSON
) -> NoReturn:
    """Go on as `python -m`, in this environment and with these streams."""
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        for name in [each.name for each in Path("/proc/self/fd").iterdir()]:
            if int(name) >= _STREAMS:
                with suppress(OSError):  # the listing itself
                    os.close(int(name))
        if in_session:
            os.setsid()
        os.environ.clear()
        os.environ.update(env)
        time.tzset()
        os.chdir(cwd)
        os.umask(umask)
        sys.orig_argv = [sys.executable, "-P", "-m", *argv]
        sitecustomize.install()
        module = sys.modules[argv[0]]
        sys.argv = [str(module.__file__), *argv[1:]]
        leave(module.main())
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else int(end.code is not None))
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
        leave(1)


def load() -> None:
    """Load all that a command may need."""
    for name in ("runner", "parsers"):
        package = importlib.import_module(name)
        for each in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not each.name.endswith("__main__"):
                importlib.import_module(each.name)
    for name in _LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    sys.path.remove(_TESTS)
    load()
    become_subreaper()
    _Server().serve()
