"""The live list reads what has changed, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ledgers
from support import stand_in as script
from support.many import fill
from support.runs import settings

from parsers.paths import Path as LightPath
from parsers.struct import replace
from runner import files
from runner.arrivals import Times
from runner.config import Config
from runner.ledger.ledger import Ledger
from runner.model import TaskState
from runner.run_files import RunFiles, files_of
from runner.service import listing, live
from runner.service.live import Live, Wish
from runner.service.shown import STATES
from runner.tail import Doing

WISH = Wish(
    states=list(TaskState), wanted=list(STATES), text=None, order=None, is_all=False
)


class Counted(Live):
    """Count how often the ledger is read."""

    reads = 0

    def _take(self, wish: Wish) -> None:
        self.reads += 1
        super()._take(wish)


@pytest.fixture
def ledger(state_home: Path) -> Iterator[Ledger]:
    fill(state_home, sessions=30, runs_per_session=1)
    opened = Ledger(LightPath(state_home))
    yield opened
    opened.close()


def own(ledger: Ledger) -> Config:
    return replace(settings(Path("/home")), state_home=ledger.home)


def test_the_ledger_is_read_when_another_process_has_written(
    ledger: Ledger, state_home: Path
) -> None:
    swept = list[int]()

    def sweep() -> list[str]:
        swept.append(1)
        return []

    seen = Counted(ledger, own(ledger), sweep)
    assert len(seen.lines(WISH)) == live.ENDED_AT_MOST
    assert len(seen.lines(WISH)) == live.ENDED_AT_MOST
    assert (seen.reads, len(swept)) == (1, 1)
    other = Ledger(LightPath(state_home))
    run = ledgers.prepare(other, 99)
    first, *_ = seen.lines(WISH)
    other.close()

    assert seen.reads == 2
    assert first.row["last_run"] == run.run_id
    assert len(seen.lines(replace(WISH, is_all=True))) == 31
    assert seen.reads == 3


def test_events_are_read_when_their_file_has_changed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, look = list[object](), listing.doing_in

    def counted(paths: RunFiles, config: Config, times: Times | None = None) -> Doing:
        looks.append(paths)
        return look(paths, config, times)

    monkeypatch.setattr(listing, "doing_in", counted)
    run = ledgers.launch(ledger, ledgers.prepare(ledger, 99))
    paths = files_of(run.spec)
    files.make_directory(paths.directory)
    files.append(paths.events, b'{"type":"turn.started"}\n')
    seen = Counted(ledger, own(ledger), list)

    reasons = {seen.lines(WISH)[0].shown.reason for _ in range(3)}
    assert (reasons, len(looks)) == ({"thinking"}, 1)
    told = {"aggregated_output": "", "exit_code": None, "status": "in_progress"}
    begun = script.item("command_execution", 1, "started", command="make", **told)
    data = begun["data"]
    assert isinstance(data, bytes)
    files.append(paths.events, data)
    first = seen.lines(WISH)[0]

    assert (first.shown.reason, first.brief, len(looks)) == ("command", "make", 2)
    assert [(each.sign, each.text) for each in seen.events(first, 5)] == [("$", "make")]
    assert first.now is not None
    assert first.now.since is not None
