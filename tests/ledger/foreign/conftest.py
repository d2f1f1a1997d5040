"""Small histories of other tools, made in a test's own directory."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Json = dict[str, object]
THREAD = "0199d9c2-0000-7000-8000-000000000001"
RECORD: Json = {
    "id": THREAD,
    "title": "Investigate bug",
    "state": "STOPPED",
    "created_at": "2025-10-20T12:00:00.123456789+00:00",
    "updated_at": "2025-10-20T12:01:07.000000001+00:00",
    "last_result": "answer",
    "initial_prompt": "first",
    "last_prompt": "first",
    "working_dir": "/srv/code",
}


def jsonl(*events: Json) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


@pytest.fixture
def make_task(tmp_path: Path) -> Callable[..., Path]:
    """Make a task directory of the old codex-tasks; give the directory."""

    def make(
        log: bytes | None, where: str = THREAD, pid: str | None = None, **fields: object
    ) -> Path:
        directory = tmp_path / where
        directory.mkdir(parents=True)
        (directory / "task.json").write_text(json.dumps(RECORD | fields))
        if log is not None:
            (directory / "task.log").write_bytes(log)
        if pid is not None:
            (directory / "task.pid").write_text(pid)
        return directory

    return make


@pytest.fixture
def make_bash_run(tmp_path: Path) -> Callable[..., Path]:
    """Leave behind what the bash runner leaves of a run; give its meta file."""

    def make(run_id: str, log: Sequence[str] | None, /, **fields: object) -> Path:
        meta = {
            "run_id": run_id,
            "session_id": None,
            "repo": "/srv/code",
            "task": "do it",
            "resume_session": "",
            "log_file": f"/moved/codex-run-{run_id}.log",
            "started_at": "2026-02-01T10:00:00Z",
            "ended_at": "2026-02-01T10:00:30Z",
            "elapsed_seconds": 30,
            "exit_code": 0,
            "model": "gpt-5.1-codex",
            "model_tier": "low",
        }
        if log is not None:
            text = "".join(f"{line}\n" for line in log)
            (tmp_path / f"codex-run-{run_id}.log").write_text(text)
        path = tmp_path / f"codex-run-{run_id}.meta.json"
        path.write_text(json.dumps(meta | fields))
        return path

    return make


@pytest.fixture
def make_rollout(tmp_path: Path) -> Callable[..., Path]:
    """Write a rollout into the CODEX_HOME `tmp_path`; give the file."""

    def make(
        *records: tuple[str, Json],
        top: str = "sessions",
        name: str = THREAD,
        **header: object,
    ) -> Path:
        directory = tmp_path / top / "2026" / "11" / "20"
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"rollout-2026-11-20T10-00-00-{name}.jsonl"
        first: Json = {
            "id": THREAD,
            "timestamp": "2026-11-20T10:00:00.000Z",
            "cwd": "/srv/code",
            "originator": "codex_exec",
            "cli_version": "0.169.0",
            "source": "exec",
        }
        both = [("session_meta", first | header), *records]
        lines: list[Json] = [
            {"timestamp": f"2026-11-20T10:00:{at:02}.000Z", "type": kind, "payload": p}
            for at, (kind, p) in enumerate(both)
        ]
        path.write_bytes(jsonl(*lines))
        return path

    return make
