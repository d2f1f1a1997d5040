"""The file systems on which a ledger would lose data."""

from __future__ import annotations

import os

from parsers.paths import Path
from runner.errors import LedgerFault
from runner.ledger.database import ELSEWHERE, NAME

# Write-ahead logging needs memory that is shared by all users of a file system.
REMOTE = (
    "nfs nfs4 cifs smb3 smbfs 9p drvfs afs ceph lustre gpfs beegfs fuse.sshfs"
    " fuse.rclone fuse.s3fs fuse.gcsfuse fuse.glusterfs fuse.ceph fuse.ceph-fuse"
    " fuse.curlftpfs fuse.davfs fuse.goofys fuse.juicefs fuse.blobfuse2"
    " fuse.gvfsd-fuse fuse.smbnetfs fuse.vmhgfs-fuse"
)
_MOUNTS = Path("/proc/self/mountinfo")


def kind_of(directory: Path) -> str:
    """Name the type of the file system that a directory is on; "" when unknown."""
    place = os.path.realpath(directory)
    kind, longest = "", -1
    try:
        lines = _MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4].replace("\\040", " ")
        is_above = place == point or place.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= longest:
            kind, longest = right.split(" ")[0], len(point)
    return kind


def refuse_remote(directory: Path) -> None:
    """Refuse to create a ledger on a network file system.

    Raises:
        LedgerFault: the directory is on one.
    """
    kind = kind_of(directory)
    if kind in REMOTE.split():
        reason = f"{kind} is a network file system, on which SQLite loses data"
        raise LedgerFault(directory / NAME, reason, ELSEWHERE)
