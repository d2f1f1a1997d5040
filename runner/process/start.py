"""Start programs: Codex, supervisors and hooks, and helper programs."""

from __future__ import annotations

import os

from parsers.struct import Struct
from runner import clock
from runner.errors import RunnerFault
from runner.process.signals import blocked
from runner.process.table import child, is_alive
from runner.process.tree import DescendantTree, Termination

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.model import ProcessId

_DEVNULL = -3  # subprocess.DEVNULL, which is not loaded yet
_PACE_SECONDS = 0.02
_GRACE_SECONDS = 5.0


class Launch(Struct):
    """Hold the streams and the environment of a program.

    `stdin`, `stdout` and `stderr` are open file descriptors, None is /dev/null;
    `keep` are other descriptors that it inherits. `blocked` signals stay pending until
    the program unblocks them: before its handlers are set they would end it.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    cwd: str | None = None
    umask: int = -1
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    keep: tuple[int, ...] = ()
    blocked: tuple[int, ...] = ()


def start_program(launch: Launch) -> int:
    """Start a program in a session of its own and return its pid.

    Only `reap` reports its end.

    Raises:
        OSError: the kernel cannot start it.
    """
    import subprocess  # noqa: PLC0415 - 4 ms, not before a run's id is out

    with blocked(launch.blocked):
        started = subprocess.Popen(
            launch.argv,
            stdin=_DEVNULL if launch.stdin is None else launch.stdin,
            stdout=_DEVNULL if launch.stdout is None else launch.stdout,
            stderr=_DEVNULL if launch.stderr is None else launch.stderr,
            env=dict(launch.environment),
            cwd=launch.cwd,
            umask=launch.umask,
            pass_fds=launch.keep,
            start_new_session=True,
        )
    # When the object is deleted it would wait for its pid, and take the status
    # away from `reap`: it would find nothing to wait for.
    started.returncode = 0
    return started.pid


def which(program: str, search_path: str) -> str | None:
    """Find the file of a program's name."""
    import shutil  # noqa: PLC0415 - 5 ms, not for the launch

    return shutil.which(program, path=search_path)


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
