"""When each line of a run was read: its supervisor records it, the log shows it.

Codex's events have no times. After each read that has found lines, the supervisor
appends the time and how far it has read both files. The invariant: a line has a time
only if it was read about when it was written. The record has a directory of its own,
because the supervisor is woken by each write in the run's directory.
"""

from __future__ import annotations

from parsers.light import suppress
from parsers.struct import Struct
from runner import clock, files
from runner.errors import FileFault
from runner.run_files import own_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.paths import Path

# A supervisor that was suspended reads late what Codex has written meanwhile.
LATE_SECONDS = 2.0
_UNKNOWN = "-"


class Moment(Struct):
    """A time in seconds since the epoch; to the second only if it is not exact."""

    seconds: float
    is_exact: bool


def path_of(state_home: Path, run_id: str) -> Path:
    """Name the record of a run."""
    return own_directory(state_home, run_id) / "times" / "lines"


class Arrivals:
    """Record when lines are read.

    Args:
        path: of the record.
        is_exact: the growth of the files is signalled at once; else they are looked at
            once a second.
    """

    def __init__(self, path: Path, *, is_exact: bool) -> None:
        self._path, self._is_exact, self._unwritten = path, is_exact, b""
        # Without its parents: of a run whose files were removed nothing comes back.
        with suppress(OSError):
            path.parent.mkdir(mode=0o700)

    def note(self, offsets: tuple[int, int], grown_at: float) -> None:
        """Record that the files were read up to these offsets.

        Args:
            offsets: in the events and in standard error.
            grown_at: when the last of the lines was written.
        """
        now = clock.now().timestamp()
        at = f"{now:.3f}" if self._is_exact else f"{int(now)}"
        if now - grown_at > LATE_SECONDS:
            at = _UNKNOWN
        self._unwritten += f"{at} {offsets[0]} {offsets[1]}\n".encode()
        try:
            files.append(self._path, self._unwritten)
            self._unwritten = b""
        except FileFault:
            # A part may have been written: what follows begins on a line of its own.
            self._unwritten = b"\n" + self._unwritten.lstrip(b"\n")


class Times:
    """Find when a line was read, as far as the record has been read: its `size`."""

    def __init__(self, path: Path) -> None:
        self._path, self.size = path, 0
        self._moments: list[Moment | None] = []
        self._ends: tuple[list[int], list[int]] = ([], [])

    def of(self, begin: int, *, is_stderr: bool) -> Moment | None:
        """Return when the line was read that begins there; None if that is unknown."""
        from bisect import bisect_right  # noqa: PLC0415 - not for a supervisor

        at = bisect_right(self._ends[is_stderr], begin)
        return self._moments[at] if at < len(self._moments) else None

    def read(self) -> None:
        """Read what was appended to the record."""
        with suppress(OSError), files.reader(self._path) as stream:
            stream.seek(self.size)
            data = stream.read()
            whole, _, _ = data.rpartition(b"\n")
            self.size += len(whole) + bool(whole)
            for line in whole.split(b"\n"):
                self._add(line.split())

    def _add(self, words: list[bytes]) -> None:
        with suppress(ValueError):  # a line that was cut
            at, *offsets = words
            events, stderr = map(int, offsets)
            moment = None
            if at.decode() != _UNKNOWN:
                moment = Moment(seconds=float(at), is_exact=b"." in at)
            for ends, end in zip(self._ends, (events, stderr), strict=True):
                ends.append(max(end, *ends[-1:]) if ends else end)
            self._moments.append(moment)
