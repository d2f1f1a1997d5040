"""What a caller asks for becomes a spec, or is refused before anything is written."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.runs import AT, PROCESS, SESSION, run

from parsers.run_summary import PREVIEW_LENGTH
from parsers.struct import replace
from runner import clock, config
from runner.errors import FileFault, UsageError
from runner.ledger.runs import Ledger
from runner.model import (
    CodexOptions,
    Limits,
    Mode,
    Report,
    Running,
    SessionId,
    Verbosity,
)
from runner.prompt.read import PREVIEW_CHARACTERS, preview
from runner.run_files import new_run_id
from runner.service.request import (
    Request,
    build_spec,
    read_prompt,
)

SETTINGS = config.load({"HOME": "/nowhere"})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state")


def request(**changes: Any) -> Request:  # noqa: ANN401  # any field
    fields: dict[str, Any] = {
        "repo": ".",
        "task": None,
        "task_file": None,
        "resume": None,
        "continue_prompt": "Go on.",
        "log_dir": "runs",
        "codex": CodexOptions(bin="codex"),
        "limits": Limits(),
        "report": Report(),
        "wait_for_session": False,
        "verbosity": Verbosity.LOW,
    }
    return Request(**{**fields, **changes})


def test_a_prompt_is_kept_byte_for_byte(tmp_path: Path) -> None:
    file = tmp_path / "task"
    file.write_bytes(b"a\r\n\xff\0 ")

    assert read_prompt(request(task_file=str(file))) == b"a\r\n\xff\0 "
    assert read_prompt(request(task=os.fsdecode(b"\xff x "))) == b"\xff x "
    assert read_prompt(request(resume=SESSION)) == b"Go on."
    assert read_prompt(request(resume=SESSION, task="More.")) == b"More."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "needed"),
        ({"task": ""}, "--task is empty"),
        ({"task": "\n \t"}, "empty"),
        ({"task": "a", "task_file": "b"}, "one prompt"),
        ({"task_file": "/nowhere"}, "/nowhere"),
        ({"resume": SESSION, "continue_prompt": " "}, "--continue-prompt"),
    ],
)
def test_what_is_no_prompt_is_refused(changes: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_prompt(request(**changes))


def test_a_record_and_a_summary_cut_a_prompt_at_the_same_place() -> None:
    # The summary's module is too heavy for the launch to take the figure from.
    assert PREVIEW_CHARACTERS == PREVIEW_LENGTH


def test_a_preview_is_cut_at_characters_not_in_the_middle_of_one() -> None:
    assert preview("ß".encode() * 5000) == "ß" * 2000
    assert preview(b"\xff" * 5000) == "\ufffd" * 2000
    assert preview(b"short") == "short"


@pytest.mark.parametrize(
    "changes",
    [
        {"repo": ""},
        {"repo": "/nowhere"},
        {"log_dir": ""},
        {"resume": "not-a-session"},
        {"resume": ""},
        {"resume": os.fsdecode(b"\xff")},
        {"resume": "../x"},
        {"report": Report(notify_command="'")},
        {"report": Report(json_out="/")},
    ],
)
def test_what_cannot_be_is_refused(
    ledger: Ledger, tmp_path: Path, changes: dict[str, Any]
) -> None:
    usual = {"repo": str(tmp_path), "log_dir": str(tmp_path / "runs")}

    with pytest.raises(UsageError):
        build_spec(request(**{**usual, **changes}), b"x", ledger, SETTINGS)
    assert not (tmp_path / "runs").exists()


def test_a_report_below_a_file_is_a_fault(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for report in (
        Report(json_out=str(tmp_path / "file" / "x")),
        Report(event_stream=str(tmp_path / "file" / "x")),
    ):
        with pytest.raises(FileFault):
            build_spec(
                request(repo=str(tmp_path), report=report), b"x", ledger, SETTINGS
            )


def test_a_spec_has_absolute_places_and_the_callers_umask(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    old = os.umask(0o027)
    try:
        spec = build_spec(
            request(repo=".", resume=SESSION.upper()), b"x", ledger, SETTINGS
        )
    finally:
        os.umask(old)

    assert spec.repo == spec.cwd == str(tmp_path)
    assert spec.log_dir == str(tmp_path / "runs")
    assert spec.umask == 0o027
    assert spec.resume_session == SESSION


def test_a_summary_may_go_to_a_device_in_a_directory_that_is_not_ours(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: str(path) != "/dev")
    asked = request(repo=str(tmp_path), report=Report(json_out="/dev/null"))

    spec = build_spec(asked, b"x", ledger, SETTINGS)

    assert spec.report.json_out == "/dev/null"


def test_a_clock_that_was_set_back_makes_no_run_older_than_the_one_before(
    ledger: Ledger, tmp_path: Path
) -> None:
    ahead = clock.now() + timedelta(hours=1)
    before = run(
        run_id=new_run_id(ahead),
        prepared_at=ahead,
        mode=Mode.RESUME,
        resume_session=SessionId(SESSION),
        log_dir=str(tmp_path),
    )
    ledger.prepare(before)

    asked = request(repo=str(tmp_path), resume=SESSION)
    spec = build_spec(asked, b"x", ledger, SETTINGS)

    assert spec.run_id > before.run_id
    assert spec.prepared_at > ahead


def test_a_run_that_was_left_behind_is_judged_before_its_session_is_carried_on(
    tmp_path: Path,
) -> None:
    settings = config.load({"HOME": str(tmp_path)})
    ledger = Ledger(settings.state_home)
    running = Running(supervisor=PROCESS, codex=PROCESS, started_at=AT)
    ledger.prepare(
        replace(run(running, log_dir=str(tmp_path)), session_id=SessionId(SESSION))
    )

    build_spec(request(resume=SESSION, repo=str(tmp_path)), b"Go on.", ledger, settings)

    assert ledger.unfinished_of(SESSION) == []
