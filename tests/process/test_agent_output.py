"""`codex-agent capture`, `output`, `watch`, `attach`, `diff` and `merge`."""

import json
import re
from pathlib import Path

import pytest
from support import stand_in as script
from support.agents import Agents, Job
from support.processes import wait_until
from support.stand_in import StandIn

RED = "\x1b[31mred\x1b[0m"
# 500 commands, each with 100 kB of output in lines of 2 kB, of which each ends
# differently from the others.
COMMANDS, LINE, LINES = 500, 2_000, 50
MEGABYTE = 1 << 20


def says(codex: StandIn, *texts: str) -> None:
    codex.plays(
        *script.begin(),
        *(script.message(text) for text in texts),
        script.complete(),
        thread=script.FRESH,
    )


def command(output: str) -> script.Step:
    return script.item(
        "command_execution",
        command="pytest",
        aggregated_output=output,
        exit_code=0,
        status="completed",
    )


@pytest.fixture
def long(agents: Agents, codex: StandIn) -> Job:
    """Make a job that has said a hundred lines."""
    says(codex, *(f"line {number}" for number in range(100)))
    return agents.ended("--no-constraints", "Count.")


def peak_of(pid: int) -> int:
    """Give the most memory that a process has had in bytes, 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


def test_capture_gives_the_last_lines_of_the_output(agents: Agents, long: Job) -> None:
    whole = long("output").lines
    assert len(whole) > 300

    assert long("capture").lines == whole[-50:]
    for most in (1, 2, 5, 49, 150, len(whole), 10_000):
        assert long("capture", most).lines == whole[-most:], most
    assert [line for line in whole if line.startswith("  line ")] == [
        f"  line {number}" for number in range(100)
    ]
    told = agents.told("capture", long.id, 3)
    assert told["text"].splitlines() == whole[-3:]
    assert agents.told("output", long.id)["text"].splitlines() == whole


def test_events_without_a_line_do_not_make_a_capture_shorter(
    agents: Agents, codex: StandIn
) -> None:
    silent = script.item("agent_message", state="updated", text="x")
    texts = [script.message(f"line {number}") for number in range(60)]
    codex.plays(
        *script.begin(),
        *texts,
        script.repeat(300, silent),
        script.complete(),
        thread=script.FRESH,
    )
    job = agents.ended("Count.")
    assert job("capture", 40).lines == job("output").lines[-40:]
    assert len(job("capture").lines) == 50


@pytest.mark.parametrize("words", [["0"], ["x"], ["-1"], ["1", "2"], ["--bogus"]])
def test_a_wrong_capture_is_refused(
    agents: Agents, codex: StandIn, words: list[str]
) -> None:
    says(codex, "x")
    assert agents.ended()("capture", *words).code == 2


def test_a_job_without_output_is_an_error(agents: Agents, held: Path) -> None:
    first = agents.start("First.")
    job = agents.start("--after", first.id, "Second.")
    for name in ("capture", "output"):
        said = job(name)
        assert said.code == 1
        assert "no output yet" in said.stderr
    held.touch()
    assert job.await_turn().code == 0


def test_output_is_whole_and_clean_takes_out_control_sequences_alone(
    agents: Agents, codex: StandIn
) -> None:
    text = (
        f"src/config.yaml ... {RED}\n\n\n    indented\nagain\nagain\n"
        "42% context left \u00b7 ? for shortcuts\n[1m stays\nhttps://x.io/a/b.jsonl"
    )
    long = "\n".join(f"{number} " + "y" * 3_000 for number in range(300))
    codex.plays(
        *script.begin(),
        script.message(text),
        command(long),
        script.complete(),
        thread=script.FRESH,
    )
    job = agents.ended("--no-constraints", f"Do {RED}.")

    raw, clean = job("output").stdout, job("output", "--clean").stdout
    assert RED in raw
    assert f"Do {RED}." in raw
    for line in long.splitlines():
        assert f"  {line}\n" in raw
    assert "left out" not in raw
    assert job("output", "--strip-ansi").stdout == clean
    assert "\x1b" not in clean
    shown = text.replace(RED, "red").replace(
        "42% context left \u00b7 ? for shortcuts\n", ""
    )
    for line in shown.splitlines():
        assert f"  {line}".rstrip() + "\n" in clean
    assert clean.count("  again\n") == 2
    assert "context left" not in clean
    assert job("capture", 10_000, "--clean").stdout == clean


def test_fifty_megabytes_stay_out_of_the_record_and_output_gives_all(
    agents: Agents, codex: StandIn, tmp_path: Path
) -> None:
    lines = "\n".join("z" * LINE for _ in range(LINES))
    codex.plays(
        *script.begin(),
        script.repeat(COMMANDS, command(lines)),
        script.message("done " + "w" * 10_000),
        script.complete(),
        thread=script.FRESH,
    )
    job = agents.start("Much.")
    assert agents("await-turn", job.id, timeout=300).code == 0

    place = tmp_path / "whole"
    with place.open("wb") as out:
        process = agents.sessions.cli.start(
            "output", job.id, command="codex_agent", env={"PYTHONHASHSEED": "random"},
            stdout=out,
        )  # fmt: skip
        most = 0
        while process.poll() is None:
            most = max(most, peak_of(process.pid))
    assert process.returncode == 0
    # What wait4 tells has the memory of the process that has started it.
    assert 0 < most < 150 * MEGABYTE
    assert place.stat().st_size > COMMANDS * LINE * LINES
    with place.open() as text:
        assert sum("z" * LINE in line for line in text) == COMMANDS * LINES
    assert len(agents("status", job.id, "--json").stdout) < 10_000
    assert len(agents("jobs", "--json").stdout) < 10_000
    ((record, signal),) = agents.sessions.rows("select record, signal from jobs")
    assert len(record) + len(signal) < 10_000
    (row,) = agents.sessions.rows("select * from runs")
    assert sum(len(str(cell)) for cell in row) < 20_000
    assert job("capture", 3).code == 0


def test_watch_prints_each_byte_once_and_ends_with_the_job(
    agents: Agents, codex: StandIn, go: Path
) -> None:
    big = "".join(f"{number:07}{RED}" for number in range(20_000))
    codex.plays(
        *script.begin(),
        script.message(f"first {RED}"),
        script.wait_for(go),
        script.message(big),
        script.repeat(200, script.message(f"again {RED}")),
        script.complete(),
        thread=script.FRESH,
    )
    job = agents.start("--no-constraints", "Do it.")
    watches = [agents.begin("watch", job.id) for _ in range(2)]
    wait_until(lambda: all("first" in each.stdout for each in watches))
    assert all(each.process.poll() is None for each in watches)
    go.touch()
    ended = [each.wait() for each in watches]

    whole = job("output").stdout
    assert big in whole
    assert whole.count(f"again {RED}") == 200
    for each in ended:
        assert each.code == 0
        assert each.stdout == whole
    assert agents("watch", job.id).stdout == whole


def test_watch_follows_to_the_next_turn_and_waits_for_the_first(
    agents: Agents, held: Path
) -> None:
    first = agents.start("--no-constraints", "First.")
    second = agents.start("--no-constraints", "--after", first.id, "Second.")
    watch = agents.begin("watch", second.id)
    first.wait_begun()
    assert first.send("More.").code == 0
    follows = agents.begin("watch", first.id)
    held.touch()
    assert "answer to Second." in watch.wait().stdout
    assert "answer to More." in follows.wait().stdout
    assert agents("watch", "--json", first.id).code == 2


def test_a_reader_that_goes_away_ends_the_watch_alone(
    agents: Agents, held: Path
) -> None:
    job = agents.start("Do it.")
    job.wait_begun()
    process = agents.sessions.cli.start("watch", job.id, command="codex_agent")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(20) == 141
    assert job.status == "running"
    held.touch()
    assert job.await_turn().code == 0


def test_attach_names_codex_own_interface_when_the_job_is_idle(
    agents: Agents, held: Path
) -> None:
    job = agents.start("Do it.")
    job.wait_begun()
    busy = job("attach")
    assert busy.code == 75
    assert "codex-agent watch" in busy.stderr
    held.touch()
    job.await_turn()
    said = job("attach")
    assert (said.code, said.stdout) == (0, f"codex-tasks attach {job.id}\n")
    assert agents.told("attach", job.id)["argv"][-1] == job.report["session_id"]


def test_diff_and_merge_of_what_has_no_worktree(agents: Agents, repo: Path) -> None:
    job = agents.ended("Do it.")
    (repo / "new.txt").write_text("new\n")
    assert job("diff").code in {0, 1}
    said = job("merge")
    assert said.code in {0, 1}
    assert said.code == 0 or said.stderr
    assert agents("diff", "ffffffff").code == 3
    assert agents("merge", "ffffffff").code == 3
    told = json.loads(job("diff", "--json").stdout)
    assert told["schema"].startswith("codex-runner/")
