"""A task is named by one of its ids, the beginning of one, or its title."""

import json
from itertools import product
from pathlib import Path

import pytest
from support import stand_in as script
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import is_refused

FIRST = "01a1f000-aaaa-7000-8000-000000000001"
SECOND = "01a1f000-aabb-7000-8000-000000000002"
UNKNOWN = "99999999-9999-7999-8999-999999999999"
TITLE = "Größe: the title"


def started(sessions: Sessions, codex: StandIn, thread: str, *more: str) -> Session:
    codex.plays(*script.ordinary(), thread=thread)
    return sessions.ended(*more, "Begin.")


@pytest.mark.core
def test_a_task_is_named_by_its_ids_their_beginnings_and_its_title(
    sessions: Sessions, codex: StandIn
) -> None:
    session = started(sessions, codex, FIRST, "-t", TITLE)
    session.send("More.")
    session.wait()
    started(sessions, codex, SECOND, "-t", "Another title")
    first, second = session.runs
    short = session.status["short_id"]

    for name in (
        *(FIRST, FIRST.upper(), f" {FIRST} ", FIRST[:12], FIRST[:12].upper()),
        *(short, short.upper(), short[:4]),
        *(first.run_id, second.run_id, TITLE, f" {TITLE}\n"),
    ):
        said = sessions("status", "--json", "--one", name)
        assert said.code == 0, (name, said.stderr)
        assert json.loads(said.stdout)["id"] == FIRST


def test_titles_and_prompts_need_no_locale_that_has_their_letters(
    sessions: Sessions, codex: StandIn
) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    codex.plays(*script.ordinary(), thread=FIRST)
    session = sessions.start("-t", TITLE, "Größe ändern.", env=ascii_only)

    said = sessions("status", "--wait", "--json", "--one", TITLE, env=ascii_only)

    assert said.code == 0, said.stderr
    status = json.loads(said.stdout)
    assert (status["id"], status["title"]) == (FIRST, TITLE)
    assert (status["outcome"], status["last_prompt"]) == ("succeeded", "Größe ändern.")
    assert session.given == ["Größe ändern."]
    assert session.json["title"] == TITLE
    named = ("status", "status --json", "log", "log --json", "result")
    for words in (*named, "ls", "usage --by session", "usage --json"):
        argv = [*words.split(), *([TITLE] if words in named else [])]
        here, there = (sessions(*argv, env=env) for env in (None, ascii_only))
        assert here == there, words
        assert (here.code, here.stderr) == (0, ""), words
    parsed = {
        sessions.cli(TITLE, command="parse_codex_run", env=env).stdout
        for env in (None, ascii_only)
    }
    assert (len(parsed), "" in parsed) == (1, False)
    here, there = (sessions("rm", "日本?", env=env) for env in (None, {"LC_ALL": "C"}))
    assert here == there
    assert "no task '日本?'" in here.stderr
    assert sessions("verify", env=ascii_only).code == 0


def test_an_exact_short_id_wins_over_a_title(
    sessions: Sessions, codex: StandIn
) -> None:
    short = started(sessions, codex, FIRST).status["short_id"]
    started(sessions, codex, SECOND, "-t", short)

    said = sessions("status", "--json", "--one", short)

    assert json.loads(said.stdout)["id"] == FIRST


def test_what_fits_two_tasks_is_refused_with_both(
    sessions: Sessions, codex: StandIn
) -> None:
    started(sessions, codex, FIRST, "-t", TITLE)
    started(sessions, codex, SECOND)

    for command in ("status", "result", "stop", "archive", "rm"):
        said = sessions(command, FIRST[:11])

        words = ("matches several tasks", FIRST, SECOND, TITLE)
        more = "fix:   give more of the id, from: codex-tasks ls -a"
        assert is_refused(said, 2, *words, more), (command, said)
    assert len(sessions.listed()) == 2


LIST = "fix:   codex-tasks ls -a"
NONE = [
    *(UNKNOWN, FIRST[:5], "no such title", "*", "%", "_" * 8),
    *("../../x", "../outside", "/etc", ".", "..", "archive", "runs", "queue"),
]


COMMANDS = [
    *(["status"], ["status", "--wait"], ["result"], ["stop"], ["archive"]),
    *(["unarchive"], ["rm"], ["send"], ["send", "--queue"]),
]


def test_a_name_that_is_no_tasks_is_three_and_nothing_is_touched(
    sessions: Sessions, codex: StandIn, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "task.json").write_text("{}")
    (outside / "task.pid").write_text("1")
    session = started(sessions, codex, FIRST)
    too_short = session.status["short_id"][:3]
    before = sorted(tmp_path.glob("*/**"))

    some = (UNKNOWN, "../outside", "archive", too_short)
    for command, name in (*product([["status"]], NONE), *product(COMMANDS, some)):
        prompt = ["More."] if "send" in command else []
        said = sessions(*command, name, *prompt)
        assert is_refused(said, 3, "no task", LIST), (command, name, said)

    assert sorted(tmp_path.glob("*/**")) == before
    assert (outside / "task.pid").read_text() == "1"
    assert codex.together == []
