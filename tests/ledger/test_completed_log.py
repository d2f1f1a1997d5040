"""A log that a killed supervisor wrote in part is completed, and nothing is lost."""

import json
from pathlib import Path

import pytest
from support import ledgers
from support.runs import SESSION

from parsers.exec_events.transcript import render, render_stderr
from runner import files
from runner.exports.run_exports import closing
from runner.exports.task_files import rest_of_log
from runner.ledger.ledger import Ledger
from runner.model import Run
from runner.run_files import files_of

EVENTS = [
    {"type": "thread.started", "thread_id": SESSION},
    {"type": "turn.started"},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "One.\n\n2"}},
    {"type": "turn.completed", "usage": {"input_tokens": 5, "output_tokens": 7}},
]
ERRORS = [b"oh\n", b"dear\n"]
HEAD = "codex_run_id=x\nlog_file=y\n\n"
SAID = [render(json.dumps(each).encode()) for each in EVENTS]
WARNED = [render_stderr(each) for each in ERRORS]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    ledger = Ledger(tmp_path / "state")
    prepared = ledgers.prepare(ledger, directory=str(tmp_path), is_flat=True)
    paths = files_of(prepared.spec)
    paths.events.write_bytes(b"".join(json.dumps(e).encode() + b"\n" for e in EVENTS))
    paths.stderr.write_bytes(b"".join(ERRORS))
    return ledgers.over(prepared)


def completed(run: Run, log: str) -> str:
    path = files_of(run.spec).log
    path.write_text(log, encoding="utf-8")
    for _ in range(2):
        files.append_text(path, rest_of_log(run))
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("written", range(len(SAID) + 1))
@pytest.mark.parametrize("hook", ["heard\n", "heard"])
def test_what_a_hook_wrote_stays_and_each_line_is_there_once(
    run: Run, written: int, hook: str
) -> None:
    for at in range(written + 1):
        log = HEAD + "".join([*SAID[:at], hook, WARNED[0], *SAID[at:written]])

        whole = completed(run, log)

        assert whole.startswith(log)
        assert whole.count("heard") == 1
        for line in ("session id: ", "  One.", "  2\n", *WARNED, closing(run)):
            assert whole.count(line) == 1, line


def test_the_end_of_the_log_of_a_silent_codex_is_there_once(run: Run) -> None:
    for path in (files_of(run.spec).events, files_of(run.spec).stderr):
        path.write_bytes(b"")

    assert completed(run, HEAD) == HEAD + closing(run)
    assert completed(run, f"{HEAD}torn") == f"{HEAD}torn\n{closing(run)}"
