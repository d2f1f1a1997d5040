"""The supervisor records when it reads the lines that Codex writes."""

from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import wait_until
from support.sessions import Sessions
from support.stand_in import StandIn
from support.tasks import Tasks

from runner import clock
from runner.arrivals import Moment, Times, path_of


@pytest.mark.core
@pytest.mark.parametrize("command", ["run_codex_task", "codex_tasks"])
def test_every_line_of_a_run_has_a_time_between_its_start_and_its_end(
    task: Tasks,
    sessions: Sessions,
    codex: StandIn,
    command: str,
    state_home: Path,
    go: Path,
) -> None:
    steps = (*script.begin(), script.wait_for(go), script.complete())
    codex.plays(*steps, thread=script.FRESH)
    task.stand_in.plays(*steps)
    if command == "codex_tasks":
        files = sessions.start().wait_for_run(1)
    else:
        files = task("--detach").files
    times = Times(path_of(state_home, files.run_id))

    def first() -> Moment | None:
        times.read()
        return times.of(0, is_stderr=False)

    wait_until(lambda: first() is not None, what="the time of a line")
    came = first()
    middle = clock.now().timestamp()
    go.touch()
    files.wait_for_end()
    times.read()

    lines = files.path(".events.jsonl").read_bytes().splitlines(keepends=True)
    places = [sum(map(len, lines[:at])) for at in range(len(lines))]
    moments = [times.of(place, is_stderr=False) for place in places]
    found = [each.seconds for each in moments if each is not None]
    meta = files.meta
    began, ended = (
        clock.parse_iso(meta[name]).timestamp() for name in ("started_at", "ended_at")
    )
    assert came == moments[0]
    assert len(found) == len(lines) > 2
    assert found == sorted(found)
    assert began - 1 <= found[0] <= middle <= found[-1] <= ended + 1
    assert all(each is not None and each.is_exact for each in moments)
