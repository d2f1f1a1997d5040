"""`codex-agent start`: what reaches Codex, what is printed, and what is refused."""

import json
import os
import stat
from pathlib import Path

import pytest
from support import stand_in as script
from support.agents import Agents
from support.processes import wait_until
from support.repository import git
from support.stand_in import StandIn
from support.tasks import is_refused

from runner.prompt.assembly import MOST_CHARACTERS

ODD = [
    *('it\'s "quoted"', "$(touch X) `touch X` ; touch X | touch X", "a\nb\r\nc\td"),
    *("-r high", "--help", "-", "--", "!touch X", "/quit now", "/clear", "@README.md"),
    *(
        "\x1b[31mred\x1b[0m \x07",
        "größe 🎉 \u202e",
        "  outer blanks \n",
        "%s %(a)s {x}",
    ),
]

REFUSED = (
    "error: unexpected argument '--new' found\n\nFor more information, try '--help'.\n"
)


def stored(agents: Agents, job_id: str) -> str:
    """Give the prompt that is stored of a job's first turn."""
    (record, *_) = agents.sessions.records_of(job_id)
    prompt = Path(record["meta_file"]).parent / "prompt"
    return prompt.read_bytes().decode()


@pytest.mark.core
def test_a_start_prints_the_lines_of_the_older_tool(agents: Agents, repo: Path) -> None:
    said = agents(*agents.starting("-m", "gpt-5.4", "-r", "low", "Fix it."))

    assert said.code == 0, said.stderr
    job = said.lines[0].removeprefix("Job started: ")
    assert len(job) == 8
    assert int(job, 16) > 0
    assert said.lines[:6] == [
        f"Job started: {job}",
        "Model: gpt-5.4 (low)",
        f"Working dir: {repo}",
        "",
        "Commands:",
        f"  Capture output:  codex-agent capture {job}",
    ]
    agents("await-turn", job)
    (run,) = agents.sessions.stand_in.runs
    words = " ".join(run["argv"])
    assert '--config model_reasoning_effort="low"' in words
    assert "--sandbox workspace-write" in words
    assert run["cwd"] == str(repo)


def test_without_options_codex_is_given_no_model_and_no_effort(agents: Agents) -> None:
    job = agents.ended()

    (run,) = agents.sessions.stand_in.runs
    words = " ".join(run["argv"])
    assert "reasoning" not in words
    assert "model" not in words
    assert (job.report["model"], job.report["reasoning"]) == (None, None)


@pytest.mark.parametrize("level", ["none", "minimal", "low", "medium", "high", "xhigh"])
def test_each_level_of_reasoning_reaches_codex(agents: Agents, level: str) -> None:
    job = agents.ended("-r", level, "Think.")

    (run,) = agents.sessions.stand_in.runs
    words = run["argv"]
    assert words[words.index(f'model_reasoning_effort="{level}"') - 1] == "--config"
    assert job.report["reasoning"] == level


def test_both_ways_of_starting_are_one(agents: Agents, repo: Path) -> None:
    (repo / "a.py").write_text("x = 1\n")
    (repo / "CODEBASE_MAP.md").write_text("# The map\n")
    words = ["-d", repo, "-f", "*.py", "--map", "Fix the bug.", "--dry-run"]

    with_word, without = agents("start", *words), agents(*words)

    assert with_word.code == without.code == 0
    assert with_word.stdout == without.stdout
    assert "# The map" in without.stdout
    assert "### a.py\n\n```py\nx = 1\n```" in without.stdout
    usual = agents.starting()[1:]
    waited = [agents(*way, *usual, "-w", "Do it.") for way in ((), ("start",))]
    assert [said.code for said in waited] == [0, 0]
    assert len({said.stdout for said in waited}) == 1
    assert waited[0].stdout.startswith("answer to Do it.")


def test_what_is_stored_is_what_a_dry_run_prints(agents: Agents, repo: Path) -> None:
    (repo / "src").mkdir()
    for name in ("a.py", "b.py"):
        (repo / "src" / name).write_text(f"# {name} $(touch X)\r\n")
    assert agents("map", "-d", repo).code == 0
    words = ["-f", "!src/b.py", "-f", "src/**", "--map", "Do it.\r\n\tNow `x`"]

    dry = agents(*agents.starting("--dry-run", *words))
    assert dry.code == 0
    assert agents.jobs() == []
    assert agents.sessions.stand_in.runs == []
    job = agents.ended(*words)

    raw = dry.stdout
    assert "would send about" in dry.stderr
    assert "1 files, docs/CODEBASE_MAP.md, 2 constraint blocks" in dry.stderr
    assert "src/b.py $(" not in raw
    (run,) = agents.sessions.stand_in.runs
    # `communicate` reads the output as text: its line ends are all `\n`.
    assert run["stdin"].replace("\r\n", "\n") == raw
    assert stored(agents, job.id) == run["stdin"]
    assert "Do it.\r\n\tNow `x`" in run["stdin"]
    assert not [*repo.glob("**/X")]


def test_a_dry_run_as_json_has_the_parts(agents: Agents, repo: Path) -> None:
    (repo / "a.py").write_text("x = 1\n")
    told = agents.told("--dry-run", "-d", repo, "-f", "a.py", "-f", "no/*", "Do it.")

    assert told["schema"] == "codex-runner/preview/1"
    assert (told["files"], told["map"]) == (["a.py"], None)
    assert told["constraints"] == ["design_and_scope_constraints", "context_loading"]
    assert told["tokens"] == -(-len(told["prompt"]) // 4)


@pytest.mark.parametrize("text", ODD)
def test_odd_prompts_reach_codex_byte_equal(
    agents: Agents, repo: Path, text: str
) -> None:
    """On a command line after `--`, and on standard input; nothing is executed."""
    if text != "-":
        job = agents.ended("--no-constraints", "--", text)
        assert agents.sessions.stand_in.runs[-1]["stdin"] == text
        assert stored(agents, job.id) == text
    said = agents(*agents.starting("--no-constraints", "-w", "-"), stdin=text)
    assert said.code == 0, said.stderr
    assert agents.sessions.stand_in.runs[-1]["stdin"] == text
    job = agents.ended("Begin.")
    assert job.send(text, stdin=text).code == 0
    job.await_turn()
    assert agents.sessions.stand_in.runs[-1]["stdin"] == text
    assert [*repo.glob("**/X")] == []
    assert [*agents.sessions.place.glob("X")] == []


def test_the_longest_prompt_arrives_and_one_more_character_is_refused(
    agents: Agents,
) -> None:
    text = "ä" * MOST_CHARACTERS
    start = agents.starting("--no-constraints", "-w", "-")

    assert agents(*start, stdin=text).code == 0
    assert agents.sessions.stand_in.runs[-1]["stdin"] == text
    refused = agents(*start, stdin=text + "ä")
    assert is_refused(refused, 2, "1,048,577", "1,048,576", "fix:   attach fewer")
    assert len(agents.sessions.stand_in.runs) == 1


@pytest.mark.parametrize("text", ["$(touch X)", "a\"b'c", "`touch X`", "x;touch X"])
def test_odd_models_and_paths_reach_codex_as_they_are(
    agents: Agents, repo: Path, text: str
) -> None:
    odd = repo.parent / f"{text}\n dir"
    odd.mkdir()

    said = agents(
        *agents.starting(), "-d", odd, "-w", "-m", text, "--label", text, "Go"
    )

    assert said.code == 0, said.stderr
    (run,) = agents.sessions.stand_in.runs
    assert run["argv"][run["argv"].index("--model") + 1] == text
    assert run["cwd"] == str(odd)
    assert [*repo.parent.glob("**/X")] == []


def test_a_single_word_starts_nothing(agents: Agents) -> None:
    for words, fix in (
        (["jbos"], "codex-agent jobs"),
        (["strat"], 'codex-agent start "PROMPT"'),
        (["list"], "codex-agent jobs"),
        (["--json", "jobs"], "codex-agent jobs --json"),
        (["-r", "low", "jobs"], "codex-agent jobs -r low"),
        (["--dry-run", "jbos"], "codex-agent jobs"),
        (["--", "jbos"], "codex-agent jobs"),
    ):
        said = agents(*words)
        assert said.code == 2, (words, said.stdout)
        assert words[-1] in said.stderr
        assert fix in said.stderr, words
    assert agents.jobs() == []


def test_nothing_that_destroys_is_suggested_for_a_word_spelt_like_it(
    agents: Agents,
) -> None:
    for word in ("delet", "clena"):
        said = agents(word)
        assert said.code == 2
        assert "codex-agent --help" in said.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--bogus", "Do it."], "--bogus"),
        (["-dash prompt"], ""),
        (["--fast", "Do it."], "--fast"),
        (["-r", "extreme", "Do it."], "--reasoning 'extreme' is none of none, minimal"),
        (["-r", "extreme", "--dry-run", "Do it."], "--reasoning"),
        (["-s", "none", "Do it."], "--sandbox"),
        (["-d", "/nowhere/at/all", "Do it."], "no such directory"),
        (["--notify-on-complete", "a 'b", "Do it."], "--notify-on-complete"),
        (["--notify-on-complete", "a | b", "Do it."], "needs a shell"),
        (["--max-usd", "lots", "Do it."], "--max-usd"),
        (["--timeout", "soon", "Do it."], "--timeout"),
        (["--base", "HEAD", "Do it."], "--base needs --worktree"),
        (["-c", "a=b"], "PROMPT"),
        (["  \n"], "PROMPT is empty"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_starts(
    agents: Agents, words: list[str], told: str
) -> None:
    said = agents(*agents.starting(*words))

    assert said.code == 2, said.stdout
    assert said.stdout == ""
    assert told.lower() in said.stderr.lower()
    assert agents.jobs() == []
    assert agents.sessions.stand_in.runs == []


def test_too_many_files_and_too_much_text_are_refused_with_the_figure(
    agents: Agents, repo: Path
) -> None:
    for number in range(201):
        (repo / f"f{number}.txt").write_text("x")
    for number in range(3):
        (repo / f"large{number}.md").write_text("y" * 400_000)

    many = agents(*agents.starting("-f", "*.txt", "Do it."))
    long = agents(*agents.starting("-f", "large*.md", "Do it."))

    assert is_refused(many, 2, "201 files, 200 are the most", "fix:   use narrower")
    assert is_refused(long, 2, "characters, Codex accepts", "fix:   attach fewer")
    assert agents.jobs() == []


def test_what_is_not_attached_is_named(agents: Agents, repo: Path) -> None:
    (repo / "a.bin").write_bytes(b"\0")
    (repo / "b.txt").write_text("x" * 500_001)
    (repo / "c.txt").write_text("c")
    (repo / "out").symlink_to(repo.parent)
    (repo.parent / "secret.txt").write_text("secret")
    (repo / "link.txt").symlink_to(repo.parent / "secret.txt")
    Path(os.fsdecode(os.fsencode(repo) + b"/\xff.txt")).write_text("odd")

    words = ["-f", "*.bin", "-f", "*.txt", "-f", "out/**", "-f", "../secret.txt"]
    said = agents(*agents.starting("--dry-run", *words, "Do it."))

    assert said.code == 0, said.stderr
    assert "### c.txt" in said.stdout
    assert "secret" not in said.stdout
    for name in ("a.bin", "b.txt", "link.txt", "out/**", "../secret.txt", "its name"):
        assert name in said.stderr


def test_without_constraints_the_prompt_is_what_was_given(agents: Agents) -> None:
    job = agents.ended("--no-constraints", "Do it.")
    assert agents.sessions.stand_in.runs[-1]["stdin"] == "Do it."
    assert stored(agents, job.id) == "Do it."

    agents.ended("<context_loading>mine</context_loading> Do it.")
    given = agents.sessions.stand_in.runs[-1]["stdin"]
    assert given.count("<context_loading>") == 1
    assert given.count("<design_and_scope_constraints>") == 1


def test_the_map_is_attached_and_said_when_it_is_old(
    agents: Agents, repo: Path
) -> None:
    none = agents(*agents.starting("--dry-run", "--map", "Do it."))
    assert "no codebase map was found (codex-agent map writes one)" in none.stderr
    assert agents("map", "-d", repo).code == 0
    (repo / "more.txt").write_text("more")
    for words in (["add", "-A"], ["commit", "-qm", "More"]):
        git(repo, *words)
    old = agents(*agents.starting("--dry-run", "--map", "Do it."))
    assert "the codebase map is old: it is of commit" in old.stderr


def test_wait_prints_the_answer_and_exits_as_the_run(
    agents: Agents, codex: StandIn
) -> None:
    said = agents(*agents.starting("--wait", "Do it."))
    assert said.code == 0
    assert said.stdout.startswith("answer to Do it.")
    assert "job " in said.stderr

    codex.plays(*script.begin(), *script.fail("it did not work"), thread=script.FRESH)
    failed = agents(*agents.starting("--wait", "Do it."))
    assert failed.code == 1
    assert "it did not work" in failed.stderr
    codex.plays(*script.begin(), script.leave(7), thread=script.FRESH)
    assert agents(*agents.starting("--wait", "Do it.")).code == 7
    codex.plays(*script.begin(), script.hang(), thread=script.FRESH)
    late = agents(*agents.starting("--wait", "--timeout", "1s", "Do it."))
    assert late.code == 124


def test_notify_on_complete_implies_wait_and_is_told_how_it_ended(
    agents: Agents, codex: StandIn, tmp_path: Path
) -> None:
    tool, told = tmp_path / "my tool", tmp_path / "told"
    tool.write_text(
        f'#!/bin/sh\nprintf "%s|" "$1" "$CODEX_AGENT_JOB_ID" "$CODEX_AGENT_STATUS"'
        f' "$CODEX_AGENT_ERROR" >{told}\necho done\nexit 5\n'
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    command = f"'{tool}' '$(touch X)'"

    said = agents(*agents.starting("--notify-on-complete", command, "Do it."))
    assert said.code == 0, said.stderr
    (row,) = agents.jobs()
    assert told.read_text() == f"$(touch X)|{row['id']}|completed||"
    assert "done" in said.stderr
    assert "--notify-on-complete exited with 5" in said.stderr
    assert said.stdout == "answer to Do it." + said.stdout[len("answer to Do it.") :]

    codex.plays(*script.begin(), *script.fail("it broke"), thread=script.FRESH)
    said = agents(*agents.starting("--notify-on-complete", command, "Do it."))
    assert said.code == 1
    assert told.read_text().endswith("|failed|it broke|")
    missing = agents(*agents.starting("--notify-on-complete", "/no/tool", "Do it."))
    assert missing.code == 1
    assert "--notify-on-complete: " in missing.stderr
    codex.plays(*script.ordinary(), thread=script.FRESH)
    missing = agents(*agents.starting("--notify-on-complete", "/no/tool", "Do it."))
    assert missing.code == 0


def test_confirm_waits_for_the_thread(agents: Agents, codex: StandIn, go: Path) -> None:
    codex.plays(script.wait_for(go), *script.ordinary(), thread=script.FRESH)
    begun = agents.begin(*agents.starting("--confirm", "Do it."))
    wait_until(lambda: agents.jobs() and codex.runs, what="Codex")
    assert begun.process.poll() is None
    go.touch()
    ended = begun.wait()
    assert ended.code == 0
    assert ended.lines[0].startswith("Job started: ")
    (row,) = agents.jobs()
    assert row["session_id"]


@pytest.mark.usefixtures("without_timer")
def test_confirm_names_what_codex_refused(agents: Agents, codex: StandIn) -> None:
    codex.plays(script.err(REFUSED), script.leave(2), thread=script.FRESH)

    said = agents(*agents.starting("--confirm", "Do it."))
    assert said.code == 1
    assert "unexpected argument" in said.stderr
    (row,) = agents.jobs()
    assert row["id"] in said.stderr
    without = agents(*agents.starting("Do it."))
    assert without.code == 0
    job = without.lines[0].removeprefix("Job started: ")
    assert agents("await-turn", "--timeout", 30, job).code == 1
    told = agents.told("status", job)["job"]
    assert told["status"] == "failed"
    assert "unexpected argument" in told["error"]


@pytest.mark.usefixtures("without_timer")
def test_a_codex_that_cannot_be_launched_is_an_error_and_a_record(
    agents: Agents, repo: Path, tmp_path: Path
) -> None:
    words = ["start", "-d", repo, "--codex-bin", tmp_path / "none", "Do it."]

    said = agents(*words)

    assert said.code == 1
    (row,) = agents.jobs()
    assert row["id"] in said.stderr
    assert row["status"] == "failed"
    assert agents.told("status", row["id"])["job"]["outcome"] == "not_started"
    assert agents.sessions.rows("select 1 from prompts where ended_at is null") == []
    assert agents("status", row["id"]).code == 0


def test_after_waits_for_the_success_of_another_job(
    agents: Agents, codex: StandIn, held: Path
) -> None:
    first = agents.start("First.")
    second = agents.start("--after", first.id, "Second.")
    assert second.report["status"] == "pending"
    unknown = agents(*agents.starting("--after", "ffffffff", "Third."))
    assert is_refused(unknown, 3, "ffffffff", "fix:   codex-agent jobs --all")

    held.touch()
    assert first.await_turn().code == 0
    assert second.await_turn().code == 0
    assert [run["stdin"].split(".")[0] for run in codex.runs] == ["First", "Second"]


def test_a_job_whose_other_job_has_failed_is_waited_for_to_no_end(
    agents: Agents, held: Path
) -> None:
    first = agents.start("Fail.")
    waiting = agents.begin(*agents.starting("--after", first.id, "-w", "Second."))
    wait_until(lambda: len(agents.jobs()) == 2, what="the second job")
    held.touch()

    assert waiting.wait().code == 1
    assert "--after" in waiting.stderr
    (row,) = [row for row in agents.jobs() if row["id"] != first.id]
    assert row["status"] == "failed"
    assert "--after" in row["error"]
    assert agents("await-turn", row["id"]).code == 1


def test_label_parent_and_the_object_of_a_start(agents: Agents) -> None:
    words = ["--label", "the docs", "--parent-session", "P-1", "Do it."]
    told = agents.told(*agents.starting(*words))

    assert told["schema"] == "codex-runner/sent/1"
    job = told["short_id"]
    agents("await-turn", job)
    row = agents.told("status", job)["job"]
    assert (row["label"], row["parent_session"]) == ("the docs", "P-1")
    assert "the docs" in agents("jobs").stdout
    assert agents.told("status", "the docs")["job"]["id"] == job


def test_a_worktree_is_diffed_and_merged(
    agents: Agents, codex: StandIn, repo: Path
) -> None:
    codex.plays(
        *script.begin(),
        script.write("new.txt", "new\n"),
        script.message("done"),
        script.complete(),
        thread=script.FRESH,
    )
    job = agents.ended("--worktree", "Do it.")

    assert job.report["worktree"]
    assert not (repo / "new.txt").exists()
    assert "new.txt" in job("diff", "--stat").stdout
    assert "+new" in job("diff").stdout
    merged = job("merge")
    assert merged.code == 0, merged.stderr
    assert (repo / "new.txt").read_text() == "new\n"
    assert job("merge").code == 0


def test_a_check_that_fails_makes_the_job_fail(agents: Agents) -> None:
    words = ["--verify", "false", "--max-iterations", "1", "-w", "Do it."]
    said = agents(*agents.starting(*words))

    assert said.code == 1
    (row,) = agents.jobs()
    assert row["status"] == "failed"
    assert agents(*agents.starting("--verify", "true", "-w", "Do it.")).code == 0


def test_a_budget_ends_the_job(agents: Agents, codex: StandIn) -> None:
    usage = {**script.USAGE, "input_tokens": 9_000_000, "cached_input_tokens": 0}
    codex.plays(
        *script.begin(),
        script.message("x"),
        script.complete(usage),
        thread=script.FRESH,
    )
    job = agents.ended("-m", "gpt-5.4", "--max-usd", "0.01", "Do it.")
    assert job.report["cost"]["usd"] > 0.01


def test_a_sandbox_of_the_configuration_is_not_overruled(agents: Agents) -> None:
    agents.ended("-c", 'sandbox_mode="read-only"', "Look.")
    (run,) = agents.sessions.stand_in.runs
    assert "workspace-write" not in run["argv"]
    agents.ended("-s", "read-only", "Look.")
    run = agents.sessions.stand_in.runs[-1]
    assert "read-only" in run["argv"]


def test_without_progress_a_job_ends_and_names_the_limit(
    agents: Agents, codex: StandIn
) -> None:
    codex.plays(*script.begin(), script.hang(), thread=script.FRESH)
    said = agents(*agents.starting("--stall-timeout", "1s", "-w", "Do it."))
    assert said.code == 124
    (row,) = agents.jobs()
    assert (row["status"], row["outcome"]) == ("failed", "stalled")
    assert "1" in row["error"]


def test_a_session_that_is_no_job_is_named_as_that(
    agents: Agents, codex: StandIn
) -> None:
    job = agents.ended()
    codex.plays(*script.ordinary(), thread=script.THREAD)
    task = agents.sessions.ended("Begin.")
    short = task.status["short_id"]
    run = agents.sessions.records_of(job.id)[0]["run_id"]

    for name in (job.id, job.id[:4], run, job.session.id, job.session.id[:12]):
        assert agents.told("status", name)["job"]["id"] == job.id
    for name in (task.id, task.id[:12], short, task.runs[0].run_id):
        said = agents("status", name)
        assert is_refused(
            said, 3, "was not started by codex-agent", "fix:   codex-tasks"
        )
    for command in ("status", "capture", "output", "watch", "attach", "kill", "delete"):
        said = agents(command, "ffffffff")
        assert said.code == 3, command
        assert "no job 'ffffffff'" in said.stderr
        assert "fix:   codex-agent jobs --all" in said.stderr
    assert agents("send", "ffffffff", "Hi").code == 3
    # The ids of jobs are accepted by the other commands.
    assert json.loads(agents.sessions("status", "--json", "--one", job.id).stdout)
