"""A check for the chaos: it takes a moment, and passes by chance.

Run as `check.pyc HOME TAG`. HOME/codex.log gets its end. Two checks of a prompt at
once, or a check beside a turn of it, are noted as `together`.
"""

import fcntl
import os
import sys
import time

_PASSES = 0.4
_SECONDS = 0.15


def main() -> int:
    home, tag = sys.argv[1:]
    handle = os.open(f"{home}/held/check-{tag}", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _log(home, "together", tag)
    sys.stdout.write(f"the check of {tag} begins\n")
    sys.stdout.flush()
    chance = os.urandom(2)
    time.sleep(_SECONDS * chance[0] / 256)
    has_passed = chance[1] / 256 < _PASSES
    _log(home, "passed" if has_passed else "refused", tag)
    return 0 if has_passed else 1


def _log(home: str, what: str, tag: str) -> None:
    run = os.environ["CODEX_RUNNER_VERIFY"]
    line = f"{what} {tag} - {run} {os.getpid()}\n"
    handle = os.open(f"{home}/codex.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, line.encode())
    os.close(handle)


if __name__ == "__main__":
    os._exit(main())
