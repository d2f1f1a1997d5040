"""An index that was lost or damaged is made anew from the files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import wait_until
from support.verified import FIRST, OTHER, Context, age, mail_file


@pytest.fixture
def rich(two: Context) -> Context:
    """Give a house with all that there is: archived, queued, skipped, never started."""
    two.send(FIRST, "Again.")
    two.run("send", "--queue", FIRST, "And again.")
    two.wait(FIRST)
    two.run("archive", OTHER)
    two.stand_in.plays(script.err("no\n"), script.leave(1))
    options = ["--codex-bin", two.stand_in.path, "--skip-git-repo-check"]
    two.run("start", *options, "-t", "third", "Do it.", code=1)
    two.run("start", "--codex-bin", "/nowhere/codex", "-t", "fourth", "Do.", code=1)
    two.stand_in.plays(*script.ordinary())
    assert two.verify() == {"ok": True, "differences": []}
    return two


def checkpoint(house: Context) -> None:
    """Leave nothing in the WAL that would make up for the damage."""
    with house.db() as db:
        assert db.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0


def lose_index(house: Context) -> None:
    (house.home / "runs.db").unlink()


def lose_index_and_log(house: Context) -> None:
    for path in house.home.glob("runs.db*"):
        path.unlink()


def garble_index(house: Context) -> None:
    checkpoint(house)
    (house.home / "runs.db").write_bytes(b"garbage " * 4096)


def garble_pages(house: Context) -> None:
    checkpoint(house)
    path = house.home / "runs.db"
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))


@pytest.mark.parametrize(
    "lose", [lose_index, lose_index_and_log, garble_index, garble_pages]
)
def test_an_index_that_is_lost_is_made_anew_from_the_files(
    rich: Context, lose: Callable[[Context], None]
) -> None:
    before = rich.dump()
    lose(rich)

    assert not rich.verify()["ok"]
    assert rich.verify("--repair")["ok"]

    assert rich.dump() == before
    assert rich.verify() == {"ok": True, "differences": []}
    with rich.db() as db:
        assert db.execute("select state from mail").fetchall() == [("delivered",)]
    rich.send("first", "It works.")
    assert rich.verify() == {"ok": True, "differences": []}


def lose_a_page(house: Context) -> None:
    """Damage the index of a table; what it is an index of can still be read."""
    checkpoint(house)
    with house.db() as db:
        (size,) = db.execute("pragma page_size").fetchone()
        sql = "select rootpage from sqlite_master where name = 'runs_by_session'"
        (page,) = db.execute(sql).fetchone()
    with (house.home / "runs.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


@pytest.mark.parametrize("lose", [lose_index_and_log, garble_pages, lose_a_page])
def test_what_removed_tasks_have_used_is_in_an_index_made_anew(
    two: Context, lose: Callable[[Context], None]
) -> None:
    before = two.dump()["usage"]
    two.run("rm", OTHER)
    lose(two)

    assert two.verify("--repair")["ok"]

    assert two.dump()["usage"] == before
    assert len(two.dump()["runs"]) == 1
    assert two.verify() == {"ok": True, "differences": []}


def test_what_only_a_damaged_index_knows_is_taken_over(two: Context) -> None:
    before = two.dump()
    two.run("rm", OTHER)
    (two.home / "removed.jsonl").unlink()
    (two.directory() / "task.json").unlink()
    lose_a_page(two)

    two.verify("--repair")

    after = two.dump()
    assert after["usage"] == before["usage"]
    assert [row[:2] for row in after["sessions"]] == [(FIRST, "first")]
    assert OTHER in (two.home / "removed.jsonl").read_text()
    assert two.verify() == {"ok": True, "differences": []}


def test_what_cannot_be_read_of_a_damaged_index_is_said(two: Context) -> None:
    garble_pages(two)

    (difference,) = two.verify()["differences"]

    assert "not all of runs, sessions, usage can be read" in difference["detail"]


def test_what_a_removed_task_has_used_is_checked(two: Context) -> None:
    two.run("rm", OTHER)
    before = two.dump()
    with two.db() as db:
        db.execute("delete from usage where session_id = ?", (OTHER,))

    assert two.kinds() == ["removed-uncounted"]
    assert two.verify("--repair")["ok"]
    assert two.dump() == before

    (two.home / "removed.jsonl").write_text('{"run_id": "torn')
    assert two.kinds() == ["removed-unnoted"]
    assert two.verify("--repair")["ok"]
    assert two.verify() == {"ok": True, "differences": []}


def test_a_removed_task_whose_files_are_left_elsewhere_does_not_come_back(
    two: Context, tmp_path: Path
) -> None:
    thread = OTHER.replace("f", "e")
    done = two.cli(
        *("--repo", two.repo, "--log-dir", tmp_path / "logs", "--task", "Do it."),
        *("--codex-bin", two.stand_in.path, "--resume", thread),
        command="run_codex_task",
    )
    assert done.returncode == 0
    two.run("rm", thread)
    before = two.dump()
    lose_index_and_log(two)

    assert two.verify("--repair")["ok"]

    assert two.dump() == before


def test_garbage_is_kept_when_the_index_is_made_anew(two: Context) -> None:
    garble_index(two)

    (difference,) = two.verify()["differences"]
    assert difference["kind"] == "index-damaged"
    assert not list(two.home.glob("*.damaged-*"))
    two.verify("--repair")

    (aside,) = two.home.glob("runs.db.damaged-*")
    assert aside.read_bytes().startswith(b"garbage")


def test_a_newer_index_is_no_damage(two: Context) -> None:
    with two.db() as db:
        db.execute("pragma user_version = 99")

    done = two.cli("verify", "--repair", command="codex_tasks")

    assert done.returncode == 1
    assert "newer version" in done.stderr
    assert not list(two.home.glob("*.damaged-*"))


def test_mail_finds_its_way_back_into_a_lost_index(
    two: Context, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    two.stand_in.plays(*script.begin(), script.wait_for(go), *script.fail("no")[:2])
    two.run("send", FIRST, "Hold on.")
    two.run("send", "--queue", FIRST, "Delivered never.")
    two.run("stop", FIRST)
    two.wait(FIRST)
    assert [path.name for path in (two.directory() / "mail").iterdir()] == [
        "00000001.skipped"
    ]
    mail_file(two, "00000002.prompt", "Waits.")
    lose_index_and_log(two)

    two.verify("--repair")

    with two.db() as db:
        rows = db.execute("select mail_id, state, task, attempts from mail").fetchall()
    assert rows == [
        (1, "skipped", "Delivered never.", 0),
        (2, "waiting", "Waits.", 0),
    ]
    two.stand_in.plays(*script.ordinary())
    two.run("status", FIRST, code=None)
    two.wait(FIRST)
    assert two.stand_in.runs[-1]["stdin"] == "Waits."
    assert two.verify() == {"ok": True, "differences": []}


def test_a_prompt_that_a_run_without_a_record_may_have_delivered_stays(
    two: Context,
) -> None:
    mail_file(two, "00000007.prompt")
    stray = two.meta().with_name("codex-run-20260101-000000-000000-00000000.prompt")
    stray.touch(0o600)
    age(stray)

    found = two.verify("--repair")

    assert [each["kind"] for each in found["differences"]] == [
        "unrecorded",
        "prompt-unknown",
    ]
    assert not any(each["is_repairable"] for each in found["differences"])


def test_a_quit_leaves_its_mark_on_what_waited(two: Context, tmp_path: Path) -> None:
    go = tmp_path / "go"
    two.stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    two.run("send", FIRST, "Hold on.")
    two.run("send", "--queue", FIRST, "/quit")
    two.run("send", "--queue", FIRST, "Too late.")
    go.touch()
    two.wait(FIRST)

    names = sorted(path.name for path in (two.directory() / "mail").iterdir())
    assert names == ["00000001.skipped", "00000002.skipped"]
    assert two.verify() == {"ok": True, "differences": []}


def test_a_session_at_work_is_no_difference(two: Context, tmp_path: Path) -> None:
    go = tmp_path / "go"
    two.stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    two.run("send", FIRST, "Hold on.")
    (two.directory() / "task.result").unlink()

    assert two.verify("--repair") == {"ok": True, "differences": []}
    go.touch()
    two.wait(FIRST)


def test_a_living_run_is_taken_into_a_new_index(two: Context, tmp_path: Path) -> None:
    go = tmp_path / "go"
    two.stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    two.run("send", FIRST, "Hold on.")
    lose_index_and_log(two)

    assert two.verify("--repair")["ok"]
    (shown,) = json.loads(two.run("status", "--json", FIRST, code=None))
    assert shown["state"] == "RUNNING"
    go.touch()
    meta = max(two.directory().glob("runs/*.meta.json"))
    wait_until(lambda: json.loads(meta.read_text())["state"] == "finished")
    assert two.verify("--repair")["ok"]
    assert two.verify() == {"ok": True, "differences": []}
