"""Find sessions in the ledger, then among the tasks of an older tool."""

from __future__ import annotations

from runner.errors import NoSuchTaskError
from runner.service.lookup import Found, find, older_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.ledger.ledger import Ledger


def find_any(text: str, ledger: Ledger, settings: Config) -> Found:
    """Find what a text names. Raise as `lookup.find`."""
    try:
        return Found(session=find(text, ledger), ledger=ledger)
    except NoSuchTaskError:
        if not (places := older_tasks(ledger, named=text)):
            raise
    from runner.service.older import OlderTasks  # noqa: PLC0415 - for such tasks alone

    return OlderTasks(places, settings, is_counted=False).find(text)
