"""Runs commands as forks of an interpreter that has loaded the suite already.

Loading takes most of a command's time. What a fork has of its own is the rest: process,
environment, directory, streams, exit code. A test of how a program is loaded, of a
command in the background, or of a sabotaged one starts interpreters: `Cli.start`, or a
variable that Python reads.

Run as a program, this is the interpreter. Its standard input is a socket, and it forks
for each message there. It adopts the supervisors of commands that have ended, so they
are found below it.
"""

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from runner.cli.command import leave
from runner.process.signals import become_subreaper

# The libraries that commands load when they need them.
_LIBRARIES = ("genai_prices.data_snapshot", "jsonlines", "plumbum", "rich.console")
# An interpreter reads these at its start only.
_EARLY = ("LANG", "LC_", "LD_", "PYTHON")
_KEPT = ("LANG", "LC_ALL", "PATH")
_STREAMS = 3
# What a pipe takes before somebody reads.
_PIPE_BYTES = 1 << 16
# How soon an adopted process that has ended is collected.
_PACE_MILLISECONDS = 100


class Forks:
    """The interpreter and the way to it; one for each xdist worker."""

    def __init__(self) -> None:
        self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._interpreter = subprocess.Popen(
                [sys.executable, "-P", __file__],
                stdin=its.fileno(),
                # An interpreter asks at its start of what kind they are.
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={each: os.environ[each] for each in _KEPT if each in os.environ},
            )

    @property
    def pid(self) -> int:
        """Name the process below which the forks are."""
        return self._interpreter.pid

    def close(self) -> None:
        self._control.close()
        self._interpreter.communicate()

    def can_run(self, env: Mapping[str, str], stdin: str | None) -> bool:
        """Say whether a fork does what a new interpreter in this environment does."""
        early = {name: env[name] for name in env if name.startswith(_EARLY)}
        return len(stdin or "") < _PIPE_BYTES // 4 and all(
            name in _KEPT and os.environ.get(name) == early[name] for name in early
        )

    def run(
        self,
        argv: list[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdin: str | None,
        timeout: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run a module as `subprocess.run` does; `argv` begins with its name."""
        ours, its = socket.socketpair()
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        theirs = (its.detach(), _input(stdin), its_out, its_err)
        socket.send_fds(self._control, [b"!"], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        with ours:
            ours.sendall(json.dumps([argv, dict(env), str(cwd), _umask()]).encode())
            ours.shutdown(socket.SHUT_WR)
            told, *texts = _read((ours.detach(), out, err), timeout)
        pid, _, status = told.partition(" ")
        if not status:
            os.kill(int(pid), signal.SIGKILL)
            raise subprocess.TimeoutExpired(argv, timeout)
        code = os.waitstatus_to_exitcode(int(status))
        return subprocess.CompletedProcess(argv, code, *texts)


def _umask() -> int:
    """Read the umask; to set it would concern the other threads."""
    _, _, text = Path("/proc/self/status").read_text().partition("\nUmask:")
    return int(text.split()[0], 8)


def _input(text: str | None) -> int:
    if text is None:
        return os.open(os.devnull, os.O_RDONLY)
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    return reader


def _read(descriptors: tuple[int, ...], timeout: float) -> list[str]:
    """Read each to its end, or until the time is over, and close them."""
    said, deadline = dict.fromkeys(descriptors, b""), time.monotonic() + timeout
    waiting, left = select.poll(), set(descriptors)
    for each in descriptors:
        waiting.register(each, select.POLLIN)
    while left and (seconds := deadline - time.monotonic()) > 0:
        for ready, _ in waiting.poll(seconds * 1000):
            said[ready] += (data := os.read(ready, _PIPE_BYTES))
            if not data:
                waiting.unregister(ready)
                left.remove(ready)
    for each in descriptors:
        os.close(each)
    return [text.decode("utf-8", "replace") for text in said.values()]


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
        client.sendall(f"{pid} ".encode())
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
            client.sendall(str(status).encode())
        self._waiting.unregister(handle)
        os.close(handle)


def _be(
    descriptors: list[int],
    argv: list[str],
    env: dict[str, str],
    cwd: str,
    umask: int,
) -> NoReturn:
    """Go on as `python -m`, in this environment and with these streams."""
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        for name in [each.name for each in Path("/proc/self/fd").iterdir()]:
            if int(name) >= _STREAMS:
                with suppress(OSError):  # the listing itself
                    os.close(int(name))
        os.environ.clear()
        os.environ.update(env)
        time.tzset()
        os.chdir(cwd)
        os.umask(umask)
        module = sys.modules[argv[0]]
        sys.argv = [str(module.__file__), *argv[1:]]
        leave(module.main())
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else int(end.code is not None))
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
        leave(1)


def _load() -> None:
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
    _load()
    become_subreaper()
    _Server().serve()
