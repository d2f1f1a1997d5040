"""A supervisor is a copy of the command that has nothing of its caller's."""

from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import is_alive, wait_until
from support.sessions import Sessions
from support.stand_in import StandIn
from support.tasks import Tasks, gone


@pytest.mark.core
def test_what_a_start_delivers_for_another_session_is_not_ended_with_its_run(
    sessions: Sessions, task: Tasks, codex: StandIn, stand_in: StandIn, go: Path
) -> None:
    session = sessions.ended()
    codex.plays(
        *script.begin(), script.wait_for(go), script.complete(), thread=script.FRESH
    )
    session.send("Slow.")
    session.queue("Next.")
    session.wait_for_run(2)
    session.lose(supervisor=True, codex=True)
    stand_in.plays(*script.begin(), script.hang())

    begun = task.start()
    begun.wait_running()
    other = session.wait_for_run(3)
    pids = other.supervisor(), other.codex()
    begun.send(15)
    ended = begun.wait()

    assert ended.fields["outcome"] == "interrupted"
    assert ended.meta["left_running"] == []
    assert all(map(is_alive, pids))
    go.touch()
    assert session.wait().code == 0
    wait_until(lambda: gone(*pids))
    assert [each["outcome"] for each in session.records] == [
        *("succeeded", "lost", "succeeded")
    ]
