"""What `status` and `ls` say of a task that needs a person, has no price, or runs."""

import json
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import wait_until
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.terminal import on_screen

CONFIG = "Error loading config.toml: /etc/codex/config.toml:12:8: invalid type\n"
UNTRUSTED = (
    "Not inside a trusted directory and --skip-git-repo-check was not specified.\n"
)
GONE = "Error: thread/resume: no rollout found for thread id $THREAD (code -32600)\n"


def held(sessions: Sessions, codex: StandIn, words: str) -> Session:
    """Give a task whose next prompt Codex has refused before its turn."""
    session = sessions.ended()
    codex.plays(script.err(words), script.leave(1), thread=script.FRESH)
    assert session.queue("One.").code == 0
    wait_until(lambda: session.status["shown"]["state"] == "held")
    return session


def rows(sessions: Sessions, session: Session, width: int = 120) -> dict[str, str]:
    """Give the rows of its status, by their labels."""
    lines = on_screen(sessions.cli, width, "status", session.id)
    told = [line for line in lines[1:] if line.strip()]
    return {line[:12].strip(): line[12:] for line in told}


@pytest.mark.parametrize(
    ("words", "brief", "fix"),
    [
        (CONFIG, "config broken", "correct /etc/codex/config.toml line 12, then {}"),
        (UNTRUSTED, "untrusted directory", "git init {repo}, then {}; or start it"),
        (GONE, "thread gone", "codex-tasks start begins another thread"),
    ],
)
def test_a_held_task_names_its_fix_and_its_error_once(
    sessions: Sessions, codex: StandIn, words: str, brief: str, fix: str
) -> None:
    session = held(sessions, codex, words)
    name = session.status["short_id"]

    told = rows(sessions, session, 300)

    again = f"codex-tasks resume {name}"
    assert told["do"].startswith(fix.format(again, repo=sessions.repo))
    assert "go on" not in told
    assert told["waiting"].endswith("One.: held")
    error = " ".join(words.replace("$THREAD", session.id).split()).rstrip(".")
    assert " ".join(told.values()).count(error[:40]) == 1
    for width in (120, 200):
        (row,) = [
            line for line in on_screen(sessions.cli, width, "ls") if "! held" in line
        ]
        assert f"  {brief}  " in row


def test_a_held_task_without_a_known_fix_can_still_go_on(
    sessions: Sessions, codex: StandIn
) -> None:
    session = held(sessions, codex, CONFIG)
    session.sessions.change(
        "update prompts set hold = 'for a reason' where hold is not null"
    )
    session.sessions.change("update runs set error_class = null")

    told = rows(sessions, session)

    assert "do" not in told
    assert told["go on"].startswith("codex-tasks resume")


def called(model: str) -> script.Step:
    """Write a model call to the rollout of the thread."""
    used = {"input_tokens": 1_160, "output_tokens": 0}
    call = {"thread_id": "$THREAD", "turn_id": "t1", "usage": used}
    lines = "".join(
        json.dumps({"timestamp": "2026-11-30T00:00:00Z", "type": kind, "payload": told})
        + "\n"
        for kind, told in (
            ("session_meta", {"id": "$THREAD"}),
            ("turn_context", {"turn_id": "t1", "model": model}),
            ("token_usage_record", call),
        )
    )
    name = "rollout-2026-11-30T00-00-00-$THREAD.jsonl"
    return script.write(f"$CODEX_HOME/sessions/{name}", lines)


def test_an_unknown_cost_names_the_model_without_a_price(
    sessions: Sessions, codex: StandIn
) -> None:
    home = Path(sessions.cli.environment["CODEX_HOME"])
    (home / "sessions").mkdir(parents=True)
    codex.plays(
        *script.begin(),
        called("gpt-unknown"),
        script.message("Done."),
        script.complete(),
        thread=script.FRESH,
    )
    session = sessions.ended("Do it.")

    reason = "no price for gpt-unknown: codex-tasks reprice after adding it to"
    assert session.status["cost"]["reason"] == f"{reason} prices.toml"
    lines = on_screen(sessions.cli, 120, "status", session.id)
    (at,) = [number for number, line in enumerate(lines) if line[2:6] == "cost"]
    assert lines[at].endswith("?  1.16k tokens")
    assert lines[at + 1].strip() == f"{reason} prices.toml"


@pytest.mark.usefixtures("codex")
def test_a_running_task_names_its_model_from_the_beginning(
    sessions: Sessions, codex_home: Path, held: Path
) -> None:
    (codex_home / "config.toml").write_text('model = "gpt-configured"\n')

    asked = sessions.start("--model", "gpt-asked", "One.")
    usual = sessions.start("Two.")

    assert rows(sessions, asked)["runs as"].startswith("gpt-asked, ")
    assert rows(sessions, usual)["runs as"].startswith("gpt-configured, ")
    assert rows(sessions, usual)["cost"] == "-  no tokens counted yet"
    held.touch()
    usual.wait()
    asked.wait()
    held.unlink()
    asked.send("Three.")
    assert rows(sessions, asked)["runs as"].startswith("gpt-asked, ")
    held.touch()
    asked.wait()
