"""Find a run by its id, as it really is by now."""

from __future__ import annotations

from runner import artifacts
from runner.errors import NoSuchRunError, UnknownRunError
from runner.model import RunId
from runner.settle import settle
from runner.store.ledger import read_meta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.config import Config
    from runner.model import Run
    from runner.store.ledger import Ledger


def find_run(run_id: str, log_dir: Path, ledger: Ledger, settings: Config) -> Run:
    """Return a run that the index knows, or else a meta file in a log directory.

    One that only the file knows (another state directory, a lost index) is taken into
    the index; one that nobody keeps alive is judged.

    Raises:
        UnknownRunError: neither knows it.
        RunnerFault: its record cannot be read.
    """
    try:
        run = ledger.find(run_id)
    except NoSuchRunError:
        found = read_meta(artifacts.RunFiles(log_dir, RunId(run_id)).meta)
        if found is None:
            looked_in = f"{settings.state_home / 'runs.db'} and {log_dir}"
            raise UnknownRunError(run_id, looked_in) from None
        run = ledger.adopt(found)
    return settle(run, ledger, settings)
