"""Start programs: Codex, supervisors and hooks, and helper programs."""

from __future__ import annotations

import os
import select

from parsers.light import contextmanager
from parsers.struct import Struct, replace
from runner import clock
from runner.errors import RunnerFault
from runner.process.signals import DEFAULTS, kill_child
from runner.process.table import child, is_alive
from runner.process.tree import DescendantTree, Termination

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from runner.model import ProcessId

_DEVNULL = -3  # subprocess.DEVNULL, which is not loaded yet
_PACE_SECONDS = 0.02
_GRACE_SECONDS = 5.0
_PIECE = 1 << 16


class Launch(Struct, kw_only=False):
    """Hold the streams and the environment of a program.

    `stdin`, `stdout` and `stderr` are open file descriptors, None is /dev/null.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    cwd: str
    umask: int
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None


def start_program(launch: Launch) -> int:
    """Start a program in a session of its own and return its pid.

    Only `reap` reports its end. It inherits no signal that is blocked or ignored.

    Raises:
        OSError: the kernel cannot start it, or the directory cannot be entered.
    """
    streams = (launch.stdin, launch.stdout, launch.stderr)
    actions = [
        (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0)
        if stream is None
        else (os.POSIX_SPAWN_DUP2, stream, number)
        for number, stream in enumerate(streams)
    ]
    here = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
    umask = os.umask(launch.umask)
    try:
        os.chdir(launch.cwd)
        # Not `subprocess`, whose import takes 12 ms.
        return os.posix_spawnp(
            launch.argv[0],
            tuple(launch.argv),
            launch.environment,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=DEFAULTS,
        )
    finally:
        os.umask(umask)
        os.chdir(here)
        os.close(here)


def which(program: str, search_path: str) -> str | None:
    """Find the file of a program's name."""
    # Not by `shutil.which`, whose import takes 5 ms.
    places = [""] if os.sep in program else search_path.split(os.pathsep)
    for path in (os.path.join(place, program) for place in places):  # noqa: PTH118
        is_file = os.path.isfile(path)  # noqa: PTH113 - is_file raises
        if is_file and os.access(path, os.X_OK):
            return path
    return None


def capture(
    argv: Sequence[str],
    environment: Mapping[str, str],
    timeout: float,
    *,
    any_exit_code: bool = False,
) -> str | None:
    """Return the output of a Codex command; None when it fails or takes too long."""
    if (program := which(argv[0], environment.get("PATH", os.defpath))) is None:
        return None
    import subprocess  # noqa: PLC0415 - see start

    try:
        done = subprocess.run(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(environment),
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # `codex login status` writes to standard error.
    said = done.stdout.strip() or done.stderr.strip()
    is_good = done.returncode == 0 or any_exit_code
    return said.decode(errors="replace") if said and is_good else None


def run_helper(
    argv: Sequence[str], environment: Mapping[str, str], timeout: float
) -> bool:
    """Run a helper program such as git; return whether it succeeded in time."""
    from plumbum import local  # noqa: PLC0415 - 60 ms, for helper programs only
    from plumbum.commands.processes import (  # noqa: PLC0415
        CommandNotFound,
        ProcessTimedOut,
    )

    try:
        code, _, _ = local[argv[0]][argv[1:]].run(
            retcode=None, timeout=timeout, stdin=_DEVNULL, env=dict(environment)
        )
    except (OSError, CommandNotFound, ProcessTimedOut):
        return False
    return bool(code == 0)


class Done(Struct):
    """Hold how a helper program ended, and what it has written."""

    exit_code: int
    output: bytes
    errors: bytes


def run_captured(
    argv: Sequence[str], environment: Mapping[str, str], cwd: str, timeout: float
) -> Done:
    """Run a helper program to its end; it has this environment and no other.

    Late, it is ended with its descendants.

    Raises:
        RunnerFault: it is not found, cannot be run, or takes too long.
    """
    from plumbum import local  # noqa: PLC0415 - see run_helper

    how: dict[str, Any] = {"stdin": _DEVNULL, "cwd": cwd, "env": dict(environment)}
    with _explained(argv, cwd), local.env():
        program = _found(argv[0], environment)
        local.env.clear()  # it would be added to the environment
        started: Any = local[program][argv[1:]].popen(**how)
    import subprocess  # noqa: PLC0415 - plumbum has loaded it

    try:
        output, errors = started.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        _end(started.pid, started.poll)
        raise LateError(argv) from error
    return Done(exit_code=started.returncode, output=output, errors=errors)


def run_light(
    argv: Sequence[str], environment: Mapping[str, str], cwd: str, timeout: float
) -> Done:
    """Run a helper program as `run_captured` does, but import nothing for it.

    The import of plumbum may take longer than the program. It is in a session of its
    own and inherits the descriptors that can be inherited.
    """
    deadline, said = clock.monotonic() + timeout, {1: b"", 2: b""}
    pipes = [os.pipe() for _ in said]
    poll, places = select.poll(), {}
    for number, (read, _) in zip(said, pipes, strict=True):
        places[read] = number
        poll.register(read, select.POLLIN)
    umask = os.umask(0)
    os.umask(umask)
    launch = Launch([], environment, cwd, umask, None, *(write for _, write in pipes))
    pid = None
    try:
        try:
            with _explained(argv, cwd):
                words = (_found(argv[0], environment), *argv[1:])
                pid = start_program(replace(launch, argv=words))
        finally:
            for _, write in pipes:
                os.close(write)
        while places:
            left = deadline - clock.monotonic()
            if left <= 0 or not (ready := poll.poll(left * 1000)):
                kill_child(pid)
                raise LateError(argv)
            for read, _ in ready:
                piece = os.read(read, _PIECE)
                said[places[read]] += piece
                if not piece:
                    poll.unregister(read)
                    del places[read]
    finally:
        for read, _ in pipes:
            os.close(read)
        status = os.waitpid(pid, 0)[1] if pid is not None else 0
    code = os.waitstatus_to_exitcode(status)
    return Done(exit_code=code, output=said[1], errors=said[2])


class LateError(RunnerFault):
    """Report a helper program that has taken too long, and is ended."""

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__(f"{argv[0]} takes too long")


def _found(program: str, environment: Mapping[str, str]) -> str:
    path = which(program, environment.get("PATH", os.defpath))
    if path is None:
        message = f"{program} is not installed: it is needed here"
        raise RunnerFault(message)
    return path


@contextmanager
def _explained(argv: Sequence[str], cwd: str) -> Iterator[None]:
    """Turn the error of a start into one line."""
    try:
        yield
    except OSError as error:
        message = f"{argv[0]} cannot be run in {cwd}: {error.strerror}"
        raise RunnerFault(message) from error


def run_visible(
    argv: Sequence[str], environment: Mapping[str, str], told: Sequence[int] = ()
) -> bool:
    """Run a helper program with output on stderr; return whether it succeeded.

    It does not outlive the call. When a signal arrives in `told`, the program and its
    descendants are ended.

    Raises:
        RunnerFault: it is not found or cannot be run.
    """
    from plumbum import local  # noqa: PLC0415 - see run_helper
    from plumbum.commands.processes import CommandNotFound  # noqa: PLC0415

    try:
        started = local[argv[0]][argv[1:]].popen(
            stdin=_DEVNULL, stdout=2, stderr=2, env=dict(environment)
        )
    except (OSError, CommandNotFound) as error:
        message = f"{argv[0]} cannot be run: {error}"
        raise RunnerFault(message) from error
    try:
        # Not one long wait: a signal just before it would be missed.
        while not told and started.poll() is None:
            clock.sleep(_PACE_SECONDS)
    finally:
        if started.pid is not None and started.poll() is None:
            _end(started.pid, started.poll)
    return bool(started.poll() == 0)


def _end(pid: int, reap_it: Callable[[], object]) -> None:
    """End a child process and its descendants; kill those that do not end."""
    root = child(pid)
    family = DescendantTree(root, remember=True)

    def members() -> list[ProcessId]:
        reap_it()
        return list(filter(is_alive, (root, *family.members())))

    termination = Termination(lambda: None, members, _GRACE_SECONDS)
    while not termination.step():
        clock.sleep(_PACE_SECONDS)
