"""One run of the real Codex: what it prints, what it leaves, what it counts."""

import json
import stat
from pathlib import Path

import pytest
from support.processes import wait_until
from support.real_codex import RealTasks, events, holding, parts, used
from support.tasks import ANNOUNCED, CLOSING, Ended

SUMMARY = (
    *("run_id", "session_id", "resume_session", "repo", "task", "started_at"),
    *("ended_at", "elapsed_seconds", "exit_code", "success", "outcome"),
    *("error_class", "retryable", "model"),
    *("log_file", "meta_file", "token_usage", "cost", "final_message", "commands"),
    *("files_changed", "errors", "warnings"),
    *("id", "sid", "resume", "start", "end", "exit", "ok", "mdl", "tier", "msrc"),
    *("meta", "time", "log", "tok", "err", "cache", "src", "legacy"),
)
META = (
    *("run_id", "session_id", "resume_session", "mode", "repo", "task", "task_file"),
    *("codex_bin", "codex_version", "model", "sandbox", "log_file", "events_file"),
    *("meta_file", "started_at", "ended_at", "elapsed_seconds", "exit_code", "signal"),
    *("outcome", "error", "token_usage", "cost"),
)
SUFFIXES = (
    *(".events.jsonl", ".stderr", ".log", ".meta.json", ".summary.json", ".prompt"),
)
WORK = "run: echo one; echo two >&2\npatch: new.txt\nthink: hmm\nsay: All done."


@pytest.fixture(scope="module")
def ended(shared: RealTasks) -> Ended:
    return shared("--task", WORK)


def test_a_run_keeps_the_output_contract(ended: Ended) -> None:
    assert (ended.code, ended.stderr) == (0, "")
    head = [line.partition("=") for line in ended.lines[: len(ANNOUNCED)]]
    assert [name for name, _, _ in head] == ANNOUNCED
    assert ended.block == CLOSING
    announced, closing = {name: value for name, _, value in head}, ended.fields
    assert announced["summary_file_pending"] == closing["summary_file"]
    for name in ("codex_run_id", "log_file", "meta_file"):
        assert announced[name] == closing[name]
    for name in ("log_file", "meta_file", "summary_file"):
        assert Path(closing[name]).is_absolute()
    assert closing["codex_exit_code"] == "0"
    assert closing["outcome"] == "succeeded"
    assert closing["codex_session_id"] == events(ended.files)[0]["thread_id"]
    assert json.loads(closing["summary_json"]) == ended.files.summary
    assert float(closing["elapsed_seconds"]) == ended.meta["elapsed_seconds"]
    between = ended.stdout.partition("summary_file_pending=")[2]
    for shown in ("session id: ", "  one\n", "  two\n", "new.txt", "hmm", "All done."):
        assert shown in between


def test_a_run_leaves_all_its_files_private(shared: RealTasks, ended: Ended) -> None:
    left = {path.name for path in shared.log_dir.iterdir()}
    run_id = ended.files.run_id
    assert left == {f"codex-run-{run_id}{suffix}" for suffix in SUFFIXES}
    for path in (shared.log_dir, shared.place / "state", *shared.log_dir.iterdir()):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    assert stat.S_IMODE((shared.repo / "new.txt").stat().st_mode) == 0o644


def test_the_summary_says_what_the_run_did(shared: RealTasks, ended: Ended) -> None:
    summary, meta = ended.files.summary, ended.meta

    assert tuple(summary) == SUMMARY
    assert tuple(key for key in meta if key in META) == META
    assert summary["final_message"] == "All done."
    assert summary["commands"] == {"run": 1, "failed": 0}
    new = {"path": str(shared.repo / "new.txt"), "kind": "add"}
    assert summary["files_changed"] == [new]
    assert summary["errors"] == []
    assert summary["success"] is True
    assert parts(summary["token_usage"]) == used(1, 2, 3)
    assert summary["token_usage"]["source"] == "rollout"
    assert summary["cost"]["model"] == summary["model"] == "gpt-5.1-codex"
    assert summary["cost"]["usd"] == pytest.approx(
        sum(summary["cost"]["parts"].values())
    )
    assert summary["cost"]["price_source"]["name"] == "genai-prices"
    both = set(SUMMARY) & set(META)
    assert {key: meta[key] for key in both} == {key: summary[key] for key in both}
    assert meta["mode"] == "new"
    assert meta["codex_version"] == "0.169.0"
    assert meta["sandbox"] == "danger-full-access"
    assert (meta["error"], meta["signal"]) == (None, None)


def test_the_events_are_what_codex_wrote_byte_for_byte(
    codex: RealTasks, tmp_path: Path
) -> None:
    copying = tmp_path / "copying-codex"
    copy = tmp_path / "copy"
    copying.write_text(f'#!/bin/sh\n"{codex.stand_in.path}" "$@" | tee {copy}\n')
    copying.chmod(0o755)

    files = codex("--codex-bin", copying, "--task", WORK).files

    written = files.path(".events.jsonl").read_bytes()
    assert written == copy.read_bytes()
    assert written.endswith(b"\n")


def test_the_log_grows_and_the_record_is_there_while_codex_works(
    codex: RealTasks, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    begun = codex.start("--task", f"run: echo early\nrun: {holding(go)}\nsay: late")
    files = begun.wait_running()

    wait_until(lambda: "  early\n" in files.log, what="the first output in the log")
    wait_until(lambda: "  early\n" in begun.stdout, what="the same on stdout")
    assert begun.process.poll() is None
    assert "late" not in files.log.partition("=====\n\n")[2]
    assert files.meta["ended_at"] is None
    assert files.meta["state"] == "running"
    assert not files.path(".summary.json").exists()

    go.touch()
    assert begun.wait().code == 0
    assert "  late\n" in files.log
    assert f"\nsummary_file={files.path('.summary.json')}\n" in files.log
    assert files.log.splitlines()[-1].startswith("summary_line=OK ")


def test_the_closing_block_starts_on_a_line_of_its_own(
    codex: RealTasks, tmp_path: Path
) -> None:
    unfinished = tmp_path / "unfinished-codex"
    unfinished.write_text(
        f'#!/bin/sh\n"{codex.stand_in.path}" "$@"\nprintf \'no newline\'\n'
        "printf 'nor here' >&2\n"
    )
    unfinished.chmod(0o755)

    ended = codex("--codex-bin", unfinished, "--task", "say: fine")

    assert ended.code == 0
    assert ended.block == CLOSING
    assert "no newline" in ended.stdout
    assert "nor here" in ended.stdout
    assert ended.files.text(".events.jsonl").endswith("}\nno newline")
    assert ended.files.summary["warnings"] == {"unfinished_line": 1}


def test_codex_prints_nothing_that_the_parsers_do_not_know(codex: RealTasks) -> None:
    ended = codex(
        *("-c", "features.plugins=true", "-c", "features.shell_snapshot=true"),
        "--task",
        "run: echo fine\nrun: exit 3\ntogether: 2\npatch: a.txt\npatch: b.txt\n"
        "think: hmm\nstart: sleep 2\nspawn: say: sub\nlimits: primary=12\nsay: done",
    )
    resumed = codex("--resume", ended.files.run_id, "--task", "run: true\nfail: 500")

    assert ended.code == 0
    assert ended.files.summary["warnings"] == {}
    assert "not known to this version" not in ended.stdout
    assert resumed.files.summary["warnings"] == {}
    for each in (ended, resumed):
        rollout = codex.rollout(each.fields["codex_session_id"])
        read = codex.parse("--log", rollout, "--format", "json")
        assert json.loads(read.stdout)["warnings"] == {}


def test_a_detached_run_goes_on_by_itself(codex: RealTasks, tmp_path: Path) -> None:
    go = tmp_path / "go"
    ended = codex("--detach", "--task", f"run: {holding(go)}\nsay: by myself")

    assert ended.code == 0
    assert [line.partition("=")[0] for line in ended.lines] == ANNOUNCED
    assert ended.files.meta["state"] == "running"
    go.touch()
    ended.files.wait_for_end()
    assert ended.files.summary["final_message"] == "by myself"


def test_whoever_wants_to_know_is_told(codex: RealTasks, tmp_path: Path) -> None:
    copy, stream, heard = (tmp_path / name for name in ("copy", "stream", "heard"))
    words = ("--json-out", copy, "--event-stream", stream)

    ended = codex(*words, "--notify-cmd", f"tee -a {heard}", "--task", "say: hi")

    assert json.loads(copy.read_text()) == ended.files.summary
    begun, completed = [json.loads(line) for line in stream.read_text().splitlines()]
    assert (begun["event"], begun["outcome"]) == ("run_started", None)
    assert (completed["event"], completed["outcome"]) == ("run_completed", "succeeded")
    assert completed["session_id"] == ended.fields["codex_session_id"]
    assert heard.read_text().splitlines() == stream.read_text().splitlines()
    assert ended.block == CLOSING
    assert ended.files.meta["left_running"] == []


def test_long_texts_are_cut_off_with_a_pointer_to_all_of_them(
    codex: RealTasks,
) -> None:
    answer = "a very long answer " * 200
    summary = codex("--task", f"{'x' * 3000}\nsay: {answer}").files.summary

    assert len(summary["task"]) == len(summary["final_message"]) == 2000
    assert answer.strip() in Path(summary["task_file"]).read_text()
    assert answer.strip() in Path(summary["final_message_file"]).read_text()
