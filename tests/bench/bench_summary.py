"""Time the summary of a large events file, beside jq reading the same figures.

bin/bench summary
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TextIO

MEGABYTES = 200
ROUNDS = 3
THREAD = "01a1f87a-1edb-7772-a295-bcdec2d6d2fd"
QUERY = 'select(.type == "turn.completed") | .usage.output_tokens'


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        events = Path(name, "large.events.jsonl")
        write(events)
        size = events.stat().st_size / 1e6
        command = [sys.executable, "-P", "-m", "runner.cli.parse_codex_run"]
        ours, resident = best([*command, "--log", str(events)], name)
        print(
            f"summary of {size:.0f} MB: {ours:.2f} s, {size / ours:.0f} MB/s,"
            f" {resident:.0f} MB resident"
        )
        if (jq := shutil.which("jq")) is None:
            print("jq is not installed: no ratio")
            return
        peer, _ = best([jq, "-c", QUERY, str(events)], name)
        print(f"jq: {peer:.2f} s = {peer / ours:.1f} x ours")


def write(path: Path) -> None:
    """Write commands with some KB of output each, as a long run leaves them."""
    output = "a line of what a build says while it works, 64 bytes in all\n" * 40
    with path.open("w", encoding="utf-8") as file:
        say(file, type="thread.started", thread_id=THREAD)
        say(file, type="turn.started")
        number = 0
        while file.tell() < MEGABYTES * 1_000_000:
            number += 1
            item = {
                "id": f"item_{number}",
                "type": "command_execution",
                "command": "make",
                "aggregated_output": output,
                "exit_code": 0,
                "status": "completed",
            }
            say(file, type="item.completed", item=item)
        usage = {"input_tokens": 9, "cached_input_tokens": 0, "output_tokens": 3}
        say(file, type="turn.completed", usage=usage)


def say(file: TextIO, **event: object) -> None:
    # As compact as Codex writes it.
    file.write(json.dumps(event, separators=(",", ":")) + "\n")


def best(argv: list[str], home: str) -> tuple[float, float]:
    """Return the best wall seconds of some rounds, and the most resident MB."""
    environment = {**os.environ, "CODEX_RUNNER_HOME": home, "CODEX_HOME": home}
    seconds, resident = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with subprocess.Popen(
            argv, env=environment, stdout=subprocess.DEVNULL
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds.append(time.perf_counter() - began)
        resident.append(usage.ru_maxrss / 1024)
    return min(seconds), max(resident)


if __name__ == "__main__":
    main()
