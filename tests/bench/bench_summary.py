"""Time the summary of large event files, beside jq reading the same figures.

bin/bench summary

One file is written as Codex writes it, the other with blanks between the tokens. The
ratios are of the CPU time of whole processes, so that other load matters little.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

MEGABYTES = 200
ROUNDS = 5
THREAD = "01a1f87a-1edb-7772-a295-bcdec2d6d2fd"
QUERY = 'select(.type == "turn.completed") | .usage.output_tokens'
OUTPUT = "a line of what a build says while it works, 64 bytes in all\n"
CORPORA = {"compact": (",", ":"), "with blanks": (", ", ": ")}


def main() -> None:
    command = [sys.executable, "-P", "-m", "runner.cli.parse_codex_run", "--log"]
    jq = shutil.which("jq")
    for name, separators in CORPORA.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "large.events.jsonl")
            write(path, separators)
            size = path.stat().st_size / 1e6
            ours, resident = best([*command, str(path)], folder)
            print(
                f"{size:.0f} MB {name}: {ours:.3f} s, {size / ours:.0f} MB/s,"
                f" {resident:.1f} MB resident"
            )
            if jq is None:
                print("jq is not installed: no ratio")
                continue
            peer, _ = best([jq, "-c", QUERY, str(path)], folder)
            print(f"jq: {peer:.3f} s = {peer / ours:.1f} x ours")


def write(path: Path, separators: tuple[str, str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for event in events():
            file.write(json.dumps(event, separators=separators) + "\n")
            if event["type"] == "turn.completed" and file.tell() > MEGABYTES * 1e6:
                return


def events() -> Iterator[dict[str, object]]:
    """Commands with some KB of output, a tenth of them failed, and messages."""
    yield {"type": "thread.started", "thread_id": THREAD}
    for number in count():
        if number % 1000 == 0:
            yield {"type": "turn.started"}
        failed = number % 10 == 9
        yield item("started", number, "", None, "in_progress")
        status = "failed" if failed else "completed"
        yield item("completed", number, OUTPUT * (number % 97), int(failed), status)
        if number % 5 == 0:
            said = {"id": f"said_{number}", "type": "agent_message", "text": OUTPUT * 3}
            yield {"type": "item.completed", "item": said}
        if number % 1000 == 999:
            usage = {"input_tokens": 9, "cached_input_tokens": 0, "output_tokens": 3}
            yield {"type": "turn.completed", "usage": usage}


def item(
    phase: str, number: int, output: str, code: int | None, status: str
) -> dict[str, object]:
    fields = {
        "id": f"item_{number}",
        "type": "command_execution",
        "command": "/bin/bash -lc 'make -j4 check'",
        "aggregated_output": output,
        "exit_code": code,
        "status": status,
    }
    return {"type": f"item.{phase}", "item": fields}


def best(argv: list[str], home: str) -> tuple[float, float]:
    """Return the least CPU seconds of some rounds, and the most resident MB."""
    environment = {**os.environ, "CODEX_RUNNER_HOME": home, "CODEX_HOME": home}
    seconds, resident = [], []
    for _ in range(ROUNDS):
        with subprocess.Popen(
            argv, env=environment, stdout=subprocess.DEVNULL
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds.append(usage.ru_utime + usage.ru_stime)
        resident.append(usage.ru_maxrss / 1024)
    return min(seconds), max(resident)


if __name__ == "__main__":
    main()
