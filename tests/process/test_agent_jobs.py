"""`codex-agent jobs`, `status`, `send` and `await-turn`."""

import json
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support import stand_in as script
from support.agents import Agents, Job
from support.processes import wait_until
from support.stand_in import StandIn
from support.tasks import is_refused

# The document of the older tool, in its order, and what is added.
OLDER = [
    *("id", "status", "prompt", "model", "reasoning", "cwd", "elapsed_ms"),
    *("created_at", "started_at", "completed_at", "tokens", "files_modified"),
    "summary",
]
NEWER = [
    *("session_id", "outcome", "error", "exit_code", "turn_state", "usage", "cost"),
    *("runner", "label", "parent_session", "worktree"),
]
LIMIT = "You've hit your usage limit. Try again at Dec 31st, 2099 11:59 PM."
FULL = (
    "Codex ran out of room in the model's context window. Start a new thread or clear"
    " earlier history before retrying."
)


@pytest.fixture
def zoo(agents: Agents, codex: StandIn, go: Path) -> Iterator[dict[str, Job]]:
    """Start jobs in each of the four states, oldest first."""
    codex.plays(
        *script.begin(),
        script.when("Fail", *script.fail("it did not work")),
        script.when("Run", script.wait_for(go), script.message("x"), script.complete()),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    found = {}
    for name in ("completed", "failed", "completed too", "failed too"):
        text = "Fail." if name.startswith("failed") else "Do it."
        found[name] = agents.ended("--no-constraints", text)
    for name in ("running", "running too"):
        found[name] = agents.start("--no-constraints", "Run.")
        found[name].wait_begun()
    for name in ("pending", "pending too"):
        found[name] = agents.start("--after", found["running"].id, "Wait.")
    yield found
    go.touch()
    for job in found.values():
        assert job.await_turn().code in {0, 1}


def test_the_order_is_running_pending_failed_completed_newest_first(
    agents: Agents, zoo: dict[str, Job]
) -> None:
    order = [
        *("running too", "running", "pending too", "pending"),
        *("failed too", "failed", "completed too", "completed"),
    ]
    ids = [zoo[name].id for name in order]

    rows = agents.jobs()
    assert [row["id"] for row in rows] == ids
    states = [name.removesuffix(" too") for name in order]
    assert [row["status"] for row in rows] == states
    for most in (1, 3, 8, 100):
        assert [row["id"] for row in agents.jobs("--limit", most)] == ids[:most]
        table = agents("jobs", "--limit", most).lines
        assert [line.split()[0] for line in table[2:]] == ids[:most]
    for name, job in zoo.items():
        report = job.report
        same = next(row for row in rows if row["id"] == job.id)
        assert {k: v for k, v in report.items() if k in same and k != "elapsed_ms"} == {
            k: v for k, v in same.items() if k != "elapsed_ms"
        }, name


def test_the_document_has_the_older_keys_in_their_order(
    agents: Agents, zoo: dict[str, Job]
) -> None:
    said = agents("jobs", "--json")
    told = json.loads(said.stdout)

    assert [*told] == ["schema", "generated_at", "jobs"]
    for row in told["jobs"]:
        assert [*row][: len(OLDER)] == OLDER
        assert [key for key in row if key in NEWER] == NEWER
    rows = {row["id"]: row for row in told["jobs"]}
    done = rows[zoo["completed"].id]
    assert (done["outcome"], done["exit_code"], done["error"]) == ("succeeded", 0, None)
    assert (done["turn_state"], done["summary"]) == ("idle", "answer to Do it.")
    assert done["tokens"]["input"] == 1200
    assert done["files_modified"] == []
    assert done["completed_at"] >= done["started_at"] >= done["created_at"]
    wrong = rows[zoo["failed"].id]
    assert (wrong["outcome"], wrong["exit_code"]) == ("failed", 1)
    assert wrong["error"] == "it did not work"
    assert (wrong["tokens"], wrong["summary"]) == (None, None)
    runs = rows[zoo["running"].id]
    assert (runs["turn_state"], runs["completed_at"]) == ("working", None)
    waits = rows[zoo["pending"].id]
    assert (waits["started_at"], waits["turn_state"]) == (None, "idle")


def test_the_table_is_that_of_the_older_tool(
    agents: Agents, zoo: dict[str, Job]
) -> None:
    lines = agents("jobs").lines
    assert lines[0] == "ID        STATUS      ELAPSED   EFFORT  PROMPT"
    assert lines[1] == "-" * 80
    assert len(lines) == 2 + len(zoo)
    assert lines[-1].startswith(f"{zoo['completed'].id}  completed   ")


def test_without_jobs_that_is_said(agents: Agents) -> None:
    said = agents("jobs")
    assert (said.code, said.stdout) == (0, "No jobs\n")
    assert agents.jobs() == []
    agents.sessions.ended("Begin.")
    assert agents.jobs() == []


@pytest.mark.parametrize(
    "words",
    [["--limit", "0"], ["--limit", "x"], ["--limit", "-1"], ["--all", "--bogus"]],
)
def test_a_wrong_limit_is_refused(agents: Agents, words: list[str]) -> None:
    assert agents("jobs", *words).code == 2
    assert agents("jobs", "--limit", 3, "--all").code == 2


def test_the_default_is_twenty_jobs(agents: Agents) -> None:
    agents.sessions("slots", 0)
    for number in range(22):
        agents.start(f"Job {number}.")
    assert len(agents.jobs()) == 20
    assert len(agents.jobs("--all")) == 22
    assert len(agents("jobs").lines) == 22
    assert agents("kill", *(row["id"] for row in agents.jobs("--all"))).code == 0


def test_status_shows_the_lines_of_the_older_tool(agents: Agents) -> None:
    job = agents.ended("-m", "gpt-5.4", "-r", "low", "--label", "docs", "Do it.")
    lines = dict(line.split(": ", 1) for line in job("status").lines)

    assert lines["Job"] == job.id
    assert lines["Status"] == "completed"
    assert lines["Model"] == "gpt-5.4 (low)"
    assert lines["Sandbox"] == "workspace-write"
    assert lines["Turn state"] == "idle"
    assert lines["Turns completed"] == "1"
    assert lines["Last message"].startswith("answer to Do it.")
    assert {"Created", "Started", "Completed", "Last turn"} <= lines.keys()


def test_send_to_an_idle_job_resumes_its_thread(agents: Agents, codex: StandIn) -> None:
    job = agents.ended("--no-constraints", "One.")
    thread = job.report["session_id"]

    said = job.send("Two.")

    assert (said.code, said.stdout) == (0, f"Sent to {job.id}: Two.\n")
    assert job.await_turn().stdout == "answer to Two.\n"
    assert codex.given(thread) == ["One.", "Two."]
    assert job.report["turns"] == 2


def test_send_to_a_running_job_queues(
    agents: Agents, codex: StandIn, held: Path
) -> None:
    job = agents.start("--no-constraints", "One.")
    job.wait_begun()

    said = job.send("Two.")
    assert (said.code, said.stdout) == (0, f"Queued to {job.id}: Two.\n")
    assert job.send("Three.").code == 0
    held.touch()
    assert job.await_turn().stdout == "answer to Three.\n"
    assert codex.given(job.report["session_id"]) == ["One.", "Two.", "Three."]


def test_a_wrong_send_is_refused(agents: Agents) -> None:
    job = agents.ended()

    assert agents("send").code == 2
    assert agents("send", job.id).code == 2
    assert agents("send", job.id, "").code == 2
    assert agents("send", job.id, "--bogus").code == 2
    assert agents("send", job.id, "-", stdin="").code == 2
    assert len(job.turns) == 1


def test_a_turn_that_has_ended_is_returned_to_all_until_the_next_text(
    agents: Agents, held: Path
) -> None:
    held.touch()
    job = agents.ended("--no-constraints", "One.")
    for _ in range(3):
        said = agents("await-turn", job.id)
        assert (said.code, said.stdout) == (0, "answer to One.\n")
    waiters = [agents.begin("await-turn", job.id) for _ in range(3)]
    assert {each.wait().stdout for each in waiters} == {"answer to One.\n"}

    held.unlink()
    assert job.send("Two.").code == 0
    late = agents("await-turn", "--timeout", "0.3", job.id)
    assert is_refused(late, 124, job.id)
    waiters = [agents.begin("await-turn", job.id) for _ in range(3)]
    held.touch()
    assert {each.wait().stdout for each in waiters} == {"answer to Two.\n"}
    assert agents("await-turn", job.id).stdout == "answer to Two.\n"


def test_after_waits_for_a_later_turn(agents: Agents, held: Path) -> None:
    held.touch()
    job = agents.ended("--no-constraints", "One.")
    (turn,) = agents.told("await-turn", job.id)["turns"]
    assert turn["turn"] == job.turns[0]
    assert turn["session_id"] == job.report["session_id"]
    assert turn["final_message"] == "answer to One."

    words = ["await-turn", "--after", turn["turn"], job.id]
    assert agents(*words, "--timeout", "0.3").code == 124
    waiter = agents.begin(*words)
    job.send("Two.")
    assert waiter.wait().stdout == "answer to Two.\n"
    assert agents(*words).stdout == "answer to Two.\n"
    assert agents("await-turn", "--after", "no-such-turn", job.id).code == 64


def test_any_returns_with_the_first_and_names_it(agents: Agents, held: Path) -> None:
    slow = agents.start("--no-constraints", "Slow.")
    slow.wait_begun()
    failed = agents.start("--no-constraints", "Fail later.")
    failed.wait_begun()
    done = agents.begin("await-turn", "--any", slow.id, failed.id)
    agents("kill", failed.id)

    ended = done.wait()
    assert ended.code == 1
    assert failed.id in ended.stderr
    assert slow.id not in ended.stderr
    told = agents("await-turn", "--any", "--json", slow.id, failed.id)
    assert [turn["id"] for turn in json.loads(told.stdout)["turns"]] == [failed.id]
    held.touch()
    both = agents("await-turn", slow.id, failed.id)
    assert both.code == 1
    assert both.stdout == "answer to Slow.\n"
    assert f"job {slow.id}: succeeded" in both.stderr


def test_a_killed_waiter_or_a_ctrl_c_changes_nothing(
    agents: Agents, held: Path
) -> None:
    job = agents.start("Do it.")
    job.wait_begun()
    waiter = agents.begin("await-turn", job.id)
    wait_until(lambda: waiter.process.poll() is None and job.status == "running")
    waiter.send(signal.SIGINT)
    waiter.process.wait(10)
    assert job.status == "running"
    held.touch()
    assert job.await_turn().code == 0


@pytest.mark.parametrize(
    "words",
    [
        *([], ["--bogus"], ["--timeout", "soon", "ID"], ["--timeout"]),
        *(["--after", "x", "ID", "ID2"], ["--json", "--bogus"]),
    ],
)
def test_wrong_usage_of_await_turn_is_64(agents: Agents, words: list[str]) -> None:
    """2 is taken: the context is full."""
    said = agents("await-turn", *words)
    assert said.code == 64
    assert said.stderr.startswith("error: ")


def test_await_turn_has_its_own_codes(agents: Agents, codex: StandIn) -> None:
    codex.plays(
        *script.begin(),
        script.when("Full", *script.fail(FULL)),
        script.when("Limit", *script.fail(LIMIT)),
        script.when("Fail", *script.fail("it did not work")),
        script.message("done"),
        script.complete(),
        thread=script.FRESH,
    )
    jobs = {each: agents.ended(each) for each in ("Full", "Fail", "Do it", "Limit")}

    codes = {name: job.await_turn().code for name, job in jobs.items()}
    assert codes == {"Full": 2, "Fail": 1, "Do it": 0, "Limit": 4}
    assert agents("await-turn", "ffffffff").code == 3
    assert jobs["Full"].report["turn_state"] == "context_limit"
    assert "(context window exceeded)" in jobs["Full"]("status").stdout
    assert "context window" in jobs["Full"].report["error"]
    limited = jobs["Limit"].report
    assert (limited["outcome"], limited["turn_state"]) == ("usage_limited", "idle")
    again = agents("await-turn", jobs["Limit"].id, jobs["Do it"].id)
    assert again.code == 4
    bad = {"CODEX_AGENT_STORAGE": "bogus"}
    assert agents("await-turn", jobs["Fail"].id, env=bad).code == 64
    assert agents("status", jobs["Fail"].id, env=bad).code == 2
    # Other texts of the account wait, too.
    later = agents.start("Later.")
    assert later.status == "pending"
    assert later.await_turn().code == 4
    assert jobs["Do it"].send("More.").code == 0
    waits = jobs["Do it"].await_turn()
    assert (waits.code, waits.stdout) == (4, "")
    assert "usage limit" in waits.stderr
    ids = [job.id for job in (*jobs.values(), later)]
    assert agents("kill", *ids).code == 0


def test_status_of_an_unknown_job_is_3_and_of_a_failed_one_0(agents: Agents) -> None:
    assert agents("status").code == 2
    assert agents("status", "ffffffff").code == 3
    assert agents("status", "../../x").code == 3


def test_a_killed_job_that_never_ran_says_so_and_is_waited_for_to_no_end(
    agents: Agents, held: Path
) -> None:
    first = agents.start("First.")
    first.wait_begun()
    second = agents.start("--after", first.id, "Second.")
    assert second("kill").stdout == f"Killed job: {second.id}\n"

    assert second.report["status"] == "failed"
    assert "killed" in second.report["error"]
    said = second.await_turn()
    assert said.code == 1
    assert "killed" in said.stderr
    assert agents("capture", second.id).code == 1
    assert first.status == "running"
    held.touch()
    assert first.await_turn().code == 0


def test_a_text_after_a_failed_turn_makes_the_job_good_again(
    agents: Agents, codex: StandIn
) -> None:
    codex.plays(*script.begin(), *script.fail("it broke"), thread=script.FRESH)
    job = agents.ended("Do it.")
    assert job.status == "failed"
    codex.plays(*script.ordinary("fixed"))
    job.send("Again.")
    assert job.await_turn().stdout == "fixed\n"
    assert job.status == "completed"
    assert job.report["error"] is None


def test_a_list_of_finished_jobs_opens_none_of_their_files(
    agents: Agents, codex: StandIn
) -> None:
    for number in range(3):
        agents.ended(f"Job {number}.")
    known = agents.jobs("--all")
    shutil.rmtree(agents.sessions.state_home / "runs")
    shutil.rmtree(agents.sessions.cli.environment["CODEX_HOME"])

    assert agents.jobs("--all") == known
    assert agents.jobs("--limit", 2) == known[:2]
    assert known[0]["summary"].startswith("answer to Job 2.")
    assert known[0]["tokens"]["output"] == 345
    assert len(codex.runs) == 3


@pytest.mark.parametrize("storage", ["json", "dual"])
def test_records_are_whole_and_private_at_every_moment(
    agents: Agents, storage: str
) -> None:
    agents.sessions.cli.environment["CODEX_AGENT_STORAGE"] = storage
    place = agents.sessions.state_home / "jobs"
    place.mkdir(parents=True, mode=0o755)
    job = agents.ended("--label", "mine", "Begin.")

    begun = [agents.begin("send", job.id, f"Text {n}.") for n in range(3)]
    looks = 0
    while any(each.process.poll() is None for each in begun) or looks < 100:
        looks += 1
        for path in place.glob("*[0-9a-f].json"):
            assert json.loads(path.read_text())["label"] == "mine"
        with suppress(FileNotFoundError):
            assert json.loads((place / f"{job.id}.turn-complete").read_text())["turn"]
    assert job.await_turn().code == 0
    assert [agents.jobs()[0]["label"], job.report["turns"]] == ["mine", 4]
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    for path in place.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert {path.name for path in place.iterdir()} == {
        *(f"{job.id}.json", f"{job.id}.turn-complete", ".lock"),
    }


def test_quit_is_no_text_for_codex(agents: Agents, codex: StandIn) -> None:
    job = agents.ended("Begin.")
    said = job.send("/quit")
    assert (said.code, len(codex.runs)) == (0, 1)
    assert said.stdout == f"Job {job.id} is idle: /quit has nothing to end.\n"
    assert job.await_turn().code == 0
