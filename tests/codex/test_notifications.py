"""The real Codex, and who is notified of what became of its prompts."""

from support.processes import wait_until
from support.real_sessions import DEADLINE, RealSessions
from support.receiver import receiving


def test_the_end_of_a_turn_is_sent_with_its_tokens_and_its_cost(
    sessions: RealSessions,
) -> None:
    sessions.state_home.mkdir(mode=0o700, exist_ok=True)
    (sessions.state_home / "runner.toml").write_text("webhook_private = true\n")
    with receiving() as receiver:
        receiver.answers = [200, 200]
        said = sessions.try_start("--webhook", receiver.url, "-t", "a title", "say: hi")
        session = sessions.named(said.stdout)
        wait_until(lambda: len(receiver.bodies) > 1, DEADLINE, "both events")
        wait_until(
            lambda: {e["state"] for e in session.status["notifications"]} == {"sent"},
            DEADLINE,
        )

    ended, empty = receiver.events
    assert (ended["event"], empty["event"]) == ("succeeded", "queue_empty")
    assert (ended["title"], ended["session_id"]) == ("a title", session.id)
    assert ended["usage"] == session.records[-1]["token_usage"]
    assert ended["usage"]["total_tokens"] > 0
    assert ended["cost"]["usd"] > 0
