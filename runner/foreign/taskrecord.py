"""A task's record as the old `codex-tasks` wrote it, its fields narrowed."""

from __future__ import annotations

from parsers.struct import Struct
from parsers.text import uuid
from runner.foreign import sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path
    from typing import Final

# Fields that the values of a history hold; whatever else there is becomes `meta`.
_TOLD: Final = frozenset(
    {
        "id",
        "title",
        "created_at",
        "updated_at",
        "working_dir",
        "config_path",
        "initial_prompt",
        "last_prompt",
        "last_result",
    }
)


class Record(Struct, kw_only=False):
    """A task's directory and the fields of its task.json."""

    directory: Path
    fields: Mapping[str, object]
    is_archived: bool

    @property
    def id(self) -> str:
        return (self.text("id") or self.directory.name).lower()

    @property
    def log(self) -> Path:
        return self.directory / "task.log"

    @property
    def state(self) -> str | None:
        return self.text("state")

    @property
    def result(self) -> str | None:
        """The last answer; a run that failed has emptied it."""
        kept = sources.words(self.directory / "task.result")
        return kept or self.text("last_result")

    @property
    def is_first_generation(self) -> bool:
        return self.state == "IDLE" or sources.exists(self.directory / "task.pipe")

    @property
    def created_at(self) -> datetime:
        found = self._time("created_at") or sources.made_at(uuid(self.id))
        return found or self._time("updated_at") or self._written

    @property
    def updated_at(self) -> datetime:
        return max(self.created_at, self._time("updated_at") or self._written)

    @property
    def archived_at(self) -> datetime | None:
        """Archiving was the last that the old tool did to a task."""
        is_archived = self.is_archived or self.state == "ARCHIVED"
        return self.updated_at if is_archived else None

    @property
    def ended_at(self) -> datetime:
        """When the last run ended; archiving has written over it in the record."""
        if self.state in {"STOPPED", "DIED"}:
            return self.updated_at
        # A copy of the log may be of any later day.
        is_archived = self.archived_at is not None
        written = min(self._written, self.updated_at) if is_archived else self._written
        return max(self.created_at, written)

    @property
    def rest(self) -> Mapping[str, object]:
        """What it says besides."""
        rest = {name: self.fields[name] for name in self.fields.keys() - _TOLD}
        return sources.plain(dict(sorted(rest.items())))

    def text(self, name: str) -> str | None:
        return sources.said(self.fields.get(name))

    def _time(self, name: str) -> datetime | None:
        return sources.instant(self.fields.get(name))

    @property
    def _written(self) -> datetime:
        log = sources.modified(self.log)
        return log or sources.modified(self.directory) or sources.EPOCH
