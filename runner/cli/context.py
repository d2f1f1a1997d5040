"""What a command works with: the settings, the ledger and standard output."""

from __future__ import annotations

from functools import cached_property

from runner.cli.output import Output, note
from runner.ledger.runs import Ledger
from runner.service import lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.config import Config
    from runner.ledger.sessions import Row
    from runner.service.sessions import Task


class Context:
    """Open what a command asks for, once."""

    def __init__(self, settings: Config) -> None:
        self.settings = settings
        self.output = Output()

    @cached_property
    def ledger(self) -> Ledger:
        ledger = Ledger(self.settings.state_home)
        if ledger.is_empty():
            self._warn_if_lost(ledger)
        return ledger

    def _warn_if_lost(self, ledger: Ledger) -> None:
        from runner.service import recovery  # noqa: PLC0415 - for an empty index only

        if recovery.has_lost_runs(ledger, self.settings):
            self.note(
                f"the index {ledger.database.path} is empty, but there are runs:"
                " codex-tasks verify --repair takes them in"
            )

    def row(self, text: str) -> Row:
        """Find the session that a text names."""
        return lookup.find(text, self.ledger)

    def rows(self, texts: Sequence[str]) -> list[Row]:
        """Find the sessions that texts name, each once."""
        return lookup.find_all(texts, self.ledger)

    def task(self, text: str) -> Task:
        """Find the session that a text names, as it is now."""
        from runner.service.sessions import look  # noqa: PLC0415 - not every command

        return look(self.row(text), self.ledger, self.settings)

    @staticmethod
    def note(text: str) -> None:
        note(text)

    @staticmethod
    def notes(texts: Iterable[str]) -> None:
        for text in texts:
            note(text)
