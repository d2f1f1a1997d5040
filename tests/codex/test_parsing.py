"""`parse_codex_run` on everything that runs of the real Codex leave."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from support.processes import is_alive, kill, wait_until
from support.real_codex import RealTasks, holding, parts, used, wait_for_command
from support.tasks import Ended, Files, is_refused
from support.terminal import terminal

WORK = "run: echo one\nrun: exit 3\npatch: new.txt\nthink: hmm\nsay: All done."
# What every kind of file tells.
TOLD = ("session_id", "outcome", "success", "final_message", "model")


@pytest.fixture(scope="module")
def files(shared: RealTasks) -> Files:
    return shared("--task", WORK).files


@pytest.fixture(scope="module")
def failed(shared: RealTasks) -> Files:
    return shared("--task", "fail: 401\n" + "x" * 200).files


def summary_of(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_a_run_is_found_by_its_id(shared: RealTasks, files: Files) -> None:
    assert summary_of(shared.parse(files.run_id)) == files.summary


def test_several_runs_are_one_line_each(
    shared: RealTasks, files: Files, failed: Files
) -> None:
    read = shared.parse(files.run_id, failed.run_id)

    first, second = read.stdout.splitlines()
    session = files.summary["session_id"]
    assert first.startswith(f"OK {files.run_id} succeeded ")
    assert " tok $0.0" in first
    assert session in first
    assert second.startswith(f"FAIL {failed.run_id} auth_failed ")
    as_json = shared.parse(files.run_id, failed.run_id, "--format", "json")
    found = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert found == [files.summary, failed.summary]


def test_several_runs_are_a_table_on_a_terminal(
    shared: RealTasks, files: Files, failed: Files
) -> None:
    words = [files.run_id, failed.run_id]

    shown = ""
    with terminal() as screen:
        argv = shared.cli.argv(*words, command="parse_codex_run")
        process = screen.start(argv, shared.cli.env({"COLUMNS": "140"}))
        while process.poll() is None:
            shown += screen.shown()
        shown += screen.shown()

    assert process.returncode == 0
    assert "outcome" in shown.splitlines()[0]
    assert "auth_failed" in shown
    for run_id in words:
        assert run_id in shown


@pytest.mark.parametrize("place", ["beside its meta", "alone", "without rollouts"])
@pytest.mark.parametrize("suffix", [".events.jsonl", ".log"])
def test_the_files_of_a_run_tell_the_same(
    shared: RealTasks, files: Files, tmp_path: Path, suffix: str, place: str
) -> None:
    log = files.path(suffix)
    env = {}
    if place != "beside its meta":
        alone = tmp_path / "alone"
        alone.mkdir()
        log = alone / f"saved{suffix}"
        log.write_bytes(files.path(suffix).read_bytes())
    if place == "without rollouts":
        env = {"CODEX_HOME": str(tmp_path / "nowhere")}

    read = summary_of(shared.parse("--log", log, env=env))

    whole = files.summary
    told = [key for key in TOLD if key != "model" or place != "without rollouts"]
    assert {key: read[key] for key in told} == {key: whole[key] for key in told}
    assert parts(read["token_usage"]) == parts(whole["token_usage"])
    assert read["commands"] == whole["commands"] == {"run": 2, "failed": 1}
    assert read["files_changed"] == whole["files_changed"]
    assert read["warnings"] == {}
    if place == "without rollouts":
        kind = {".events.jsonl": "events", ".log": "log"}[suffix]
        assert read["token_usage"]["source"] == kind
        # The readable log names the model, the events do not.
        assert (read["cost"]["usd"] is None) == (suffix == ".events.jsonl")
        if suffix == ".events.jsonl":
            assert read["cost"]["reason"]
    else:
        assert read["token_usage"]["source"] == "rollout"
        assert read["cost"] == whole["cost"]


def test_a_rollout_tells_the_same_wherever_it_lies(
    shared: RealTasks, files: Files, tmp_path: Path
) -> None:
    whole = files.summary
    place = shared.rollout(whole["session_id"])
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes(place.read_bytes())
    nowhere = {"CODEX_HOME": str(tmp_path / "nowhere")}

    for log, env in ((place, {}), (moved, nowhere)):
        read = summary_of(shared.parse("--log", log, env=env))

        same = (*TOLD, "cost", "commands", "files_changed", "warnings")
        assert {key: read[key] for key in same} == {key: whole[key] for key in same}
        assert parts(read["token_usage"]) == parts(whole["token_usage"])


def test_a_stream_that_a_ci_system_saved_is_read_and_a_thread_names_its_run(
    shared: RealTasks, files: Files, tmp_path: Path
) -> None:
    saved, whole = tmp_path / "ci.log", files.summary
    lines = files.text(".events.jsonl").splitlines()
    saved.write_text("".join(f"2026-10-01T10:00:00.1Z {line}\n" for line in lines))

    read = summary_of(shared.parse("--log", saved))

    same = (*TOLD, "cost", "commands", "files_changed", "warnings")
    assert {key: read[key] for key in same} == {key: whole[key] for key in same}
    assert summary_of(shared.parse(whole["session_id"])) == whole


def test_a_meta_file_makes_the_same_of_the_standard_error(
    shared: RealTasks, files: Files
) -> None:
    read = summary_of(shared.parse("--log", files.path(".stderr")))

    assert read["outcome"] == "succeeded"
    assert parts(read["token_usage"]) == used(1, 2, 3, 4)


def test_codex_s_own_text_for_people_is_read(codex: RealTasks, tmp_path: Path) -> None:
    said = codex.by_hand(f"{WORK}\nsession id: 01a1f000-1111-7000-8000-00000000beef")
    assert said.code == 0
    saved = tmp_path / "human.log"
    saved.write_text(said.stderr + said.stdout)
    (thread,) = codex.home.glob("sessions/*/*/*/rollout-*.jsonl")

    read = summary_of(codex.parse("--log", saved))

    assert thread.name.endswith(f"-{read['session_id']}.jsonl")
    assert read["final_message"] == "All done."
    assert read["model"] == "gpt-5.1-codex"
    assert parts(read["token_usage"]) == used(1, 2, 3, 4)
    nowhere = {"CODEX_HOME": str(tmp_path / "nowhere")}
    usage = summary_of(codex.parse("--log", saved, env=nowhere))["token_usage"]
    expected = used(1, 2, 3, 4)
    fresh = expected["input_tokens"] - expected["cached_input_tokens"]
    assert usage["source"] == "log"
    assert usage["uncached_tokens"] == fresh + expected["output_tokens"]
    assert usage["input_tokens"] is usage["total_tokens"] is None


def test_a_running_run_is_summarised_as_far_as_it_is(
    codex: RealTasks, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    begun = codex.start("--task", f"run: true\nrun: {holding(go)}\nsay: later")
    files = begun.wait_running()
    wait_for_command(files)

    def known() -> dict[str, int]:
        usage = summary_of(codex.parse(files.run_id))["token_usage"]
        return {} if usage["input_tokens"] is None else parts(usage)

    wait_until(lambda: known() == used(1, 2), what="the usage of two calls")
    read = summary_of(codex.parse(files.run_id))
    text = codex.parse(files.run_id, "--format", "text").stdout
    saved = tmp_path / "saved.jsonl"
    saved.write_bytes(files.path(".events.jsonl").read_bytes())
    rollout = codex.rollout(read["session_id"])
    logs = [files.path(".events.jsonl"), files.path(".log"), saved, rollout]
    by_log = [summary_of(codex.parse("--log", log)) for log in logs]
    for found in (read, *by_log):
        assert (found["outcome"], found["success"]) == (None, None)
        assert parts(found["token_usage"]) == used(1, 2)
        assert (found["ended_at"], found["exit_code"]) == (None, None)
    assert not text.startswith(("OK", "FAIL"))
    go.touch()
    assert begun.wait().code == 0
    assert summary_of(codex.parse(files.run_id)) == files.summary


def test_an_aborted_run_is_told_by_its_rollout(
    codex: RealTasks, tmp_path: Path
) -> None:
    begun = codex.start("--task", "run: sleep 4001")
    files = begun.wait_running()
    wait_for_command(files)
    begun.send(signal.SIGINT)
    assert begun.wait().code == 130
    saved = tmp_path / "saved.jsonl"
    saved.write_bytes(files.path(".events.jsonl").read_bytes())

    session = files.summary["session_id"]
    for log in (saved, codex.rollout(session), files.path(".events.jsonl")):
        assert summary_of(codex.parse("--log", log))["outcome"] == "interrupted"


def test_a_run_that_was_left_behind_is_judged_by_whoever_reads_its_log(
    codex: RealTasks, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    begun = codex.start("--task", f"run: {holding(go)}\nsay: good end")
    files = begun.wait_running()
    wait_for_command(files)
    begun.kill()
    kill(files.supervisor())
    go.touch()
    wait_until(lambda: not is_alive(files.codex()), what="Codex's own end")
    assert files.meta["state"] == "running"

    read = summary_of(codex.parse("--log", files.path(".log")))

    assert (read["outcome"], read["exit_code"]) == ("succeeded", 0)
    assert files.meta["outcome"] == "succeeded"


def test_a_log_directory_can_be_moved(codex: RealTasks, tmp_path: Path) -> None:
    files = codex("--task", WORK).files
    whole = files.summary
    moved = tmp_path / "moved"
    codex.log_dir.rename(moved)

    told = Ended(*_parse(codex, files.run_id, "--log-dir", moved))
    untold = summary_of(Ended(*_parse(codex, files.run_id)))
    by_log = summary_of(
        Ended(*_parse(codex, "--log", moved / files.path(".events.jsonl").name))
    )

    assert summary_of(told) == whole
    # Its record is in the ledger all the same, and all of its summary.
    for key in ("outcome", "success", "token_usage", "cost", "exit_code"):
        assert by_log[key] == whole[key]
    assert untold == whole


def _parse(codex: RealTasks, *arguments: object) -> tuple[int, str, str]:
    done = codex.cli(*arguments, command="parse_codex_run")
    return done.returncode, done.stdout, done.stderr


def test_a_summary_is_copied_and_said_in_one_line(
    shared: RealTasks, files: Files, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.json"

    ended = shared.parse(files.run_id, "--format", "text", "--json-out", copy)

    assert json.loads(copy.read_text()) == files.summary
    assert ended.stdout.count("\n") == 1
    assert ended.stdout.startswith(f"OK {files.run_id} succeeded ")


def test_a_named_meta_file_goes_with_a_log(
    shared: RealTasks, files: Files, tmp_path: Path
) -> None:
    log = tmp_path / "saved.jsonl"
    log.write_bytes(files.path(".events.jsonl").read_bytes())
    broken = tmp_path / "list.json"
    broken.write_text("[1]")

    read = summary_of(shared.parse("--log", log, "--meta", files.path(".meta.json")))
    warned = summary_of(shared.parse("--log", log, "--meta", broken))
    missing = shared.parse("--log", log, "--meta", tmp_path / "none.json")

    assert read["run_id"] == files.run_id
    assert read["cost"] == files.summary["cost"]
    assert warned["run_id"] is None
    assert warned["outcome"] == "succeeded"
    assert warned["warnings"] == {"meta: list.json holds no JSON object": 1}
    assert missing.code == 2
    assert "none.json" in missing.stderr


def test_what_is_not_there_is_one_error_and_exit_2(
    shared: RealTasks, tmp_path: Path
) -> None:
    arguments: dict[str, list[object]] = {
        "no such run": ["20200101-000000-000000-00000000"],
        "no such log": ["--log", tmp_path / "none.log"],
        "a directory": ["--log", tmp_path],
        "both": ["--log", tmp_path / "none.log", "some-run"],
    }

    for what, words in arguments.items():
        ended = shared.parse(*words)

        fix = ["fix:"] if "\nfix:" in ended.stderr else []
        assert is_refused(ended, 2, *fix), (what, ended)
