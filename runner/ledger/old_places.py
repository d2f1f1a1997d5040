"""Where the versions before have put the directories of sessions and runs.

The index says where a session lies. A move may have been killed before that
was on record, and the state directory may have been moved as a whole: then it is looked
for.
"""

from __future__ import annotations

import json
import os
from functools import cached_property

from parsers.text import UUID
from runner import files
from runner.errors import FileFault
from runner.run_files import PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.ledger.conversion import Steps

_PENDING, _REMOVED = ".pending", ".removed-"
_BUCKETS_DEEP = 3
_KINDS = ("events.jsonl", "meta.json", "prompt")


class Places:
    """Find directories; `missing` names the runs that have no files, and where."""

    def __init__(self, state_home: Path) -> None:
        self._home = state_home
        self.missing: list[tuple[str, str]] = []

    def of_session(self, key: str, archived_in: str | None) -> str | None:
        """Return the directory of a session, relative to the state directory."""
        for place in (archived_in, _in_use(key), self._archived.get(key)):
            if place is not None and files.is_directory(self._home / place):
                return place
        return None

    def of_run(self, run_id: str, session: str | None, log_dir: str | None) -> bytes:
        """Return the directory that the files of a run lie in, as the ledger writes it.

        Args:
            run_id: the run.
            session: the directory of its session.
            log_dir: the directory on record, as JSON.
        """
        told = None if log_dir is None else json.loads(log_dir)
        places = [] if session is None else [f"{self._home}/{session}/runs"]
        places += [told] if isinstance(told, str) else []
        place = next((each for each in places if _has_files(each, run_id)), None)
        if place is None:
            place = (places or [f"{self._home}/runs"])[-1]
            self.missing.append((run_id, place))
        # Relative inside the state directory, which may be moved.
        return encoded(place.removeprefix(f"{self._home}/"))

    def bring_back(self, steps: Steps) -> None:
        """Bring back the sessions that were to be removed, and still are on record.

        Raises:
            FileFault: one cannot be brought back.
        """
        for name in files.names(self._home):
            if not name.startswith(_REMOVED):
                continue
            key = name.removeprefix(_REMOVED).rpartition("-")[0]
            row = steps.do("session_before", key=key).fetchone()
            if row is None or self.of_session(key, row["archived_in"]) is not None:
                continue
            now = self._home / (row["archived_in"] or _in_use(key))
            files.make_directory(now.parent)
            try:
                (self._home / name).rename(now)
            except OSError as error:
                raise FileFault("bring back", now, error) from error

    @cached_property
    def _archived(self) -> dict[str, str]:
        found = sorted(self._home.glob(f"archive/{'[0-9]*/' * _BUCKETS_DEEP}*"))
        return {each.name: str(each.relative_to(self._home)) for each in found}


def encoded(text: str) -> bytes:
    """Return the bytes of a path; of what cannot be one a question mark."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode(errors="replace")


def _in_use(key: str) -> str:
    return key if UUID.fullmatch(key) else f"{_PENDING}/{key}"


def _has_files(directory: str, run_id: str) -> bool:
    stem = f"{directory}/{PREFIX}{run_id}."
    return any(os.path.lexists(f"{stem}{kind}") for kind in _KINDS)
