"""A fresh git repository for a run to work in."""

import shutil
import subprocess
from pathlib import Path

_GIT = shutil.which("git") or "git"
_IDENTITY = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]


def git(directory: Path, *arguments: str) -> str:
    """Run git in the directory and give its output; fails the test when git fails."""
    done = subprocess.run(
        [_GIT, *_IDENTITY, "-C", str(directory), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def make_repository(directory: Path) -> Path:
    """Make a repository with one commit."""
    directory.mkdir(parents=True)
    git(directory, "init", "--quiet", "--initial-branch=main", "--template=")
    (directory / "README.md").write_text("A repository to work in.\n")
    git(directory, "add", "README.md")
    git(directory, "commit", "--quiet", "--message=First")
    return directory


def state_of(repo: Path) -> list[str]:
    """Give what is the user's: refs, HEAD, the stash, the index."""
    refs = git(repo, "for-each-ref").splitlines()
    own = [each for each in refs if "refs/heads/codex/" not in each]
    words = (
        ("symbolic-ref", "HEAD"),
        ("rev-parse", "HEAD"),
        ("stash", "list"),
        ("ls-files", "--stage", "--debug"),
    )
    return [*own, *(git(repo, *each) for each in words)]
