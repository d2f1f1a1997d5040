import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from parsers.exec_events.summary import EventSummary
from runner.clock import iso
from runner.foreign import read_bash_runs
from runner.foreign.eventlines import event_lines
from runner.foreign.sources import ForeignRun, History, Unreadable
from runner.model import Outcome
from runner.service.foreign_runs import verdict_of

SESSION = "0199d9c2-0000-7000-8000-00000000000a"
OTHER = "11111111-2222-4333-8444-555555555555"
BLOCK = ("codex_run_id=R1", "codex_exit_code=0", f"codex_session_id={SESSION}")
HUMAN = (
    "codex_run_id=R1",
    "OpenAI Codex v0.80.0",
    "--------",
    "model: gpt-5.1-codex",
    "workdir: /srv/elsewhere",
    "sandbox: workspace-write [workdir, /tmp]",
    f"session id: {SESSION}",
    "--------",
    "user",
    f'do it, not as session id: {OTHER}, nor {{"type":"turn.started"}}',
    "workdir: /not/this",
    "codex",
    "It is done.",
    "tokens used",
    "7,200",
    *BLOCK,
)
MakeRun = Callable[..., Path]


def histories(directory: Path) -> list[History]:
    found = list(read_bash_runs(directory))
    assert all(isinstance(each, History) for each in found), found
    return [each for each in found if isinstance(each, History)]


def only_run(directory: Path) -> ForeignRun:
    (history,) = histories(directory)
    (run,) = history.runs
    return run


def digest_of(run: ForeignRun) -> EventSummary:
    digest = EventSummary()
    digest.read_lines(event_lines(run))
    return digest


def test_a_run_is_told_from_its_record_and_its_readable_log(
    tmp_path: Path, make_bash_run: MakeRun
) -> None:
    make_bash_run("R1", HUMAN, session_id=OTHER)
    (history,) = histories(tmp_path)
    (run,) = history.runs

    assert (history.kind, history.session_id) == ("run_codex_task.sh", SESSION)
    assert history.working_dir == "/srv/code"
    assert (run.prompt, run.answer) == ("do it", "It is done.")
    verdict = verdict_of(run)
    assert (verdict.outcome, run.exit_code) == (Outcome.SUCCEEDED, 0)
    assert verdict.error is None
    assert (run.model, run.codex_version) == ("gpt-5.1-codex", "0.80.0")
    assert iso(run.started_at) == "2026-02-01T10:00:00.000Z"
    assert iso(run.ended_at) == "2026-02-01T10:00:30.000Z"
    assert (run.source_run_id, run.facts.uncached_tokens) == ("R1", 7200)


def test_a_readable_log_is_told_in_events(
    tmp_path: Path, make_bash_run: MakeRun
) -> None:
    make_bash_run("R1", HUMAN)
    run = only_run(tmp_path)
    digest = digest_of(run)

    assert run.events is None
    assert (digest.thread_id, digest.final_message) == (SESSION, "It is done.")
    assert digest.warnings == {}


def test_events_in_a_log_are_found_between_its_blocks(
    tmp_path: Path, make_bash_run: MakeRun
) -> None:
    events = (
        json.dumps({"type": "thread.started", "thread_id": SESSION}),
        "a warning of Codex",
        '{"type":"turn.completed","usage":{"input_tokens":5,"output_tokens":1}}',
    )
    make_bash_run("R1", (*BLOCK, *events, *BLOCK, '{"no":"event"}'))
    run = only_run(tmp_path)

    assert run.lines == ()
    assert b"".join(event_lines(run)).decode().splitlines() == [events[0], events[2]]
    assert verdict_of(run).outcome is Outcome.SUCCEEDED


def test_runs_of_one_session_are_one_history_in_order_of_time(
    tmp_path: Path, make_bash_run: MakeRun
) -> None:
    make_bash_run("R1", None, session_id=SESSION, started_at="2026-02-02T10:00:00Z")
    make_bash_run("R2", None, session_id=SESSION.upper())
    make_bash_run("R3", None, session_id="unknown")
    make_bash_run("R4", None, resume_session=SESSION, started_at="2026-02-03T10:00:00Z")
    named, nameless = sorted(histories(tmp_path), key=lambda each: -len(each.runs))

    assert [run.source_run_id for run in named.runs] == ["R2", "R1", "R4"]
    assert [run.number for run in named.runs] == [0, 1, 2]
    assert (nameless.session_id, len(nameless.runs)) == (None, 1)


@pytest.mark.parametrize(
    ("exit_code", "outcome"),
    [
        (0, Outcome.SUCCEEDED),
        (1, Outcome.FAILED),
        (124, Outcome.TIMED_OUT),
        (126, Outcome.NOT_STARTED),
        (130, Outcome.INTERRUPTED),
        (143, Outcome.INTERRUPTED),
        (None, Outcome.LOST),
        ("rubbish", Outcome.LOST),
    ],
)
def test_without_an_end_in_the_log_the_exit_code_is_asked(
    tmp_path: Path, make_bash_run: MakeRun, exit_code: object, outcome: Outcome
) -> None:
    make_bash_run("R1", BLOCK[:1], exit_code=exit_code)

    assert verdict_of(only_run(tmp_path)).outcome is outcome


def test_what_the_log_says_of_the_end_goes_before_the_exit_code(
    tmp_path: Path, make_bash_run: MakeRun
) -> None:
    make_bash_run("R1", HUMAN, exit_code=143)

    assert verdict_of(only_run(tmp_path)).outcome is Outcome.SUCCEEDED


def test_the_summary_tells_why_a_run_failed(
    tmp_path: Path, make_bash_run: MakeRun
) -> None:
    make_bash_run("R1", None, exit_code=124)
    summary = tmp_path / "codex-run-R1.summary.json"
    summary.write_text('{"err": "Codex run timed out after 5s"}')

    assert verdict_of(only_run(tmp_path)).error == "Codex run timed out after 5s"


def test_a_time_that_is_not_on_record_is_a_guess(
    tmp_path: Path, make_bash_run: MakeRun
) -> None:
    make_bash_run("R1", None, started_at=None, ended_at="yesterday")
    run = only_run(tmp_path)

    assert not run.is_dated
    assert run.started_at == run.ended_at


def test_runs_of_our_own_are_left_out(tmp_path: Path, make_bash_run: MakeRun) -> None:
    make_bash_run(
        "20260201-100000-000000-0a0b0c0d", HUMAN, state="finished", request={}
    )

    assert histories(tmp_path) == []


def test_what_cannot_be_read_is_named(tmp_path: Path, make_bash_run: MakeRun) -> None:
    make_bash_run("R1", None).write_bytes(b"")
    make_bash_run("R2", None)
    (tmp_path / "codex-run-R2.log").mkdir()
    (tmp_path / "codex-run-R3.log").touch()
    make_bash_run("R4", None)
    os.mkfifo(tmp_path / "codex-run-R4.log")
    found = [each for each in read_bash_runs(tmp_path) if isinstance(each, Unreadable)]

    assert {each.source.name: each.reason.partition(": ")[2] for each in found} == {
        "codex-run-R1.meta.json": "not a JSON object",
        "codex-run-R2.meta.json": "it is not a regular file",
        "codex-run-R3.log": "",
        "codex-run-R4.meta.json": "it is not a regular file",
    }


@pytest.mark.parametrize("value", [None, 7, [], {}, True, "\ud800", "x\0y", 1e400])
def test_fields_of_a_wrong_type_do_no_harm(
    tmp_path: Path, make_bash_run: MakeRun, value: object
) -> None:
    keys = ("run_id", "session_id", "repo", "task", "resume_session", "log_file")
    more = ("started_at", "ended_at", "exit_code", "model", "elapsed_seconds")
    make_bash_run("R1", None, **dict.fromkeys((*keys, *more), value))

    run = only_run(tmp_path)
    for text in (run.prompt, run.model, run.source_run_id):
        assert text is None or text.encode()


@pytest.mark.parametrize(
    ("log", "repo", "certain"),
    [
        (HUMAN, "/srv/code", "/srv/code"),
        (HUMAN, ".", "/srv/elsewhere"),
        (HUMAN, None, "/srv/elsewhere"),
        (None, ".", None),
        (HUMAN[:4], ".", None),
        (None, "/srv\0", None),
    ],
)
def test_a_relative_repo_is_where_the_banner_says(
    tmp_path: Path,
    make_bash_run: MakeRun,
    log: tuple[str, ...] | None,
    repo: str | None,
    certain: str | None,
) -> None:
    make_bash_run("R1", log, repo=repo)
    (history,) = histories(tmp_path)

    assert (history.working_dir, history.likely_dir) == (certain, None)


def test_without_a_banner_the_directory_of_the_caller_is_a_guess(
    tmp_path: Path, make_bash_run: MakeRun
) -> None:
    (tmp_path / "app" / "sub").mkdir(parents=True)
    runs = tmp_path / "app" / "runs"
    for number, repo in enumerate((".", "sub", "gone")):
        make_bash_run(f"R{number}", None, repo=repo)
    runs.mkdir()
    for path in tmp_path.glob("*.meta.json"):
        path.rename(runs / path.name)

    assert [each.likely_dir for each in histories(runs)] == [
        str(tmp_path / "app"),
        str(tmp_path / "app" / "sub"),
        None,
    ]


def test_the_runners_own_figure_stands_where_no_log_is_left(
    tmp_path: Path, make_bash_run: MakeRun
) -> None:
    make_bash_run("R1", None)
    (tmp_path / "codex-run-R1.summary.json").write_text('{"tok": {"tot": 7200}}')

    assert only_run(tmp_path).facts.uncached_tokens == 7200


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    (found,) = read_bash_runs(tmp_path / "nowhere")

    assert isinstance(found, Unreadable)
    assert found.reason == "No such file or directory"
