"""The transcript of a session: what is there, and what comes while it is followed."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ledgers
from support.runs import SESSION, settings

from parsers.accounting.tokens import Usage
from parsers.exec_events.transcript import (
    coloured,
    render,
    render_end,
    render_prompt,
    render_stderr,
    render_tokens,
)
from parsers.text import strip
from runner import clock, files
from runner.arrivals import path_of
from runner.errors import FileFault, UsageError
from runner.ledger.ledger import Ledger
from runner.ledger.sessions import Session
from runner.locks import take
from runner.model import Outcome, Run
from runner.run_files import files_of, owner_of
from runner.service import log
from runner.service.archive import archive
from runner.service.log import (
    Lines,
    Note,
    Nothing,
    Piece,
    Prompt,
    RunEnded,
    Wish,
)
from runner.service.lookup import get
from runner.tail import last_lines

IDS = [f"20261120-10120{n}-000000-0000000{n}" for n in range(4)]


class Context:
    """A state directory in which a session's runs are written by hand."""

    def __init__(self, place: Path) -> None:
        self.settings = settings(place, CODEX_RUNNER_HOME=str(place / "state"))
        self.home = self.settings.state_home
        self.ledger = Ledger(self.home)
        self.locks: dict[str, int] = {}

    def run(
        self,
        number: int,
        outcome: Outcome | None = Outcome.SUCCEEDED,
        events: bytes = b"",
        stderr: bytes = b"",
        error: str | None = None,
    ) -> Run:
        """Put a run on record; one without an outcome is alive."""
        prepared = ledgers.prepare(
            self.ledger,
            number,
            run_id=IDS[number],
            thread=SESSION if number else None,
            session=self.ledger.sessions.of_thread(SESSION),
        )
        paths = files_of(prepared.spec)
        paths.directory.mkdir(parents=True, exist_ok=True)
        paths.prompt.write_text(f"prompt {number}")
        paths.events.write_bytes(events)
        paths.stderr.write_bytes(stderr)
        self.locks[prepared.run_id] = take(owner_of(self.home, prepared.run_id)) or -1
        launched = ledgers.launch(self.ledger, prepared, is_alive=True)
        run = ledgers.name(self.ledger, launched)
        return run if outcome is None else self.end(run, outcome, error)

    def end(
        self,
        run: Run,
        outcome: Outcome = Outcome.SUCCEEDED,
        error: str | None = None,
    ) -> Run:
        ended = ledgers.end(self.ledger, run, outcome, error=error)
        self.ledger.runs.note_exported(run.run_id)
        os.close(self.locks.pop(run.run_id))
        return ended

    def close(self) -> None:
        for held in self.locks.values():
            os.close(held)
        self.ledger.close()

    @property
    def session(self) -> Session:
        (found,) = self.ledger.sessions.named(SESSION)
        return found

    def pieces(self, **wish: Any) -> Iterator[Piece]:  # noqa: ANN401  # any field
        task = get(self.session.key, self.ledger)
        return log.read(task, Wish(**wish), self.ledger, self.settings)

    def said(self, **wish: Any) -> list[str]:  # noqa: ANN401  # any field of a wish
        return said(self.pieces(**wish))

    def write(self, number: int, data: bytes) -> None:
        paths = files_of(self.ledger.runs.find(IDS[number]).spec)
        files.append(paths.events, data)


def said(pieces: Iterator[Piece]) -> list[str]:
    """Write pieces as words."""
    found: list[str] = []
    for piece in pieces:
        match piece:
            case Prompt(text=text):
                found.append(f"> {text.decode()}")
            case Lines(lines=lines, is_stderr=is_stderr):
                mark = "! " if is_stderr else ""
                found += [mark + line.decode() for line in lines]
            case RunEnded(run=run) if run.verdict and not run.has_succeeded:
                number = IDS.index(run.run_id)
                found.append(f"{number} {run.outcome} {run.verdict.error}")
            case RunEnded():
                pass
            case Note(text=text):
                found.append(f"# {text}")
            case Nothing():
                pass
    return found


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Context]:
    found = Context(tmp_path)
    yield found
    found.close()


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let these things happen while the follower sleeps, one after the other."""
    pending: list[Callable[[], object]] = []
    idle = iter(range(5_000))

    def sleep(_: float) -> None:
        next(idle)
        if pending:
            pending.pop(0)()

    monkeypatch.setattr(clock, "sleep", sleep)
    return lambda *things: pending.extend(things)


def test_every_run_has_its_prompt_its_events_its_errors_and_its_end(
    house: Context,
) -> None:
    house.run(0, events=b"one\ntwo\n", stderr=b"oh\n")
    house.run(1, Outcome.FAILED, events=b"three\n", error="no luck")
    house.run(2, Outcome.STOPPED)

    assert house.said() == [
        *("> prompt 0", "one", "two", "! oh"),
        *("> prompt 1", "three", "1 failed no luck"),
        *("> prompt 2", "2 stopped None"),
    ]


@pytest.mark.parametrize("count", range(12))
def test_the_last_lines_are_those_of_the_whole_log(house: Context, count: int) -> None:
    house.run(0, events=b"one\n\ntwo", stderr=b"oh\nah")
    house.run(1, events=b"")
    house.run(2, events=b"three\nfour\n")
    whole = house.said()

    assert len(whole) == 10
    assert house.said(last=count) == whole[len(whole) - min(count, 10) :]


def test_nothing_of_a_run_before_the_last_lines_is_told(house: Context) -> None:
    house.run(0, Outcome.LOST, error="gone")
    house.run(1, Outcome.FAILED, events=b"one\ntwo\n", error="no luck")

    assert house.said(last=1) == ["two", "1 failed no luck"]
    assert house.said(last=0) == []


@given(
    data=st.lists(st.sampled_from([b"\n", b"a", b"\r", b"bc"])).map(b"".join),
    count=st.integers(0, 30),
    rest=st.booleans(),
)
def test_last_lines_are_found_backwards(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, count: int, *, rest: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(data)
    *lines, last = data.split(b"\n")
    whole = [line + b"\n" for line in lines] + ([last] if rest and last else [])
    wanted = whole[max(len(whole) - count, 0) :]

    offset, found = last_lines(path, count, with_rest=rest)

    assert found == len(wanted)
    assert data[offset : len(b"".join(whole))] == b"".join(wanted)


def test_an_unfinished_line_of_a_living_run_is_none_yet(house: Context) -> None:
    run = house.run(0, None, events=b"one\ntw")

    assert house.said() == ["> prompt 0", "one"]
    assert house.said(last=1) == ["one"]
    house.write(0, b"o")
    house.end(run)
    assert house.said(last=1) == ["two"]


def test_one_run_alone(house: Context) -> None:
    house.run(0, events=b"one\n")
    house.run(1, events=b"two\n")

    assert house.said(run_id=IDS[0]) == ["> prompt 0", "one"]
    assert house.said(run_id=IDS[0], last=1) == ["one"]
    with pytest.raises(UsageError, match="has no run '20270101'"):
        house.said(run_id="20270101")


def test_missing_files_are_named_and_the_rest_is_shown(house: Context) -> None:
    paths = files_of(house.run(0, events=b"one\n", stderr=b"oh\n").spec)
    house.run(1, events=b"two\n")
    paths.prompt.unlink()
    paths.events.unlink()
    gone = "No such file or directory"

    assert house.said() == [
        *(f"# cannot read {paths.prompt}: {gone}", "> Do it."),
        *(f"# cannot read {paths.events}: {gone}", "! oh"),
        *("> prompt 1", "two"),
    ]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_named_and_the_rest_is_shown(
    house: Context, make: Callable[[Path], None]
) -> None:
    paths = files_of(house.run(0, stderr=b"oh\n").spec)
    for path in (paths.prompt, paths.events):
        path.unlink()
        make(path)
    what = "it is not a regular file"

    assert house.said() == [
        *(f"# cannot read {paths.prompt}: {what}", "> Do it."),
        *(f"# cannot read {paths.events}: {what}", "! oh"),
    ]


def test_a_file_that_breaks_off_is_a_fault(
    house: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.run(0, events=b"one\n")

    def broken(*_: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "read", broken)

    with pytest.raises(FileFault, match="Input/output error"):
        house.said()


def test_following_goes_through_the_runs_to_the_end_of_the_work(
    house: Context, meanwhile: Callable[..., None]
) -> None:
    first = house.run(0, None, events=b"one\n")

    def next_run() -> None:
        house.end(first)
        house.write(0, b"last words\n")
        second = house.run(1, None, events=b"three\n")
        meanwhile(
            lambda: house.write(1, b"four\n"),
            lambda: house.end(second, Outcome.FAILED, "no luck"),
        )

    meanwhile(lambda: house.write(0, b"tw"), lambda: house.write(0, b"o\n"), next_run)

    assert house.said(follows=True) == [
        *("> prompt 0", "one", "two", "last words"),
        *("> prompt 1", "three", "four", "1 failed no luck"),
        f"# Task {SESSION} is DIED; stopping log follow.",
    ]


def test_what_only_grows_is_shown_in_an_order_that_stays(house: Context) -> None:
    first = house.run(0, None, events=b"one\ntw", stderr=b"oh\n")
    seen = [house.said(only_grows=True)]
    house.write(0, b"o\nthree")
    seen.append(house.said(only_grows=True))
    house.end(first, Outcome.FAILED, "no luck")
    seen.append(house.said(only_grows=True))
    second = house.run(1, None, stderr=b"ah\n")
    seen.append(house.said(only_grows=True))
    house.write(1, b"four\n")
    seen.append(house.said(only_grows=True))
    house.end(second)
    seen.append(house.said(only_grows=True))

    assert seen[0] == ["> prompt 0", "one"]
    assert seen[-1] == house.said()
    for before, after in pairwise(seen):
        assert after[: len(before)] == before
        assert len(after) > len(before)


def test_what_only_grows_is_followed_in_the_same_order(
    house: Context, meanwhile: Callable[..., None]
) -> None:
    run = house.run(0, None, events=b"one\n", stderr=b"oh\n")
    meanwhile(lambda: house.write(0, b"two\n"), lambda: house.end(run))

    followed = house.said(only_grows=True, follows=True)

    assert followed[:-1] == house.said(only_grows=True)
    assert followed[:-1] == ["> prompt 0", "one", "two", "! oh"]


def times_of(pieces: Iterator[Piece]) -> dict[str, float | None]:
    """Give the time of each line, in seconds."""
    found: dict[str, float | None] = {}
    for piece in pieces:
        if isinstance(piece, Lines):
            for line, at in zip(piece.lines, piece.times, strict=True):
                found[line.decode()] = None if at is None else at.seconds
    return found


def record(house: Context, number: int, text: str) -> None:
    path = path_of(house.home, IDS[number])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_lines_have_the_times_that_their_supervisor_has_recorded(
    house: Context,
) -> None:
    house.run(0, events=b"one\ntwo\nthree", stderr=b"oh\n")
    house.run(1, events=b"four\n")
    record(house, 0, "100.5 4 0\n107.5 8 3\n")

    assert times_of(house.pieces(has_times=True)) == {
        "one": 100.5,
        "two": 107.5,
        "three": None,
        "oh": 107.5,
        "four": None,
    }
    assert times_of(house.pieces(has_times=True, last=3)) == {
        "oh": 107.5,
        "four": None,
    }


def test_prompts_have_the_time_of_their_run(house: Context) -> None:
    run = house.run(0)

    (prompt,) = (each for each in house.pieces() if isinstance(each, Prompt))

    assert prompt.at == run.started_at


def test_a_line_that_comes_while_it_is_followed_has_the_time_at_which_it_came(
    house: Context,
    meanwhile: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = house.run(0, None, events=b"before\n")
    now = clock.now()

    def pass_time(seconds: float, data: bytes) -> None:
        nonlocal now
        now = clock.after(now, seconds)
        monkeypatch.setattr(clock, "now", lambda: now)
        house.write(0, data)

    meanwhile(
        lambda: pass_time(1, b"at once\n"),
        lambda: pass_time(60, b"after a suspension of the follower\n"),
        lambda: pass_time(1, b"at once again\n"),
        lambda: house.end(run),
    )

    began = now.timestamp()
    assert times_of(house.pieces(has_times=True, follows=True)) == {
        "before": None,
        "at once": pytest.approx(began + 1),
        "after a suspension of the follower": None,
        "at once again": pytest.approx(began + 62),
    }


def test_following_shows_only_what_comes_after_the_last_lines(
    house: Context, meanwhile: Callable[..., None]
) -> None:
    house.run(0, events=b"zero\n")
    run = house.run(1, None, events=b"one\ntw")
    meanwhile(lambda: house.write(1, b"o\n"), lambda: house.end(run))

    end = f"# Task {SESSION} is STOPPED; stopping log follow."
    assert house.said(follows=True, last=0) == ["two", end]


def test_a_session_that_is_archived_while_it_is_followed_is_shown_to_its_end(
    house: Context, meanwhile: Callable[..., None]
) -> None:
    run = house.run(0, None, events=b"one\n")

    def put_away() -> None:
        house.write(0, b"two\n")
        house.end(run)
        archive(house.session, house.ledger)

    meanwhile(put_away)

    end = f"# Task {SESSION} is ARCHIVED; stopping log follow."
    assert house.said(follows=True) == ["> prompt 0", "one", "two", end]
    assert house.said() == ["> prompt 0", "one", "two"]


def test_a_session_that_is_archived_before_its_files_are_opened_is_shown(
    house: Context,
) -> None:
    house.run(0, events=b"one\n")
    pieces = house.pieces()

    archive(house.session, house.ledger)

    assert said(pieces) == ["> prompt 0", "one"]


def test_following_one_run_ends_with_it(
    house: Context, meanwhile: Callable[..., None]
) -> None:
    run = house.run(0, None)
    meanwhile(lambda: (house.end(run), house.run(1, None)))

    end = f"# Run {IDS[0]} has ended; stopping log follow."
    assert house.said(follows=True, run_id=IDS[0]) == ["> prompt 0", end]


def test_a_session_that_is_removed_is_followed_no_longer(
    house: Context, meanwhile: Callable[..., None]
) -> None:
    run = house.run(0, None)

    def remove() -> None:
        house.write(0, b"one\n")
        house.end(run)
        house.ledger.sessions.remove(house.session)

    meanwhile(remove)

    end = "# Task state unavailable; stopping log follow."
    assert house.said(follows=True) == ["> prompt 0", "one", end]


def test_following_for_ever_goes_on_after_the_end(
    house: Context, meanwhile: Callable[..., None]
) -> None:
    house.run(0, events=b"one\n")
    meanwhile(
        *[lambda: None] * 200,
        lambda: house.run(1, events=b"two\n"),
        *[lambda: None] * 200,
    )
    pieces = house.pieces(follows=True, is_endless=True)
    found: list[str] = []
    while len(found) < 4:
        found += said(iter([next(pieces)]))

    assert found == ["> prompt 0", "one", "> prompt 1", "two"]
    assert isinstance(next(pieces), RunEnded)
    assert [next(pieces) for _ in range(100)] == [Nothing()] * 100


def event(kind: str, **fields: object) -> str:
    return render(json.dumps({"type": kind, **fields}).encode())


def item(kind: str, **fields: object) -> str:
    return event("item.completed", item={"id": "item_1", "type": kind, **fields})


ADDED = [{"path": "a", "kind": "add"}]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (render_prompt(b"hello"), "\x1b[1;36muser"),
        (render_stderr(b"WARN"), "\x1b[2m[stderr] WARN"),
        (render_end(IDS[0], "lost", "gone"), f"\x1b[31mrun {IDS[0]} lost: gone"),
        (render_end(IDS[0], "stopped", None), f"\x1b[31mrun {IDS[0]} stopped\x1b"),
        (item("file_change", status="completed", changes=ADDED), "\x1b[32m  A a"),
        (item("file_change", status="failed", changes=[]), "\x1b[31mfile update (f"),
        (item("reasoning", text="hm"), "\x1b[2m  hm"),
        (event("thread.started", thread_id=SESSION), "\x1b[2msession id"),
        (event("turn.failed", error={"message": "one\ntwo"}), "\x1b[31m  two"),
        (event("error", message="Reconnecting... 1/5"), "\x1b[33mnote: Reconnecting"),
        (render_tokens(Usage(input_tokens=5, output_tokens=7)), "2mT"),
        (render_tokens(None, Usage(input_tokens=5)), "2mthread total"),
    ],
)
def test_colours_add_nothing_but_themselves(text: str, part: str) -> None:
    shown = coloured(text)

    assert part in shown
    assert strip(shown) == text


@given(st.binary())
def test_what_was_said_brings_no_control_sequence_of_its_own(said: bytes) -> None:
    for text in (
        render_prompt(said),
        render_stderr(said),
        render_end("r", "failed", said.decode("utf-8", "surrogateescape")),
    ):
        assert "\x1b" not in text
        assert not [c for c in text if c < " " and c not in "\n\t"]
        assert not [c for c in text if "\x7f" <= c < "\xa0"]
        text.encode()
        assert strip(coloured(text)) == text


def test_following_many_runs_does_not_read_them_all_for_each(
    house: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        house.run(number)
    looks: list[int] = []
    ids = house.ledger.runs.ids

    def counted(session: int) -> list[str]:
        looks.append(session)
        return ids(session)

    pieces = house.pieces(follows=True)
    monkeypatch.setattr(house.ledger.runs, "ids", counted)

    assert [each for each in said(pieces) if each.startswith(">")] == [
        f"> prompt {number}" for number in range(4)
    ]
    assert len(looks) < 4
