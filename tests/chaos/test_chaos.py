"""Whatever is killed, nothing is lost and nothing is done twice."""

import json
import os
import subprocess
import sys

from support.codex_home import ROOT

OPERATIONS = 300
# Of the operations and the kills; when each comes is left to the machine.
SEED = 7


def test_three_hundred_operations_under_kills_leave_all_in_order() -> None:
    words = ("--operations", str(OPERATIONS), "--seed", str(SEED), "--json")
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))

    done = subprocess.run(
        [sys.executable, "-P", "-m", "chaos", *words],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    figures = json.loads(done.stdout)
    assert figures["operations"] >= OPERATIONS
    # A copy that has not recorded its run yet is met by chance only.
    assert {"command", "supervisor", "codex"} <= figures["kills"].keys()
    assert figures["delivered"] > 0
