"""Files that a version of this suite read wrongly, with the values that are right."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.runs import settings

from parsers.accounting.tokens import Usage
from parsers.exec_events.transcript import render_tokens
from parsers.run_summary import one_line
from runner.config import Config
from runner.errors import RunnerError, RunnerFault
from runner.ledger.ledger import Ledger
from runner.service import importing, usage
from runner.service.summarize import summarize_log, summarize_logs

CASES = Path(__file__).parents[1] / "data/cases"
DATA = Path(__file__).parents[1] / "unit/parsers/data"
THREAD = "01980a00-1111-7222-8333-0123456789ab"
STREAMS = CASES / "saved-streams-of-one-thread"
RUNS = tuple(STREAMS / f"run{number}.jsonl" for number in (1, 2, 3))
HOME = STREAMS / "codex-home"
ONE = 1_545
DOUBT = "thread total; earlier runs of the session may be included"
NO_DOUBT = (ONE, None)


@pytest.fixture
def ours(tmp_path: Path) -> Config:
    return settings(tmp_path)


def in_home(tmp_path: Path, home: Path) -> Config:
    return settings(tmp_path, CODEX_HOME=str(home))


def summary(log: Path, ours: Config) -> dict[str, Any]:
    return summarize_log(log, None, ours)


def counted(found: dict[str, Any] | RunnerError) -> tuple[int | None, str | None]:
    assert isinstance(found, dict)
    told = found["token_usage"]
    return told["total_tokens"], told.get("reason")


def together(logs: Iterator[Path] | list[Path], ours: Config) -> list[Any]:
    return [*map(counted, summarize_logs([*logs], ours, None))]


@pytest.mark.parametrize(
    "name",
    [
        "events-ci-timestamps/events.log",
        "events-docker-compose-prefix/events.log",
        "events-json-array/events.json",
    ],
)
def test_a_stream_that_another_program_saved(name: str, ours: Config) -> None:
    found = summary(CASES / name, ours)

    assert (found["session_id"], found["outcome"]) == (THREAD, "succeeded")
    assert (found["final_message"], counted(found)[0]) == ("done", 1_100)
    assert found["commands"] == {"run": 0, "failed": 0}
    assert found["warnings"] == {}


LIMIT = ("usage_limited", "usage_limit_exceeded", False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *((letter, LIMIT) for letter in "abcdf"),
        ("e", ("failed", "response_too_many_failed_attempts", True)),
        ("g", ("failed", "server_overloaded", True)),
    ],
)
def test_the_wordings_of_a_limit(
    name: str, said: tuple[str, str, bool], ours: Config
) -> None:
    found = summary(CASES / f"events-limit-wordings/{name}.jsonl", ours)

    assert (found["outcome"], found["error_class"], found["retryable"]) == said


def test_two_threads_in_one_file(ours: Config) -> None:
    with pytest.raises(RunnerFault, match=r"^output of several threads in "):
        summary(CASES / "events-two-threads-appended/events.jsonl", ours)


def test_forks_have_no_tokens_of_their_parent(ours: Config) -> None:
    place = CASES / "forks-inherit-totals"
    logs = sorted(place.rglob("*.jsonl"))
    ledger = Ledger(ours.state_home)

    assert [counted(summary(log, ours))[0] for log in logs] == [1_000_000, *[110] * 3]
    assert [*importing.take_in([str(place)], ledger, ours)]
    total = usage.gather(ledger, "day").total
    assert total is not None
    assert total.total_tokens == 1_000_330


def test_a_stream_of_0_43_is_refused_and_one_of_0_44_is_read(ours: Config) -> None:
    with pytest.raises(RunnerFault, match=r"^unsupported events of Codex 0\.43 and"):
        summary(DATA / "old-0.43.jsonl", ours)
    assert summary(DATA / "old-0.44.jsonl", ours)["commands"] == {"run": 1, "failed": 1}


def test_a_rollout_whose_calls_have_another_name_has_no_usage(ours: Config) -> None:
    found = summary(DATA / "rollout-drift.jsonl", ours)

    assert counted(found)[0] is None
    assert "unknown kinds" in str(counted(found)[1])
    assert found["cost"]["usd"] is None
    assert len(found["warnings"]) == 3


def test_a_stream_has_the_turn_of_the_rollout_with_its_figure(tmp_path: Path) -> None:
    ours = in_home(tmp_path, HOME)
    found = [summary(log, ours) for log in RUNS]

    assert [*map(counted, found)] == [NO_DOUBT] * 3
    assert {each["token_usage"]["source"] for each in found} == {"rollout"}
    assert {each["model"] for each in found} == {"gpt-5.1-codex"}


def test_a_stream_without_reasoning_tokens_has_its_turn_too(tmp_path: Path) -> None:
    """Codex up to 0.120 does not print them."""
    home, log = tmp_path / "home", tmp_path / "run2.jsonl"
    place = home / "sessions/2026/11/30"
    place.mkdir(parents=True)
    (rollout,) = HOME.rglob("*.jsonl")
    told = '"reasoning_output_tokens":'
    text = rollout.read_text().replace(f"{told}0", f"{told}45")
    (place / rollout.name).write_text(text)
    log.write_text(RUNS[1].read_text().replace(f",{told}0", ""))

    assert counted(summary(log, in_home(tmp_path, home))) == NO_DOUBT


def test_without_its_rollout_a_stream_has_the_figure_of_its_thread(
    ours: Config,
) -> None:
    found = [summarize_log(log, None, ours, "gpt-5.1-codex") for log in RUNS]

    totals = [(ONE * number, DOUBT) for number in (1, 2, 3)]
    assert [*map(counted, found)] == totals
    for each in found:
        assert isinstance(each["cost"], dict)
        assert each["cost"]["estimate"] == DOUBT


def test_the_streams_of_a_thread_have_their_shares_in_any_order(ours: Config) -> None:
    first = (ONE, DOUBT)

    assert together([*RUNS], ours) == [first, NO_DOUBT, NO_DOUBT]
    assert together([RUNS[2], RUNS[0], RUNS[1]], ours) == [NO_DOUBT, first, NO_DOUBT]
    assert together([RUNS[1], RUNS[2]], ours) == [(2 * ONE, DOUBT), NO_DOUBT]


def test_streams_of_a_thread_of_2025_have_the_usage_of_their_process(
    tmp_path: Path, ours: Config
) -> None:
    """Codex before 0.80 prints that; a thread's id has the time of the thread."""
    logs = []
    for run in RUNS:
        logs.append(tmp_path / run.name)
        logs[-1].write_text(run.read_text().replace("01a33000-0000", "019a8000-0000"))

    found = together(logs, ours)

    assert found == [(ONE, DOUBT), (2 * ONE, None), (3 * ONE, None)]


def test_a_log_that_cannot_be_read_does_not_hide_the_others(ours: Config) -> None:
    found = [*summarize_logs([Path("/none"), RUNS[0]], ours, None)]

    assert str(found[0]) == "--log /none: No such file or directory"
    assert counted(found[1]) == (ONE, DOUBT)


def test_several_turns_of_a_thread_in_one_file_are_all_of_them(tmp_path: Path) -> None:
    log = tmp_path / "both.jsonl"
    log.write_bytes(RUNS[1].read_bytes() + RUNS[2].read_bytes())

    assert counted(summary(log, in_home(tmp_path, HOME))) == (2 * ONE, None)


def test_a_turn_without_a_figure_is_found_by_its_end_and_answer(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "cut.jsonl"
    place = home / "sessions/2026/11/30"
    place.mkdir(parents=True)
    (rollout,) = HOME.rglob("*.jsonl")
    lines = rollout.read_text().splitlines(keepends=True)
    ended = json.loads(lines[10])["payload"]
    assert ended["type"] == "task_complete"
    aborted = {"type": "turn_aborted", "turn_id": ended["turn_id"]}
    (place / rollout.name).write_text(
        "".join(lines).replace(
            json.dumps(ended, separators=(",", ":")), json.dumps(aborted)
        )
    )
    log.write_text("".join(RUNS[1].read_text().splitlines(keepends=True)[:2]))

    assert counted(summary(log, in_home(tmp_path, home)))[0] == ONE


STREAM_THREAD = "01a33000-0000-7000-8000-000000000001"


def bash_log(tmp_path: Path, said: str, **meta: object) -> Path:
    """Make a log of the bash runner, whose times are whole seconds."""
    log = tmp_path / "codex-run-1.log"
    banner = f"OpenAI Codex v0.171.0\n--------\nsession id: {STREAM_THREAD}\n--------\n"
    log.write_text(f"{banner}user\nhi\ncodex\n{said}")
    times = {"started_at": "2026-11-30T02:52:00Z", "ended_at": "2026-11-30T02:52:01Z"}
    told = {"resume_session": STREAM_THREAD, "exit_code": 0, **times, **meta}
    (tmp_path / "codex-run-1.meta.json").write_text(json.dumps(told))
    return log


def test_whole_seconds_of_a_bash_log_lose_no_call(tmp_path: Path) -> None:
    log = bash_log(tmp_path, "answer 2\ntokens used\n1,090\nanswer 2\n")
    found = summary(log, in_home(tmp_path, HOME))

    assert counted(found) == NO_DOUBT
    assert found["token_usage"]["source"] == "rollout"
    assert found["cost"]["usd"] == pytest.approx(0.003825)


def test_two_runs_in_one_log_have_the_tokens_of_both(tmp_path: Path) -> None:
    log = bash_log(tmp_path, "answer 1\ntokens used\n545\n")
    first = log.read_text()
    log = bash_log(tmp_path, "answer 2\ntokens used\n1,090\n")
    log.write_text(first + log.read_text())

    assert counted(summary(log, in_home(tmp_path, HOME))) == (2 * ONE, None)


def test_a_bash_log_without_a_figure_has_the_turn_of_its_time(tmp_path: Path) -> None:
    log = bash_log(tmp_path, "answer 2\n")

    assert counted(summary(log, in_home(tmp_path, HOME))) == NO_DOUBT


def test_the_text_of_codex_has_no_total_and_the_thread_s_figure(
    tmp_path: Path, ours: Config
) -> None:
    log = bash_log(tmp_path, "answer 2\ntokens used\n1,090\n")
    log.with_name("codex-run-1.meta.json").unlink()
    found = summary(log, ours)

    told = found["token_usage"]
    assert (told["uncached_tokens"], told["total_tokens"]) == (1_090, None)
    assert (
        told["reason"] == f"the log tells only the tokens without cached input; {DOUBT}"
    )
    assert " ≥ 1,090 tok " in one_line(found)


def test_the_readable_log_of_a_resumed_run_has_the_run_s_tokens(
    tmp_path: Path, ours: Config
) -> None:
    own = Usage(
        input_tokens=1_200,
        cached_input_tokens=1_000,
        output_tokens=345,
        total_tokens=ONE,
    )
    log = tmp_path / "codex-run-1.log"
    said = f"user\n  hi\n\nsession id: {STREAM_THREAD}\n\ncodex\n  answer 2\n\n"
    log.write_text(said + render_tokens(own))

    assert counted(summary(log, ours)) == NO_DOUBT
    assert counted(summary(log, in_home(tmp_path, HOME))) == NO_DOUBT
