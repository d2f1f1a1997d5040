"""A queued prompt runs in the environment of its sender, whoever delivers it."""

from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import wait_until
from support.sessions import Session, Sessions
from support.stand_in import StandIn

from runner.lifecycle.timer import FIFO

PROXY = "HTTPS_PROXY"
KEY = "CODEX_API_KEY"


@pytest.fixture
def shells(tmp_path: Path) -> list[dict[str, str | None]]:
    """Build the environments of two shells: a key, a home and a proxy of its own."""
    return [
        {
            KEY: f"sk-{name}-0123",
            "CODEX_HOME": str(tmp_path / name),
            PROXY: f"http://{name}.example:3128",
            "SENDER": name,
            "TERM": name,
        }
        for name in ("first", "second")
    ]


@pytest.fixture
def session(
    sessions: Sessions, codex: StandIn, go: Path, shells: list[dict[str, str | None]]
) -> Session:
    """Start a session from the first shell, whose runs wait for the test."""
    codex.plays(
        *script.begin(),
        script.wait_for(go),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    for shell in shells:
        Path(str(shell["CODEX_HOME"])).mkdir()
    return sessions.start("Begin.", env=shells[0])


def environment(codex: StandIn, prompt: str) -> dict[str, str]:
    (found,) = (run["env"] for run in codex.runs if run["stdin"] == prompt)
    assert isinstance(found, dict)
    return found


@pytest.mark.core
def test_each_prompt_has_the_environment_of_its_sender_and_no_other_key(
    session: Session, codex: StandIn, go: Path, shells: list[dict[str, str | None]]
) -> None:
    sessions, (first, second) = session.sessions, shells
    sessions("slots", 1)
    # A timer would be handed the other key.
    first["CODEX_RUNNER_TIMER"] = second["CODEX_RUNNER_TIMER"] = "0"
    plain = {**second, KEY: None}
    said = session.queue("Without.", env=plain)
    assert "CODEX_HOME=" in said.stderr
    assert f"is ignored: the task stays in {first['CODEX_HOME']}" in said.stderr
    session.queue("Own.", env=first)
    other = sessions(*sessions.starting("--queue", "Other."), env=second).stdout.strip()

    # The supervisor of the first shell passes the other key over.
    go.touch()
    wait_until(lambda: session.given == ["Begin.", "Without.", "Own."], 30)
    session.wait()
    without, own = environment(codex, "Without."), environment(codex, "Own.")
    assert KEY not in without
    assert (without["SENDER"], without[PROXY]) == ("second", second[PROXY])
    assert (own["SENDER"], own[PROXY], own[KEY]) == ("first", first[PROXY], first[KEY])
    for each in (without, own):
        assert each["CODEX_HOME"] == first["CODEX_HOME"]
        assert "TERM" not in each

    shown = sessions("queue", env=first).stdout
    assert " secret " in shown
    assert f"codex-tasks deliver {other}" in shown
    assert f"deliver {other}" in sessions("status", other, env=first).stdout
    refused = sessions("deliver", other, env=plain)
    assert (refused.code, refused.stdout) == (1, "")
    assert f"{KEY} of its sender is not set here" in refused.stderr

    done = sessions("deliver", other, env=second)

    assert done.code == 0
    wait_until(lambda: len(codex.runs) == 4)
    others = environment(codex, "Other.")
    assert {name: others.get(name) for name in second} == {**second, "TERM": None}


def test_a_timer_without_a_secret_is_handed_that_of_the_next_sender(
    session: Session, codex: StandIn, go: Path, shells: list[dict[str, str | None]]
) -> None:
    sessions, (first, second) = session.sessions, shells
    go.touch()
    session.wait()
    plain, how = {**second, KEY: None}, ("--queue", "--not-before")
    sessions(*sessions.starting(*how, "+1h", "Without."), env=plain)
    wait_until((sessions.state_home / FIFO).exists, what="the timer, without a key")

    for shell, text in ((first, "Own."), (second, "Other.")):
        assert sessions(*sessions.starting(*how, "+1s", text), env=shell).code == 0

    wait_until(lambda: len(codex.runs) == 3, 30, "the deliveries of the timer")
    assert environment(codex, "Own.")[KEY] == first[KEY]
    assert environment(codex, "Other.")[KEY] == second[KEY]
    sessions("stop", "-a", env=plain)
    written = [p.read_bytes() for p in sessions.state_home.rglob("*") if p.is_file()]
    assert not any(str(first[KEY]).encode() in content for content in written)


@pytest.mark.core
def test_no_secret_is_ever_written(
    session: Session, go: Path, shells: list[dict[str, str | None]]
) -> None:
    sessions = session.sessions
    sessions("slots", 1)
    secrets = {
        KEY: "sk-private-1",
        "GITHUB_TOKEN": "ghp-private-2",
        PROXY: "http://me:private-3@proxy.example:3128",
    }
    session.queue("More.", env={**shells[0], **secrets})
    sessions(*sessions.starting("--queue", "Other."), env={**shells[0], **secrets})

    written = [p.read_bytes() for p in sessions.state_home.rglob("*") if p.is_file()]

    assert any(b"SENDER" in content for content in written)
    assert not any(b"private-" in content for content in written)
    go.touch()
