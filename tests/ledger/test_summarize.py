"""A bare file is summarised as what it is, whatever its meta file holds."""

import json
from pathlib import Path

import pytest
from support import worked
from support.runs import settings
from support.worked import FIRST, OTHER

from runner import files
from runner.cli import parse_codex_run
from runner.config import Config
from runner.errors import RunnerFault, UnknownRunError, UsageError
from runner.ledger.ledger import Ledger
from runner.service.summarize import summarize_log, summarize_run

DATA = Path(__file__).parents[1] / "unit/parsers/data"
EVENTS = DATA / "events-0.169-new.jsonl"


@pytest.fixture
def ours(tmp_path: Path) -> Config:
    return settings(tmp_path)


def with_meta(tmp_path: Path, meta: str) -> tuple[Path, Path]:
    path = tmp_path / "x.meta.json"
    path.write_text(meta)
    return EVENTS, path


def test_a_rollout_says_what_it_did_wherever_it_lies(ours: Config) -> None:
    found = summarize_log(DATA / "rollout-files-changed.jsonl", None, ours)

    assert found["files_changed"] == [
        {"path": "/srv/app/src/a.py", "kind": "update"},
        {"path": "/srv/app/docs/new.md", "kind": "add"},
    ]
    assert found["commands"] == {"run": 1, "failed": 1}
    # Each call has its price: nothing is estimated.
    assert isinstance(found["cost"], dict)
    assert found["cost"]["usd"] is not None
    assert "estimate" not in found["cost"]


def test_a_failed_turn_of_an_older_rollout_is_no_success(ours: Config) -> None:
    """Up to 0.142 it is written as completed, without an answer."""
    found = summarize_log(DATA / "rollout-0.125-limit.jsonl", None, ours)

    assert (found["outcome"], found["success"]) == ("usage_limited", False)
    assert found["errors"] == ["the usage limit was reached"]
    assert isinstance(found["token_usage"], dict)
    assert found["token_usage"]["total_tokens"] == 0


def test_an_edit_that_failed_is_none(ours: Config, tmp_path: Path) -> None:
    text = (DATA / "rollout-files-changed.jsonl").read_text()
    log = tmp_path / "rollout.jsonl"
    log.write_text(
        text.replace('"success":true', '"success":false').replace(
            '},"status":"completed"}}', "}}}"
        )
    )

    assert summarize_log(log, None, ours)["files_changed"] == []


def test_a_fork_has_no_tokens_of_its_parent(ours: Config, tmp_path: Path) -> None:
    thread, parent = "01a08100-0000-7000-8000-000000000002", FIRST
    figure = {"input_tokens": 1_000_000, "output_tokens": 0, "total_tokens": 1_000_000}
    own = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
    after = {name: figure[name] + own[name] for name in figure}
    none = dict.fromkeys(own, 0)
    records = [
        ("session_meta", {"id": thread, "forked_from_id": parent}),
        ("turn_context", {"turn_id": thread, "model": "gpt-5.3-codex"}),
        *(
            (
                "event_msg",
                {
                    "type": "token_count",
                    "info": {"total_token_usage": total, "last_token_usage": last},
                },
            )
            for total, last in ((figure, none), (after, own))
        ),
    ]
    log = tmp_path / "moved.jsonl"
    log.write_text(
        "".join(
            json.dumps(
                {"timestamp": "2026-09-09T10:00:00.000Z", "type": kind, "payload": each}
            )
            + "\n"
            for kind, each in records
        )
    )

    usage = summarize_log(log, None, ours)["token_usage"]

    assert isinstance(usage, dict)
    assert (usage["total_tokens"], usage["source"]) == (110, "rollout")


def test_agents_are_found_beside_their_parent(ours: Config, tmp_path: Path) -> None:
    log, agent = tmp_path / "parent.jsonl", "01a1f87a-d08e-7aa2-a29d-c4bfb1d8d5da"
    log.write_bytes((DATA / "rollout-0.169-spawn.jsonl").read_bytes())
    beside = tmp_path / f"rollout-2026-11-20T10-00-00-{agent}.jsonl"
    beside.write_bytes((DATA / "rollout-0.169-subagent.jsonl").read_bytes())

    usage = summarize_log(log, None, ours)["token_usage"]

    assert isinstance(usage, dict)
    assert [each["thread_id"] for each in usage["subagents"]] == [agent]


def test_unknown_records_leave_it_open_what_was_done(ours: Config) -> None:
    found = summarize_log(DATA / "rollout-drift.jsonl", None, ours)

    assert found["commands"] == {"run": None, "failed": None}
    assert found["files_changed"] is None
    assert isinstance(found["warnings"], dict)
    assert len(found["warnings"]) == 3


def test_several_threads_in_one_file_are_refused(ours: Config, tmp_path: Path) -> None:
    log = tmp_path / "both.jsonl"
    log.write_bytes(
        EVENTS.read_bytes() + (DATA / "events-0.169-two.jsonl").read_bytes()
    )

    with pytest.raises(RunnerFault, match=f"^output of several threads in {log}$"):
        summarize_log(log, None, ours)


def test_a_meta_file_does_not_hide_that_its_log_is_none(
    ours: Config, tmp_path: Path
) -> None:
    _, meta = with_meta(tmp_path, '{"outcome": "succeeded"}')

    warnings = summarize_log(Path(__file__), meta, ours)["warnings"]

    assert warnings == {"no Codex output": 1}


LONG = "9" * 5_000


@pytest.mark.parametrize(
    "meta",
    [
        '{"token_usage": {"total": NaN}, "cost": {"usd": -Infinity, "a": 1e99999}}',
        r'{"run_id": "\ud800", "token_usage": {"\udfff": "\ud801"}, "model": "\ud800"}',
        f'{{"codex_version": "{LONG}.{LONG}"}}',
        f'{{"events_file": "{LONG}", "rollout_offset": {LONG}}}',
        f'{{"events_file": "{LONG}", "started_at": "{LONG}"}}',
        r'{"events_file": "a\u0000b"}',
        '{"events_file": "/"}',
    ],
    ids=["numbers", "surrogates", "version", "digits", "path", "null byte", "root"],
)
def test_a_strange_value_harms_only_itself(
    ours: Config, tmp_path: Path, meta: str
) -> None:
    found = summarize_log(*with_meta(tmp_path, meta), ours)

    text = json.dumps(found, ensure_ascii=False, allow_nan=False)
    assert text.encode()
    assert (found["outcome"], found["commands"]) == (
        "succeeded",
        {"run": 1, "failed": 0},
    )


@pytest.mark.parametrize("figure", ["NaN", '"x"', "true", "{}"])
def test_a_figure_that_is_none_does_not_hide_that_of_the_log(
    ours: Config, tmp_path: Path, figure: str
) -> None:
    meta = (
        f'{{"token_usage": {{"total_tokens": {figure}}}, "cost": {{"usd": {figure}}}}}'
    )
    plain = summarize_log(*with_meta(tmp_path, "{}"), ours)

    found = summarize_log(*with_meta(tmp_path, meta), ours)

    assert found["token_usage"] == plain["token_usage"]
    assert found["cost"] == plain["cost"]


def test_a_meta_file_that_cannot_be_read_is_told_with_the_reason(
    ours: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    log, meta = tmp_path / "codex-run-1.log", tmp_path / "codex-run-1.meta.json"
    log.write_bytes(EVENTS.read_bytes())
    meta.write_text('{"exit_code": 1}')
    monkeypatch.setattr(files, "read_bytes", refuse)

    with pytest.raises(UsageError, match=r"x\.meta\.json: Permission denied"):
        summarize_log(*with_meta(tmp_path, "{}"), ours)
    assert summarize_log(log, None, ours)["warnings"] == {
        f"meta: {meta.name}: Permission denied": 1
    }


def test_an_exit_code_of_another_maker_is_named(ours: Config, tmp_path: Path) -> None:
    found = summarize_log(*with_meta(tmp_path, '{"exit_code": 124}'), ours)
    plain = summarize_log(*with_meta(tmp_path, '{"exit_code": 0}'), ours)

    assert (found["success"], found["exit_code"]) == (True, 124)
    assert found["warnings"] == {
        "the turn was completed, but the recorded exit code is 124": 1
    }
    assert plain["warnings"] == {}


def test_a_model_prices_a_stream_without_one(ours: Config) -> None:
    found, none = (
        summarize_log(EVENTS, None, ours, model) for model in ("gpt-5.1-codex", None)
    )
    named = summarize_log(DATA / "rollout-files-changed.jsonl", None, ours, "gpt-5")

    assert (found["model"], none["model"]) == ("gpt-5.1-codex", None)
    assert isinstance(found["cost"], dict)
    assert isinstance(none["cost"], dict)
    assert found["cost"]["usd"] > 0
    assert none["cost"]["usd"] is None
    assert named["model"] == "gpt-5.6-luna"


def test_a_model_without_a_log_is_refused() -> None:
    with pytest.raises(UsageError, match="--model needs --log"):
        parse_codex_run.parse(["x", "--model", "gpt-5"])


def test_a_task_is_its_last_run(tmp_path: Path) -> None:
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(tmp_path / "state"))
    ledger = Ledger(ours.state_home)
    worked.work(ledger, ours, title="the first")
    last = worked.work(ledger, ours)
    other = worked.work(ledger, ours, OTHER, title="the other")

    for name, run in ((FIRST, last), ("the first", last), ("the other", other)):
        found = summarize_run(name, tmp_path, ours)
        assert found["run_id"] == run.run_id
    with pytest.raises(UnknownRunError, match="nothing like it"):
        summarize_run("nothing like it", tmp_path, ours)


def test_unknown_records_of_a_thread_are_in_the_warnings_of_its_runs(
    ours: Config, tmp_path: Path
) -> None:
    log, day = tmp_path / "events.jsonl", ours.codex_home / "sessions/2026/12/01"
    thread = "01980a00-1111-7222-8333-0123456789ab"
    log.write_text(f'{{"type":"thread.started","thread_id":"{thread}"}}\n')
    day.mkdir(parents=True)
    rollout = day / f"rollout-2026-12-01T10-00-00-{thread}.jsonl"
    rollout.write_bytes((DATA / "rollout-drift.jsonl").read_bytes())

    warnings = summarize_log(log, None, ours)["warnings"]

    names = ("token_count_v2", "turn_finished", "usage_snapshot")
    assert warnings == {f"unknown_record:{name}": 1 for name in names}
