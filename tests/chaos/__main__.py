"""Kill at chance what works, and see that nothing is lost: `bin/chaos --help`."""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from chaos.harness import Chaos
from chaos.invariants import INVARIANTS, concerned, figures


def main() -> int:
    """Do it, print figures, and return 1 when an invariant is violated."""
    found = _arguments()
    seed = (
        random.SystemRandom().randrange(1_000_000) if found.seed is None else found.seed
    )
    home = Path(tempfile.mkdtemp(prefix="chaos-"))
    chaos = Chaos(home, seed)
    began = time.monotonic()
    end = began + (found.seconds or float("inf"))
    most = found.operations or (float("inf") if found.seconds else 300)
    try:
        chaos.play(lambda done: done >= most or time.monotonic() >= end)
        chaos.settle()
        violations = [*chaos.faults]
        violations += [f"left running: {name}" for name in chaos.end()]
        for invariant in INVARIANTS:
            violations += [f"{invariant.__name__}: {each}" for each in invariant(chaos)]
    finally:
        chaos.end()
    seconds = round(time.monotonic() - began, 1)
    result = {"seed": seed, "seconds": seconds, **figures(chaos)}
    sys.stdout.write(json.dumps(result, indent=None if found.json else 2) + "\n")
    if not violations:
        if not found.keep:
            shutil.rmtree(home)
        return 0
    say = sys.stderr.write
    say(f"seed {seed}: {len(violations)} violations, all is kept in {home}\n")
    say("".join(f"  {each}\n" for each in violations))
    say("the operations that led to them:\n")
    say("".join(f"  {each}\n" for each in concerned(chaos, violations)))
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/chaos", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, help="for so long (default: 300 operations)")
    add("--operations", type=int, help="so many operations")
    add("--seed", type=int, help="of the chance; what the machine does differs anyway")
    add("--keep", action="store_true", help="keep the state directory")
    add("--json", action="store_true", help="the figures on one line")
    return parser.parse_args()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
