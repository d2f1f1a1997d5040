"""Time what a reader of a session's log waits for, and what following costs.

    bin/bench log

The peer of following is `tail -f` on the run's events file, in the same run: it is
woken up by the kernel, we look every 25 ms. The peer of showing is the bare
interpreter and, for a long log, `cat`.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

LINES = 300
PAUSE_SECONDS = 0.037
IDLE_SECONDS = 20.0
MEGABYTES = 500
LOG = [sys.executable, "-P", "-m", "runner.cli.codex_tasks", "log"]
START = [sys.executable, "-P", "-m", "runner.cli.codex_tasks", "start"]
THREAD = "01a1f87a-1edb-7772-a295-bcdec2d6d2fd"
HEAD = f"""\
#!{sys.executable} -IS
import sys, time
if "--version" in sys.argv or "login" in sys.argv:
    sys.exit(print("codex-cli 0.169.0"))
def say(text):
    sys.stdout.write(text + chr(10))
    sys.stdout.flush()
say('{{"type":"thread.started","thread_id":"{THREAD}"}}')
"""
# The message is the moment at which it is written.
TALKER = f"""
time.sleep(2)
for n in range({LINES}):
    time.sleep({PAUSE_SECONDS} + n % 7 / 300)
    say('{{"type":"item.completed","item":{{"id":"item_%d","type":"agent_message",'
        '"text":"at=%.6f"}}}}' % (n, time.monotonic()))
say('{{"type":"turn.completed","usage":{{}}}}')
"""
SILENT = f"""
time.sleep({IDLE_SECONDS + 6})
say('{{"type":"turn.completed","usage":{{}}}}')
"""
LONG = f"""
output = "x" * 79 + "\\\\n"
for n in range({MEGABYTES} * 50):
    say('{{"type":"item.completed","item":{{"id":"item_%d","type":"command_execution",'
        '"command":"cat file","aggregated_output":"%s","exit_code":0,'
        '"status":"completed"}}}}' % (n, output * 245))
say('{{"type":"turn.completed","usage":{{}}}}')
"""


def main() -> None:
    for measure in (latency, idleness, showing):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            measure(Path(name))


def latency(place: Path) -> None:
    """Show how long a line is on its way from Codex to a reader."""
    environment = started(place, TALKER)
    followers = {
        "log -f --json": [*LOG, "-f", "--json", THREAD],
        "log -f": [*LOG, "-f", THREAD],
        "tail -f": ["tail", "-n+1", "-f", str(events(place))],
    }
    delays: dict[str, list[float]] = {name: [] for name in followers}
    with_pipes = {
        name: subprocess.Popen(
            argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for name, argv in followers.items()
    }
    readers = []
    for name, process in with_pipes.items():
        assert process.stdout is not None
        reader = threading.Thread(target=hear, args=(process.stdout, delays[name]))
        reader.start()
        readers.append(reader)
    for reader in readers[:2]:
        reader.join()
    with_pipes["tail -f"].terminate()
    readers[2].join()
    for name, found in delays.items():
        found.sort()
        with_pipes[name].wait()
        print(
            f"{'a line, written to shown, ' + name:55}"
            f" median {statistics.median(found) * 1000:5.1f} ms,"
            f" 95 % {found[len(found) * 95 // 100] * 1000:5.1f} ms,"
            f" worst {found[-1] * 1000:5.1f} ms ({len(found)} lines)"
        )


def hear(stream: IO[bytes], delays: list[float]) -> None:
    for line in stream:
        now, (_, mark, text) = time.monotonic(), line.partition(b"at=")
        if mark:
            delays.append(now - float(text[:20].split(b'"')[0]))


def idleness(place: Path) -> None:
    """Show what it costs to follow a Codex that is silent."""
    environment = started(place, SILENT)
    argvs = {
        "log -f": [*LOG, "-f", THREAD],
        "tail -f": ["tail", "-f", str(events(place))],
    }
    followers = {
        name: subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE)
        for name, argv in argvs.items()
    }
    time.sleep(2)
    before = {name: cpu(process.pid) for name, process in followers.items()}
    time.sleep(IDLE_SECONDS)
    for name, process in followers.items():
        share = (cpu(process.pid) - before[name]) / IDLE_SECONDS
        print(f"{'CPU while Codex is silent, ' + name:55} {share:.2%} of a core")
        process.send_signal(signal.SIGINT)
        process.communicate()
    time.sleep(6)  # the supervisor's directory is removed after its end


def showing(place: Path) -> None:
    """Show what a long log takes, whole and its end."""
    environment = started(place, LONG)
    argv = [*LOG, "-f", "-n", "0", THREAD]
    quiet = subprocess.DEVNULL
    subprocess.run(argv, env=environment, stdout=quiet, stderr=quiet, check=True)
    size = events(place).stat().st_size / 1e6
    bare = best([sys.executable, "-c", "print(1)"], environment)[0]
    cat = best([shutil.which("cat") or "cat", str(events(place))], environment)[0]
    for name, words, peer in (
        ("the last 10 lines / bare python", ["-n", "10"], bare),
        ("none / bare python", ["-n", "0"], bare),
        ("all as JSON / cat", ["--json"], cat),
        ("all for people / cat", [], cat),
    ):
        ours, resident = best([*LOG, *words, THREAD], environment)
        print(
            f"{f'log of {size:.0f} MB, {name}':55} {ours * 1000:8.1f} ms /"
            f" {peer * 1000:7.1f} ms = {ours / peer:.1f}, {resident:.0f} MB resident"
        )


def best(argv: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the least seconds that a program takes, and the most MB."""
    seconds, resident = [], []
    for _ in range(3):
        began = time.perf_counter()
        process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
        seconds.append(time.perf_counter() - began)
        resident.append(used.ru_maxrss / 1024)
    return min(seconds), max(resident)


def started(place: Path, script: str) -> dict[str, str]:
    """Start a session with this Codex; return the environment to ask for it in."""
    codex = place / "codex"
    codex.write_text(HEAD + script, encoding="utf-8")
    codex.chmod(0o755)
    environment = {
        **os.environ,
        "CODEX_RUNNER_HOME": str(place / "state"),
        "CODEX_HOME": str(place / "codex-home"),
    }
    words = ["--codex-bin", str(codex), "--working-dir", str(place), "nothing"]
    subprocess.run(
        [*START, *words], env=environment, stdout=subprocess.DEVNULL, check=True
    )
    return environment


def events(place: Path) -> Path:
    (found,) = (place / "state" / "runs").glob("*/events.jsonl")
    return found


def cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used (Linux)."""
    spent = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]
    return int(spent) / 1e9


if __name__ == "__main__":
    main()
