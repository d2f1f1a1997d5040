"""A session of the real Codex stays in the home that it was started in."""

from pathlib import Path

import pytest
from support.real_sessions import RealSessions, figures
from support.tasks import Ended

from runner.loopback import LoopbackServer, write_home


@pytest.fixture
def other(tmp_path: Path, loopback: LoopbackServer) -> Path:
    """Make a second home with a configuration of its own."""
    home = tmp_path / "other-home"
    write_home(home, loopback.config_toml(model="gpt-5"))
    return home


def _rollouts(home: Path) -> list[Path]:
    return list(home.glob("sessions/*/*/*/rollout-*.jsonl"))


def test_a_session_lives_in_the_home_of_its_config_file(
    sessions: RealSessions, other: Path, tmp_path: Path, loopback: LoopbackServer
) -> None:
    third = tmp_path / "third-home"
    write_home(third, loopback.config_toml(model="gpt-5-mini"))
    session = sessions.start("--config-file", other / "config.toml", "say: one")
    assert session.wait().code == 0

    sent = sessions("send", session.id, "say: two", env={"CODEX_HOME": str(third)})
    assert sent.code == 0, sent.stderr
    assert session.wait().code == 0
    queued = sessions(
        "send", "--queue", session.id, "say: three", env={"CODEX_HOME": None}
    )
    assert queued.code == 0, queued.stderr
    assert session.wait().code == 0

    (rollout,) = _rollouts(other)
    assert session.id in rollout.name
    assert _rollouts(sessions.codex.home) == _rollouts(third) == []
    assert session.result() == Ended(0, "three\n", "")
    assert session.json["config_path"] == str(other / "config.toml")
    assert [run.summary["model"] for run in session.runs] == ["gpt-5"] * 3
    status = session.status
    assert figures(status["usage"])["input_tokens"] == 1100 + 1200 + 1300
    assert status["usage"]["unknown_runs"] == 0


def test_a_link_to_a_config_file_is_followed(
    sessions: RealSessions, other: Path, tmp_path: Path
) -> None:
    link = tmp_path / "config.toml"
    link.symlink_to(other / "config.toml")

    session = sessions.start("--config-file", link, "say: one")

    assert session.wait().code == 0
    assert len(_rollouts(other)) == 1


def test_the_other_door_finds_the_home_of_a_session_too(
    sessions: RealSessions, other: Path
) -> None:
    session = sessions.start("--config-file", other / "config.toml", "say: one")
    assert session.wait().code == 0

    ended = sessions.codex("--resume", session.id, "--task", "say: two")

    assert ended.code == 0, ended.stderr
    assert session.result().stdout == "two\n"
    assert len(_rollouts(other)) == 1
