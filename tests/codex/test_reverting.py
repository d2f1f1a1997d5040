"""A thread is reverted in an application, and goes on as a session."""

import json
import subprocess
from typing import Any

from support.real_codex import RealTasks, used
from support.real_sessions import FIGURES, RealSessions, figures


def revert(codex: RealTasks, thread: str, turn: int) -> None:
    """Let an application go back to before one of the thread's turns."""
    with subprocess.Popen(
        [codex.stand_in.path, "app-server"],
        env=codex.cli.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def call(method: str, **params: object) -> dict[str, Any]:
            asked = {"id": method, "method": method, "params": params}
            server.stdin.write(f"{json.dumps(asked)}\n")  # type: ignore[union-attr]  # see above
            server.stdin.flush()  # type: ignore[union-attr]  # see above
            answers = map(json.loads, server.stdout)  # type: ignore[arg-type]  # see above
            return next(each["result"] for each in answers if each.get("id") == method)

        call("initialize", clientInfo={"name": "test", "version": "1"})
        known = call("thread/resume", threadId=thread)["thread"]["turns"]
        call("thread/revert", threadId=thread, beforeTurnId=known[turn]["id"])
        server.stdin.close()


def test_a_reverted_thread_is_one_session(sessions: RealSessions) -> None:
    session = sessions.ended("say: one")
    assert session.send("say: two").code == 0
    assert session.wait().code == 0
    revert(sessions.codex, session.id, 1)
    (later,) = sessions.codex.home.glob(f"sessions/*/*/*/*-{session.id}_*.jsonl")

    assert session.send("run: true\nsay: three").code == 0

    assert session.wait().code == 0
    assert session.result().stdout == "three\n"
    # The second call of the thread was made twice.
    parts = used(1, 2, 2, 3)
    whole = {**parts, "total_tokens": parts["input_tokens"] + parts["output_tokens"]}
    assert figures(session.status["usage"]) == {name: whole[name] for name in FIGURES}
    told = sessions("import", sessions.codex.home)
    assert "imported 0 sessions (0 runs); 1 already on record" in told.stderr
    again = sessions.cli("--log", later, command="parse_codex_run")
    (usage,) = (json.loads(again.stdout)["token_usage"],)
    assert figures(usage) == {name: whole[name] for name in FIGURES}
