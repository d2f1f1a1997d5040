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
from runner import clock, files
from runner.arrivals import Times, path_of
from runner.config import Config
from runner.ledger.ledger import Ledger
from runner.model import TaskState
from runner.run_files import RunFiles, files_of
from runner.service import listing, live
from runner.service.live import Live, Wish
from runner.service.shown import STATES
from runner.tail import START_STALL, Doing

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


def test_how_long_it_reconnects_is_counted_from_the_first_message(
    ledger: Ledger,
) -> None:
    run = ledgers.launch(ledger, ledgers.prepare(ledger, 99))
    paths = files_of(run.spec)
    times = path_of(own(ledger).state_home, run.run_id)
    for place in (paths.directory, times.parent):
        files.make_directory(place)
    lost = b'{"type":"error","message":"Reconnecting... 1/5 (x)"}\n'
    began = clock.now().timestamp() - 552
    files.append(paths.events, b'{"type":"turn.started"}\n' + lost)
    ends = [24, 24 + len(lost), 24 + 2 * len(lost)]
    seen = Counted(ledger, own(ledger), list)
    assert seen.lines(WISH)[0].shown.reason == "reconnecting"

    files.append(paths.events, lost)
    for at, end in zip((began - 9, began, began + 500), ends, strict=True):
        files.append(times, f"{at:.3f} {end} 0\n".encode())

    line = seen.lines(WISH)[0]
    assert line.now is not None
    assert line.now.since == pytest.approx(began, abs=0.01)
    told = listing.report_of(
        ledger.sessions.get(line.row["key"]), line.now, ledger, 3600
    )["now"]
    assert clock.parse_iso(told["since"]).timestamp() == pytest.approx(began, abs=1)
    ends_at = clock.parse_iso(told["stalls_at"]).timestamp()
    assert ends_at == pytest.approx(began + START_STALL, abs=1)
