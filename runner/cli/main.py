"""The first module that a command loads: Ctrl-C during the imports is silent.

The imports take some 30 ms, in which Python would show a traceback.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` takes 3 ms
import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

COMMANDS = (
    *("run_codex_task", "parse_codex_run", "codex-tasks", "codex-agent"),
    "codex-bg",
)


def start(program: str = "codex-runner") -> NoReturn:
    """Run the command that the first argument names; without one list them."""
    del sys.argv[0]
    if not sys.argv or sys.argv[0] not in COMMANDS:
        is_asked = sys.argv in ([], ["-h"], ["--help"])
        usage = f"usage: {program} {{{','.join(COMMANDS)}}} ...\n"
        (sys.stdout if is_asked else sys.stderr).write(usage)
        sys.exit(0 if is_asked else 2)
    module = "runner.cli." + sys.argv[0].replace("-", "_")
    # Nothing that the imports make is garbage, and looking for it takes 2 ms.
    gc.disable()
    # An ignored SIGINT stays ignored: a shell starts background commands of scripts so.
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        __import__(module)
        from runner.cli.command import leave  # noqa: PLC0415 - it is a part of the loading
    except (OSError, ImportError, MemoryError) as error:
        reason = str(error) or "there is not enough memory"
        sys.exit(f"{sys.argv[0]}: cannot be loaded: {reason}")
    gc.freeze()
    gc.enable()
    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    leave(sys.modules[module].main())
