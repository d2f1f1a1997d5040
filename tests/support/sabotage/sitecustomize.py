"""Lets a test stop a command of the suite at an exact point of its work.

Python imports this at its start when `support.sabotage` has put its directory on
PYTHONPATH. `CODEX_TEST_SABOTAGE` holds a JSON list of points; each names a word of the
command line, an audit event of the interpreter, a text among its arguments, and what
happens when that comes for the n-th time.
"""

import json
import os
import signal
import sys
import time

_VARIABLE = "CODEX_TEST_SABOTAGE"


def _install(points: "list[dict[str, object]]") -> None:
    mine = [point for point in points if point["who"] in sys.orig_argv]
    if not mine:
        return
    seen = dict.fromkeys(range(len(mine)), 0)

    def hook(event: str, arguments: "tuple[object, ...]") -> None:
        for number, point in enumerate(mine):
            if event == point["event"] and str(point["text"]) in repr(arguments):
                seen[number] += 1
                if seen[number] == point["time"]:
                    _do(point)

    sys.addaudithook(hook)


def _do(point: "dict[str, object]") -> None:
    if point["then"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if point["then"] == "fail":
        raise OSError(28, "No space left on device")
    reached, go = str(point["reached"]), str(point["go"])
    os.close(os.open(reached, os.O_CREAT | os.O_WRONLY, 0o600))
    while not os.path.exists(go):  # noqa: PTH110  # pathlib would raise events too
        time.sleep(0.005)


if _VARIABLE in os.environ:
    _install(json.loads(os.environ[_VARIABLE]))
