"""What a session was started with is kept for every prompt that is sent to it."""

import os
import signal
from pathlib import Path

import pytest
from support.processes import is_alive, wait_until
from support.repository import git
from support.sessions import Session, Sessions
from support.stand_in import StandIn

from parsers.text import uuid

OPTIONS = [
    *("-s", "workspace-write", "-m", "gpt-5.1-codex"),
    *("-c", "model_reasoning_effort=high", "-c", 'x="a b"'),
    "--skip-git-repo-check",
]


def given_in_three_runs(session: Session) -> list[list[str]]:
    """Send a prompt and queue one; give the arguments of all three runs."""
    session.wait()
    assert session.send("Second.").code == 0
    session.wait()
    assert session.queue("Third.").code == 0
    session.wait()
    return [run["argv"] for run in session.sessions.stand_in.runs]


def has(argv: list[str], *words: str) -> bool:
    return any(argv[at : at + len(words)] == list(words) for at in range(len(argv) + 1))


@pytest.mark.core
def test_sandbox_model_and_configuration_are_kept(sessions: Sessions) -> None:
    session = sessions.start(*OPTIONS, "Begin.")

    for argv in given_in_three_runs(session):
        words = " ".join(argv)
        assert "workspace-write" in words
        assert "gpt-5.1-codex" in words
        assert any("model_reasoning_effort=high" in word for word in argv)
        assert any('x="a b"' in word for word in argv)
        assert "--skip-git-repo-check" in argv
    assert session.status["sandbox"] == "workspace-write"
    assert session.status["model"] == "gpt-5.1-codex"


def test_an_image_and_a_schema_are_for_one_prompt(
    sessions: Sessions, tmp_path: Path
) -> None:
    image, schema = tmp_path / "a.png", tmp_path / "schema.json"
    image.touch()
    schema.write_text("{}")

    session = sessions.start("--image", image, "--output-schema", schema, "Begin.")

    first, *others = given_in_three_runs(session)
    assert f"--image={image}" in first
    assert has(first, "--output-schema", str(schema))
    for argv in others:
        assert "--output-schema" not in argv
        assert not any(word.startswith("--image") for word in argv)


def test_the_working_directory_and_the_home_of_codex_are_kept(
    sessions: Sessions, codex: StandIn, tmp_path: Path
) -> None:
    place, own = tmp_path / "work", tmp_path / "own-home"
    own.mkdir()
    (own / "config.toml").touch()

    session = sessions.start(
        *("--working-dir", place, "--config-file", own / "config.toml", "Begin.")
    )

    given_in_three_runs(session)
    assert {run["cwd"] for run in codex.runs} == {str(place)}
    assert {run["env"]["CODEX_HOME"] for run in codex.runs} == {str(own)}
    assert session.json["config_path"] == str(own / "config.toml")
    assert session.json["working_dir"] == str(place)


def test_a_working_directory_that_is_gone_is_told(
    sessions: Sessions, tmp_path: Path
) -> None:
    place = tmp_path / "work"
    session = sessions.ended("--working-dir", place, "Begin.")
    place.rmdir()

    for words in (["send"], ["send", "--queue"]):
        said = sessions(*words, session.id, "More.")
        assert said.code == 1
        assert f"{place}, which is gone" in said.stderr
    assert session.status["queue"] == 0


@pytest.fixture
def origin(repo: Path, tmp_path: Path) -> Path:
    """Make a bare repository with a branch, a tag and a commit on no branch's end."""
    git(repo, "checkout", "--quiet", "-b", "feature")
    (repo / "feature").touch()
    git(repo, "add", "feature")
    git(repo, "commit", "--quiet", "--message=Feature")
    git(repo, "tag", "v1")
    (repo / "later").touch()
    git(repo, "add", "later")
    git(repo, "commit", "--quiet", "--message=Later")
    git(repo, "checkout", "--quiet", "main")
    bare = tmp_path / "origin.git"
    git(repo, "clone", "--quiet", "--bare", str(repo), str(bare))
    return bare


@pytest.mark.core
@pytest.mark.parametrize(
    ("ref", "files"),
    [
        (None, {"README.md"}),
        ("main", {"README.md"}),
        ("feature", {"README.md", "feature", "later"}),
        ("v1", {"README.md", "feature"}),
        ("commit", {"README.md", "feature"}),
    ],
)
def test_a_repository_is_cloned_and_only_the_id_is_printed(
    sessions: Sessions, origin: Path, tmp_path: Path, ref: str | None, files: set[str]
) -> None:
    place = tmp_path / "clones" / "app"
    if ref == "commit":
        ref = git(origin, "rev-parse", "v1").strip()
    words = ["--repo", str(origin), "--working-dir", str(place)]
    words += [] if ref is None else ["--repo-ref", ref]

    said = sessions(*sessions.starting(*words, "Begin."))

    assert said.code == 0, said.stderr
    assert uuid(said.stdout.rstrip("\n"))
    assert {path.name for path in place.iterdir()} == {".git", *files}
    assert Session(said.stdout.strip(), sessions).wait().code == 0
    assert sessions.stand_in.runs[0]["cwd"] == str(place)
    assert [path.name for path in place.parent.iterdir()] == ["app"]


def test_a_directory_that_is_there_is_not_cloned_over(
    sessions: Sessions, origin: Path, tmp_path: Path
) -> None:
    place = tmp_path / "app"
    place.mkdir()
    (place / "mine").touch()

    said = sessions(
        *sessions.starting("--repo", origin, "--working-dir", place, "Begin.")
    )

    assert (said.code, said.stdout) == (2, "")
    assert [path.name for path in place.iterdir()] == ["mine"]
    assert sessions.stand_in.runs == []


@pytest.mark.parametrize("wrong", ["origin", "ref"])
def test_a_clone_that_fails_leaves_nothing_behind(
    sessions: Sessions, origin: Path, tmp_path: Path, wrong: str
) -> None:
    place = tmp_path / "clones" / "app"
    source = tmp_path / "no.git" if wrong == "origin" else origin
    words = ["--repo", source, "--repo-ref", "no-such-ref", "--working-dir", place]

    said = sessions(*sessions.starting(*words, "Begin."))

    assert (said.code, said.stdout) == (1, "")
    assert "git" in said.stderr
    assert list(place.parent.iterdir()) == []
    assert sessions.stand_in.runs == []


# Writes its own pid and that of its child, and never ends by itself.
SLOW_GIT = """\
#!/bin/sh
{trap}
mkdir -p "$4/.git"
sleep 60 &
echo "$$ $!" > {pids}.part && mv {pids}.part {pids}
while :; do wait; sleep 0.1; done
"""


@pytest.mark.parametrize(
    ("number", "code", "is_stubborn"),
    [
        (signal.SIGTERM, 143, False),
        (signal.SIGINT, 130, False),
        (signal.SIGHUP, 129, False),
        (signal.SIGTERM, 143, True),
    ],
)
def test_a_clone_that_is_ended_takes_git_along(
    sessions: Sessions,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    *,
    is_stubborn: bool,
) -> None:
    place, pids = tmp_path / "clones" / "app", tmp_path / "pids"
    slow = tmp_path / "slow" / "git"
    slow.parent.mkdir()
    trap = "trap '' INT TERM HUP" if is_stubborn else ""
    slow.write_text(SLOW_GIT.format(trap=trap, pids=pids))
    slow.chmod(0o755)
    path = f"{slow.parent}{os.pathsep}{os.environ['PATH']}"
    url = "https://example.invalid/app.git"
    words = ["--repo", url, "--working-dir", place, "Begin."]

    begun = sessions.begin(*sessions.starting(*words), env={"PATH": path})
    wait_until(pids.exists, what="git")
    begun.send(number)
    said = begun.wait()

    assert (said.code, said.stdout) == (code, "")
    assert [line for line in said.stderr.splitlines() if number.name not in line] == []
    assert said.stderr.count("\n") == 1
    assert not any(map(is_alive, map(int, pids.read_text().split())))
    assert list(place.parent.iterdir()) == []
    assert sessions.stand_in.runs == []
