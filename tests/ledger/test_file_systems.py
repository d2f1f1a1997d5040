"""A ledger is not made on a network file system, where SQLite loses data."""

import json
from pathlib import Path

import pytest

from runner.cli import codex_tasks
from runner.errors import LedgerFault
from runner.ledger import database, file_systems
from runner.ledger.ledger import Ledger

REMOTE = ("nfs", "nfs4", "cifs", "smb3", "9p", "drvfs", "fuse.sshfs")
LOCAL = ("ext4", "overlay", "fuseblk", "fuse.fuse-overlayfs", "fuse.gocryptfs")


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name the file that stands for /proc/self/mountinfo."""
    path = tmp_path / "mountinfo"
    monkeypatch.setattr(file_systems, "_MOUNTS", path)
    return path


def mounted(path: Path, *places: tuple[str | Path, str]) -> None:
    """Write a table of mounts: a mount point and the type of its file system each."""
    path.write_text(
        "".join(
            f"{number} 1 0:{number} / {str(point).replace(' ', chr(92) + '040')}"
            f" rw,relatime shared:1 - {kind} source rw\n"
            for number, (point, kind) in enumerate(places, 20)
        )
    )


@pytest.mark.parametrize("kind", REMOTE)
def test_no_ledger_is_made_on_a_network_file_system(
    tmp_path: Path, mounts: Path, kind: str
) -> None:
    mounted(mounts, ("/", "ext4"), (tmp_path, kind))

    with pytest.raises(LedgerFault) as caught:
        Ledger(tmp_path / "state")

    assert f"{kind} is a network file system" in str(caught.value)
    assert "use another state directory: export CODEX_RUNNER_HOME=DIR" in str(
        caught.value
    )
    assert not (tmp_path / "state" / database.NAME).exists()


@pytest.mark.parametrize("kind", LOCAL)
def test_a_ledger_is_made_on_a_local_file_system(
    tmp_path: Path, mounts: Path, kind: str
) -> None:
    mounted(mounts, ("/", "nfs4"), (tmp_path, kind))

    Ledger(tmp_path / "state").close()

    assert (tmp_path / "state" / database.NAME).exists()


def test_the_innermost_and_newest_mount_tells_the_file_system(
    tmp_path: Path, mounts: Path
) -> None:
    home = tmp_path / "my home"
    home.mkdir()
    mounted(
        mounts,
        ("/", "ext4"),
        (home, "autofs"),
        (home, "nfs4"),
        (tmp_path / "my", "xfs"),
        (tmp_path, "btrfs"),
    )

    assert file_systems.kind_of(home / "state") == "nfs4"
    assert file_systems.kind_of(tmp_path / "my home 2") == "btrfs"
    (tmp_path / "link").symlink_to(home)
    assert file_systems.kind_of(tmp_path / "link" / "state") == "nfs4"


def test_where_mounts_cannot_be_read_nothing_is_refused(
    tmp_path: Path, mounts: Path
) -> None:
    assert not mounts.exists()
    assert file_systems.kind_of(tmp_path) == ""

    Ledger(tmp_path / "state").close()


@pytest.mark.parametrize("has_ledger", [True, False])
def test_doctor_names_the_network_file_system_and_the_way_out(
    tmp_path: Path,
    mounts: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *,
    has_ledger: bool,
) -> None:
    home = tmp_path / "state"
    if has_ledger:
        Ledger(home).close()
    mounted(mounts, ("/", "ext4"), (tmp_path, "nfs4"))
    monkeypatch.setenv("CODEX_RUNNER_HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))

    code = codex_tasks.main(["doctor", "--json"])

    found = json.loads(capfd.readouterr().out)["checks"]
    checks = {check["name"]: check for check in found}
    assert code == 1
    assert not checks["file system"]["is_good"]
    assert "nfs4 is a network file system" in checks["file system"]["detail"]
    assert "CODEX_RUNNER_HOME" in checks["file system"]["fix"]
    assert checks["state"]["is_good"] == has_ledger
