"""The ledger: the one truth about sessions, prompts, runs and usage."""

from __future__ import annotations

import os
from functools import cached_property

from parsers.light import sqlite3
from runner import files
from runner.errors import LedgerFault
from runner.ledger import database
from runner.ledger.database import Database
from runner.ledger.runs import Runs
from runner.ledger.sessions import Sessions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.paths import Path
    from runner.ledger.outbox import Outbox
    from runner.ledger.queue import Queue
    from runner.ledger.usage import UsageTable


class Ledger(Database):
    """Open the ledger of a state directory; create both when they are missing.

    A database of the previous version is migrated first.

    Raises:
        FileFault: the state directory cannot be created.
        LedgerFault: the ledger cannot be opened, is of a newer version, or is lost.
        MigrationError: runs of the previous version are not finished.
    """

    def __init__(self, state_home: Path, name: str = database.NAME) -> None:
        database.refuse_foreign(state_home)
        files.make_directory(state_home, database.ELSEWHERE)
        path = state_home / name
        if not os.path.lexists(path):
            if os.path.lexists(state_home / database.OLD):
                from runner.ledger.migrate import migrate  # noqa: PLC0415 - once

                migrate(state_home)
            else:
                database.refuse_closed(state_home, os.R_OK | os.W_OK | os.X_OK)
                if database.is_lost(state_home):
                    raise LedgerFault(path, "it is missing", database.RESTORES)
                from runner.ledger.file_systems import (  # noqa: PLC0415 - once
                    refuse_remote,
                )

                refuse_remote(state_home)
                database.create(path)
        super().__init__(state_home, name)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self)

    @cached_property
    def runs(self) -> Runs:
        return Runs(self)

    @cached_property
    def outbox(self) -> Outbox:
        from runner.ledger.outbox import Outbox  # noqa: PLC0415 - not for the launch

        return Outbox(self)

    @property
    def has_waiting_prompts(self) -> bool:
        """Whether a prompt waits in any session: cheap, and mostly false."""
        return self.one("a_waiting_prompt") is not None

    @cached_property
    def queue(self) -> Queue:
        from runner.ledger.queue import Queue  # noqa: PLC0415 - where a prompt is asked for

        return Queue(self)

    @cached_property
    def usage(self) -> UsageTable:
        from runner.ledger.usage import UsageTable  # noqa: PLC0415 - where a run is over

        return UsageTable(self)


class MemoryLedger(Ledger):
    """Hold sessions in memory, whose exports are in a state directory."""

    def __init__(self, state_home: Path) -> None:
        self.home = self.path = state_home
        self._file = self._identity()
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        database.build_schema(self._connection)

    def _thaw(self) -> None:
        """Keep it open: closed, it would be gone."""
