"""Starts at once, on a fresh state directory too, do not disturb each other."""

import json
import sqlite3
from pathlib import Path

from support import stand_in as script
from support.processes import wait_until
from support.sabotage import SUPERVISOR, hold, sabotaged
from support.stand_in import StandIn
from support.tasks import CLOSING, Tasks

MANY = 50


def test_fifty_starts_on_a_fresh_state_directory_leave_fifty_complete_records(
    task: Tasks, stand_in: StandIn, tmp_path: Path, state_home: Path
) -> None:
    stand_in.plays(
        *script.begin(),
        script.message("It is done."),
        script.complete(),
        thread=script.FRESH,
    )
    stream = tmp_path / "stream.jsonl"
    begun = [
        task.start("--task", f"Number {n}.", "--event-stream", stream)
        for n in range(MANY)
    ]
    ended = [each.wait(120) for each in begun]

    notes = [note for each in ended for note in each.stderr.splitlines()]
    assert all(note.endswith("too (--worktree keeps tasks apart)") for note in notes)
    assert [each.code for each in ended] == [0] * MANY
    assert all(each.block == CLOSING for each in ended)
    assert len({each.files.run_id for each in ended}) == MANY
    assert {each.meta["task"] for each in ended} == {
        f"Number {n}." for n in range(MANY)
    }
    for each in ended:
        assert each.meta["outcome"] == "succeeded"
        assert each.files.summary["run_id"] == each.files.run_id
        assert each.files.text(".prompt") == each.meta["task"]
        assert each.files.text(".events.jsonl").count("\n") == 4
    assert len(stand_in.runs) == MANY
    lines = [json.loads(line) for line in stream.read_text().splitlines()]
    told = [(line["run_id"], line["event"]) for line in lines]
    assert len(told) == len(set(told)) == 2 * MANY
    with sqlite3.connect(state_home / "ledger.db") as db:
        rows = db.execute("select state, outcome, count(*) from runs group by 1, 2")
        assert rows.fetchall() == [("finished", "succeeded", MANY)]
    db.close()
    assert not list(task.log_dir.glob(".*"))


def test_a_ledger_that_another_command_has_just_made_is_not_taken_for_lost(
    task: Tasks, tmp_path: Path, state_home: Path
) -> None:
    (state_home / "queue").mkdir(parents=True)
    held = hold(tmp_path)
    point = held.at(SUPERVISOR, "os.scandir", str(state_home / "queue"))
    begun = task.start(env=sabotaged(point))
    wait_until(held.reached.exists, what="its look for what others have left")

    assert task().code == 0
    held.go.touch()

    assert begun.wait().code == 0
