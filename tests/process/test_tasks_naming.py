"""A task is named by its id, its beginning, a run or its title, and by nothing else."""

import json
from pathlib import Path

import pytest
from support import stand_in as script
from support.sessions import Session, Sessions
from support.stand_in import StandIn

FIRST = "01a1f000-aaaa-7000-8000-000000000001"
SECOND = "01a1f000-aabb-7000-8000-000000000002"
UNKNOWN = "99999999-9999-7999-8999-999999999999"


def started(sessions: Sessions, codex: StandIn, thread: str, *more: str) -> Session:
    codex.plays(*script.ordinary(), thread=thread)
    return sessions.ended(*more, "Begin.")


def test_a_task_is_named_by_its_id_its_beginning_a_run_or_its_title(
    sessions: Sessions, codex: StandIn
) -> None:
    session = started(sessions, codex, FIRST, "-t", "The title")
    started(sessions, codex, SECOND, "-t", "Another title")
    (run,) = session.runs

    for name in (
        *(FIRST, FIRST.upper(), f" {FIRST} ", FIRST[:12], FIRST[:12].upper()),
        *(run.run_id, "The title"),
    ):
        said = sessions("status", "--json", "--one", name)
        assert said.code == 0, said.stderr
        assert json.loads(said.stdout)["id"] == FIRST


@pytest.mark.parametrize("command", ["status", "result", "stop", "archive", "rm"])
def test_what_fits_two_tasks_is_refused_with_both(
    sessions: Sessions, codex: StandIn, command: str
) -> None:
    started(sessions, codex, FIRST, "-t", "The title")
    started(sessions, codex, SECOND)

    said = sessions(command, FIRST[:11])

    assert (said.code, said.stdout) == (2, "")
    assert FIRST in said.stderr
    assert SECOND in said.stderr
    assert "The title" in said.stderr
    assert len(sessions.listed()) == 2


NOBODY = [
    *(UNKNOWN, FIRST[:5], "no such title", "", "*", "%"),
    *("../../x", "../outside", "/etc", ".", "..", "archive", "locks", ".pending"),
]


@pytest.mark.parametrize(
    "command",
    [
        *(["status"], ["status", "--wait"], ["result"], ["stop"], ["archive"]),
        *(["unarchive"], ["rm"], ["send"], ["send", "--queue"]),
    ],
)
def test_a_name_that_is_no_tasks_is_three_and_nothing_is_touched(
    sessions: Sessions, codex: StandIn, tmp_path: Path, command: list[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "task.json").write_text("{}")
    (outside / "task.pid").write_text("1")
    started(sessions, codex, FIRST)
    before = sorted(tmp_path.glob("*/**"))

    for name in NOBODY:
        prompt = ["More."] if "send" in command else []
        said = sessions(*command, name, *prompt)
        assert (name, said.code, said.stdout) == (name, 3, "")
        assert len(said.stderr.splitlines()) == 1

    assert sorted(tmp_path.glob("*/**")) == before
    assert (outside / "task.pid").read_text() == "1"
