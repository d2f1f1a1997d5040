"""What was heard of a run counts, although its files went away under it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import kill, wait_until
from support.stand_in import USAGE, StandIn
from support.tasks import CLOSING, Files, Tasks, gone

GONE: dict[str, Callable[[Files], object]] = {
    "its directory is removed": lambda files: shutil.rmtree(files.directory),
    "its directory is moved": lambda files: files.directory.rename(
        files.directory.with_name("elsewhere")
    ),
    "its events are removed": lambda files: files.path(".events.jsonl").unlink(),
}


@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("end", ["\n", ""])
def test_a_run_whose_files_are_gone_ends_as_codex_has_said(
    task: Tasks, stand_in: StandIn, go: Path, how: str, end: str
) -> None:
    last = json.dumps({"type": "turn.completed", "usage": USAGE}) + end
    stand_in.plays(
        *script.begin(),
        script.wait_for(go),
        script.message("It is done."),
        script.out(last),
    )
    begun = task.start()
    files = begun.wait_running()
    # Who has written the thread to the log has read from the file, and rests.
    wait_until(lambda: script.THREAD in files.log, what="the name of the thread")
    supervisor = files.supervisor()
    GONE[how](files)
    go.touch()
    ended = begun.wait()
    wait_until(lambda: gone(supervisor), what="the end of the supervisor")

    assert ended.code == 0
    assert ended.block == CLOSING
    assert ended.fields["outcome"] == "succeeded"
    summary = json.loads(ended.fields["summary_json"])
    assert summary["success"] is True
    assert summary["final_message"] == "It is done."
    assert summary["token_usage"]["total_tokens"] == (
        USAGE["input_tokens"] + USAGE["output_tokens"]
    )
    # The supervisor has the log open: only the end of the log has no place.
    is_all = not files.directory.is_dir()
    warnings = task.on_record(files).accounts["warnings"]
    assert (".log: No such file" in str(warnings)) == is_all
    assert (".log: No such file" in ended.stderr) == is_all
    if (moved := files.directory.with_name("elsewhere")).is_dir():
        assert "It is done." in Files(moved, files.run_id).log
    assert task.on_record(files).has_succeeded


@pytest.mark.usefixtures("waiting")
def test_a_codex_without_supervisor_and_events_file_is_not_taken_for_gone(
    task: Tasks,
) -> None:
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: files.meta["session_id"], what="the name of the session")
    begun.kill()
    supervisor, codex = files.supervisor(), files.codex()
    files.path(".events.jsonl").unlink()
    kill(supervisor)
    wait_until(lambda: gone(supervisor))

    while_it_runs = task.parse(files.run_id)
    refused = task("--resume", script.THREAD)
    kill(codex)
    wait_until(lambda: gone(codex))

    assert '"outcome":null' in while_it_runs.stdout
    assert refused.code == 75
    assert files.run_id in refused.stderr
    assert '"outcome":"lost"' in task.parse(files.run_id).stdout
