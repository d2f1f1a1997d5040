"""What was heard of a run counts, although its files went away under it."""

import json
import shutil
from pathlib import Path

import pytest
from support.processes import wait_until
from support.stand_in import USAGE
from support.tasks import CLOSING, Tasks


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("is_moved", [False, True])
def test_a_run_whose_directory_is_gone_ends_as_codex_has_said(
    task: Tasks, go: Path, *, is_moved: bool
) -> None:
    begun = task.start()
    files = begun.wait_running()
    # Who knows the session has read from the file.
    wait_until(lambda: files.meta["session_id"], what="the name of the session")
    if is_moved:
        task.log_dir.rename(task.place / "elsewhere")
    else:
        shutil.rmtree(task.log_dir)
    go.touch()
    ended = begun.wait()

    assert ended.code == 0
    assert ended.block == CLOSING
    assert ended.fields["outcome"] == "succeeded"
    summary = json.loads(ended.fields["summary_json"])
    assert summary["success"] is True
    assert summary["token_usage"]["total_tokens"] == (
        USAGE["input_tokens"] + USAGE["output_tokens"]
    )
    assert any("events: No such file" in each for each in summary["warnings"])
