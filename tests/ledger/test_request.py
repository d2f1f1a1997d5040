"""What a caller asks for becomes a request, or is refused before it is written."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import ledgers
from support.runs import SESSION, settings

from parsers.run_summary import PREVIEW_LENGTH
from parsers.struct import replace
from runner import clock
from runner.errors import FileFault, RunnerError, UsageError
from runner.ledger.ledger import Ledger
from runner.lifecycle.launch import prepare_run
from runner.model import CodexOptions, Limits, Outcome, Report, Verbosity
from runner.prompt.read import PREVIEW_CHARACTERS, preview
from runner.run_files import new_run_id
from runner.service.request import RunWords, read_prompt, run_request

OTHER = "01a1f000-0000-7000-8000-00000000000f"
SETTINGS = settings(Path("/nowhere"))


def words(**changes: Any) -> RunWords:  # noqa: ANN401  # any field
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
    return RunWords(**{**fields, **changes})


def test_a_prompt_is_kept_byte_for_byte(tmp_path: Path) -> None:
    file = tmp_path / "task"
    text = "a\r\nß\0 ".encode()
    file.write_bytes(text)

    assert read_prompt(words(task_file=str(file))) == text
    assert read_prompt(words(task=os.fsdecode("ß x ".encode()))) == "ß x ".encode()
    assert read_prompt(words(resume=SESSION)) == b"Go on."
    assert read_prompt(words(resume=SESSION, task="More.")) == b"More."


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({}, "required"),
        ({"task": ""}, "--task is empty"),
        ({"task": "\n \t"}, "empty"),
        ({"task": "a", "task_file": "b"}, "not both"),
        ({"task_file": "/nowhere"}, "/nowhere"),
        ({"task": " /exit\n"}, "/quit ends the queue"),
        ({"resume": SESSION, "continue_prompt": " "}, "--continue-prompt"),
    ],
)
def test_what_is_no_prompt_is_refused(changes: dict[str, str], refusal: str) -> None:
    with pytest.raises(UsageError, match=refusal):
        read_prompt(words(**changes))


@pytest.mark.parametrize("is_file", [False, True])
def test_a_prompt_that_is_no_utf_8_is_refused_wherever_it_comes_from(
    tmp_path: Path, *, is_file: bool
) -> None:
    (tmp_path / "task").write_bytes(b"a\xff")
    told = {"task_file": str(tmp_path / "task")}
    asked = words(**(told if is_file else {"task": os.fsdecode(b"a\xff")}))

    with pytest.raises(UsageError, match=r"not UTF-8 \(byte 1\)"):
        read_prompt(asked)


def test_a_record_and_a_summary_cut_a_prompt_at_the_same_place() -> None:
    # The summary's module is too heavy for the launch to take the figure from.
    assert PREVIEW_CHARACTERS == PREVIEW_LENGTH


def test_a_prompt_that_never_ends_is_not_read_for_ever() -> None:
    with pytest.raises(UsageError, match="longer than 1,048,576 characters"):
        read_prompt(words(task=None, task_file="/dev/zero"))


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
        run_request(words(**{**usual, **changes}), b"x", ledger, SETTINGS)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("changes", [{"report": Report(event_stream="{}")}, {}])
def test_a_path_is_refused_with_the_option_that_names_it(
    ledger: Ledger, tmp_path: Path, changes: dict[str, Any]
) -> None:
    repo = tmp_path / os.fsdecode(b"\xff")
    repo.mkdir()
    option, place = "--repo", repo
    if changes:
        os.mkfifo(tmp_path / "pipe")
        changes = {"report": Report(event_stream=str(tmp_path / "pipe"))}
        option, place = "name another file: --event-stream FILE", tmp_path

    with pytest.raises(RunnerError, match=option):
        run_request(words(repo=str(place), **changes), b"x", ledger, SETTINGS)


def test_a_report_below_a_file_is_a_fault(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for report in (
        Report(json_out=str(tmp_path / "file" / "x")),
        Report(event_stream=str(tmp_path / "file" / "x")),
    ):
        with pytest.raises(FileFault):
            run_request(
                words(repo=str(tmp_path), report=report), b"x", ledger, SETTINGS
            )


def test_a_request_has_absolute_places_and_the_callers_umask(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = replace(SETTINGS, umask=0o027)

    asked = run_request(words(repo=".", resume=SESSION.upper()), b"x", ledger, ours)

    assert asked.repo == asked.cwd == str(tmp_path)
    assert asked.log_dir == str(tmp_path / "runs")
    assert asked.umask == 0o027
    assert asked.thread == SESSION


def test_a_summary_may_go_to_a_device_in_a_directory_that_is_not_ours(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: str(path) != "/dev")
    asked = words(repo=str(tmp_path), report=Report(json_out="/dev/null"))

    found = run_request(asked, b"x", ledger, SETTINGS)

    assert found.report.json_out == "/dev/null"


def test_a_session_is_resumed_in_the_codex_home_that_it_lives_in(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledgers.session_of(ledger, codex_home="/elsewhere")

    known = run_request(
        words(repo=str(tmp_path), resume=SESSION), b"x", ledger, SETTINGS
    )
    new = run_request(words(repo=str(tmp_path)), b"x", ledger, SETTINGS)

    assert (known.codex_home, known.session) == ("/elsewhere", 1)
    assert (new.codex_home, new.session) == (str(SETTINGS.codex_home), None)


def test_a_run_id_stands_for_its_session(ledger: Ledger, tmp_path: Path) -> None:
    run = ledgers.session_of(ledger)
    asked = words(repo=str(tmp_path), resume=run.run_id)

    found = run_request(asked, b"x", ledger, SETTINGS)

    assert (found.thread, found.session) == (SESSION, run.session)


def named_in_codex(home: Path, *names: tuple[str, str]) -> None:
    home.mkdir(exist_ok=True)
    lines = [json.dumps({"id": id_, "thread_name": name}) for id_, name in names]
    (home / "session_index.jsonl").write_text("\n".join(["damaged", *lines]))


@pytest.mark.parametrize("name", ["Fix the tests", "of Codex"])
def test_a_name_stands_for_its_session(
    ledger: Ledger, tmp_path: Path, name: str
) -> None:
    ledgers.session_of(ledger, title="Fix the tests")
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))
    named_in_codex(
        ours.codex_home, (OTHER, "of Codex"), (OTHER, "new"), (SESSION, "of Codex")
    )
    asked = words(repo=str(tmp_path), resume=name)

    assert run_request(asked, b"x", ledger, ours).thread == SESSION


def test_a_name_of_two_sessions_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    ledgers.session_of(ledger, title="twice")
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))
    named_in_codex(ours.codex_home, (OTHER, "twice"))
    asked = words(repo=str(tmp_path), resume="twice")

    with pytest.raises(UsageError, match=f"several have this name: {SESSION}, {OTHER}"):
        run_request(asked, b"x", ledger, ours)


@pytest.mark.parametrize("has_threads", [False, True])
def test_a_thread_that_codex_has_not_is_refused(
    ledger: Ledger, tmp_path: Path, *, has_threads: bool
) -> None:
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))
    program = tmp_path / "codex"
    program.write_text('#!/bin/sh\nexec other "$@"\n')
    program.chmod(0o755)
    codex = CodexOptions(bin=str(program))
    asked = words(repo=str(tmp_path), resume=OTHER, codex=codex)
    if has_threads:
        (ours.codex_home / "sessions").mkdir(parents=True)
        with pytest.raises(UsageError, match=f"{OTHER}: no such session in"):
            run_request(asked, b"x", ledger, ours)
        rollout = ours.codex_home / "sessions" / f"rollout-2026-11-20-{OTHER}.jsonl"
        rollout.touch()  # Codex refuses an empty one
        with pytest.raises(UsageError, match="no such session in"):
            run_request(asked, b"x", ledger, ours)
        rollout.write_text("{}\n")

    # A program in the place of Codex may keep its threads elsewhere.
    assert run_request(asked, b"x", ledger, ours).thread == OTHER


def test_a_run_without_a_session_cannot_be_resumed(
    ledger: Ledger, tmp_path: Path
) -> None:
    run = ledgers.prepare(ledger)
    ledgers.end(ledger, run, Outcome.NOT_STARTED)
    asked = words(repo=str(tmp_path), resume=run.run_id)

    with pytest.raises(UsageError, match="has no session"):
        run_request(asked, b"x", ledger, SETTINGS)


def test_a_clock_that_was_set_back_does_not_change_the_order_of_the_runs(
    ledger: Ledger, tmp_path: Path
) -> None:
    ahead = clock.now() + timedelta(hours=1)
    before = ledgers.session_of(ledger, run_id=new_run_id(ahead), prepared_at=ahead)
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))
    asked = words(repo=str(tmp_path), resume=SESSION, log_dir=str(tmp_path))

    prepared = prepare_run(run_request(asked, b"x", ledger, ours), ledger, ours)
    prepared.close()

    runs = ledger.runs.of_session(before.session)
    assert [run.run_id for run in runs] == [before.run_id, prepared.run.run_id]
    assert ledger.sessions.get(before.session).last_run == prepared.run.run_id


def test_a_run_that_was_left_behind_is_judged_before_its_session_is_resumed(
    ledger: Ledger, tmp_path: Path
) -> None:
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))
    left = ledgers.name(ledger, ledgers.launch(ledger, ledgers.prepare(ledger)))

    asked = words(repo=str(tmp_path), resume=SESSION)
    run_request(asked, b"Go on.", ledger, ours)

    assert ledger.runs.unfinished(left.session) == []
