"""Works as the worker of the older `codex-tasks` (Rust) did, for one prompt.

    python older_worker.py worker --store-root ROOT DIRECTORY THREAD PROMPT CODEX

It keeps that tool's order: the thread is known from Codex's first event, and only then
are the record, the log and the pid written; at the end the state comes before the
answer, and the pid goes last. A second prompt of a thread is a resume.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO


def main(root: Path, directory: str, thread: str, prompt: str, codex: str) -> None:
    """Run Codex once."""
    place = root / thread
    is_new = not place.exists()
    with tempfile.NamedTemporaryFile(dir=root, prefix=".tmp") as answer:
        words = [codex, "exec", "--json", "--output-last-message", answer.name]
        words += ["--cd", directory, *([] if is_new else ["resume", thread]), prompt]
        with subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            begun = process.stdout and process.stdout.readline()
            place = root / json.loads(begun or "{}").get("thread_id", thread)
            place.mkdir(parents=True, exist_ok=True)
            now = {"initial_prompt": prompt} if is_new else {}
            write(place, state="RUNNING", last_prompt=prompt, working_dir=directory)
            write(place, **now)
            with (place / "task.log").open("a") as log:
                keep(log, {"type": "user_message", "message": prompt})
                log.write(begun or "")
                log.flush()
                (place / "task.pid").write_text(str(process.pid))
                for line in process.stdout or ():
                    log.write(line)
                    log.flush()
                for line in process.stderr or ():
                    keep(log, {"type": "stderr", "message": line.rstrip("\n")})
        write(place, state="DIED" if process.returncode else "STOPPED")
        text = Path(answer.name).read_text()
        (place / "task.result").write_text(text)
        write(place, last_result=text)
    with contextlib.suppress(FileNotFoundError):
        (place / "task.pid").unlink()


def keep(log: IO[str], event: dict[str, str]) -> None:
    """Append a line of the worker's own."""
    log.write(json.dumps(event) + "\n")


def write(place: Path, **fields: str) -> None:
    """Update the record."""
    path, now = place / "task.json", datetime.now(UTC).isoformat()
    record = json.loads(path.read_text()) if path.exists() else {"created_at": now}
    told = {"id": place.name, **record, "updated_at": now, **fields}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(told, indent=2))
    part.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[3]), *sys.argv[4:])
