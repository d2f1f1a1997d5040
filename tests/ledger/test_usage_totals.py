"""What runs have used adds up, however it is split, and unknown is never nothing."""

import re
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.many import UNTIL, accounts, figures, fill
from support.runs import AT, run

from parsers.struct import replace
from runner.cli.tasks.usage import plain
from runner.clock import iso
from runner.errors import UsageError
from runner.ledger import record
from runner.ledger.database import NAME, queries
from runner.ledger.ledger import Ledger
from runner.ledger.usage import UsageTotal, rows_of
from runner.model import Finished, Outcome, RunId, Verdict
from runner.service import usage
from runner.service.usage import GROUPS, Report

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MODELS = ("gpt-5.1-codex", "gpt-5.1-codex-mini")
TOKENS = [name for name in usage.FIGURES if name.endswith("_tokens")]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "state"


def report(home: Path, by: str, since: datetime | None = None) -> Report:
    ledger = Ledger(home)
    try:
        return usage.gather(ledger, by, since)
    finally:
        ledger.close()


def only(home: Path, by: str = "day") -> UsageTotal:
    (line,) = report(home, by).lines
    return line


def put(
    home: Path, *found: dict[str, object], launched: bool = True, begun: bool = False
) -> None:
    """Put runs that are over on record, each a day after the other."""
    ledger = Ledger(home)
    for number, told in enumerate(found):
        at = AT + timedelta(days=number)
        state = Finished(
            verdict=Verdict(outcome=Outcome.SUCCEEDED, exit_code=0),
            started_at=at if launched else None,
            ended_at=at + timedelta(seconds=5),
            accounts={"warnings": {}, "left_running": [], **told},
        )
        run_id = RunId(f"{at:%Y%m%d-%H%M%S-%f}-00000000")
        with ledger.transaction():
            one = replace(
                run(state, run_id=run_id, prepared_at=at),
                session=ledger.sessions.open(iso(at)),
                has_begun=begun,
            )
            ledger.runs.insert(one)
            ledger.usage.record_run(one)
    ledger.close()


def test_every_way_to_split_gives_the_same_total(home: Path) -> None:
    fill(home, sessions=40, runs_per_session=5)

    totals = [report(home, by).total for by in GROUPS]

    assert totals[0] is not None
    assert totals[0].runs == 200
    assert totals.count(totals[0]) == len(GROUPS)


@pytest.mark.parametrize("by", GROUPS)
def test_the_rows_add_up_to_the_total(home: Path, by: str) -> None:
    fill(home, sessions=40, runs_per_session=5)

    found = report(home, by)

    assert found.total is not None
    for name in TOKENS:
        rows = sum(getattr(line, name) or 0 for line in found.lines)
        assert rows == getattr(found.total, name)
    assert sum(x.usd or 0 for x in found.lines) == pytest.approx(found.total.usd)
    if by != "model":
        for name in ("runs", "unknown_usage", "unknown_cost"):
            rows = sum(getattr(line, name) for line in found.lines)
            assert rows == getattr(found.total, name)


def test_a_session_is_the_sum_of_its_runs(home: Path) -> None:
    made = fill(home, sessions=6, runs_per_session=8)

    lines = {line.key: line for line in report(home, "session").lines}

    for key in {each.thread or "" for each in made}:
        own = [record.to_json(each) for each in made if each.thread == key]
        tokens = [told["token_usage"] for told in own]
        known = [t["total_tokens"] for t in tokens if isinstance(t, dict)]
        assert lines[key].runs == 8
        assert lines[key].total_tokens == sum(n for n in known if n is not None)
        assert lines[key].unknown_usage == known.count(None)


def test_days_are_in_order_and_the_rest_is_dearest_first(home: Path) -> None:
    fill(home, sessions=20, runs_per_session=5)

    days = [line.key for line in report(home, "day").lines]
    sessions = [line.usd or 0.0 for line in report(home, "session").lines]

    assert days == sorted(days)
    assert sessions == sorted(sessions, reverse=True)


def test_titles_are_told_where_a_session_still_is(home: Path) -> None:
    made = fill(home, sessions=4, runs_per_session=1)
    ledger = Ledger(home)
    ledger.sessions.remove(ledger.sessions.named(made[3].thread or "")[0])
    ledger.close()

    titles = {line.key: line.title for line in report(home, "session").lines}

    assert titles == {
        made[0].thread: "Fix the tests 0",
        made[1].thread: None,
        made[2].thread: None,
        made[3].thread: None,
    }


def test_what_a_removed_session_has_used_stays_counted(home: Path) -> None:
    made = fill(home, sessions=3, runs_per_session=2)
    before = report(home, "day")
    ledger = Ledger(home)
    for each in made[::2]:
        ledger.sessions.remove(ledger.sessions.named(each.thread or "")[0])
    ledger.close()

    assert report(home, "day") == before


def test_a_run_with_two_models_is_split_and_is_one_run(home: Path) -> None:
    told = accounts({MODELS[0]: figures(1000, 0, 100), MODELS[1]: figures(500)})
    put(home, told)

    found = report(home, "model")

    by_key = {line.key: line for line in found.lines}
    assert {key: line.total_tokens for key, line in by_key.items()} == {
        MODELS[0]: 1100,
        MODELS[1]: 500,
    }
    assert by_key[MODELS[0]].usd == pytest.approx(1000 * 1.25e-6 + 100 * 10e-6)
    assert by_key[MODELS[1]].usd == pytest.approx(500 * 0.25e-6)
    assert found.total is not None
    assert (found.total.runs, found.total.total_tokens) == (1, 1600)


def test_what_sub_agents_have_used_is_counted_with_their_run() -> None:
    told = accounts({MODELS[0]: figures(10)})
    tokens = told["token_usage"]
    assert isinstance(tokens, dict)
    tokens["subagents"] = [figures(30), figures(2)]

    (row,) = rows_of(told, None, AT)

    assert (row["model"], row["total"]) == (MODELS[0], 42)


def test_a_run_with_two_models_of_unknown_price_is_unknown_once(home: Path) -> None:
    put(home, accounts({MODELS[0]: figures(10), "own-model": figures(10)}))

    line = only(home)

    assert (line.runs, line.total_tokens, line.usd) == (1, 20, None)
    assert (line.unknown_usage, line.unknown_cost) == (0, 1)


def test_calls_that_name_no_model_went_to_the_one_asked_for() -> None:
    told = accounts({MODELS[0]: figures(10), MODELS[1]: figures(30)})
    tokens = told["token_usage"]
    assert isinstance(tokens, dict)
    tokens["by_model"]["unknown"] = figures(5)

    rows = rows_of(told, MODELS[0], AT)

    found = [(row["model"], row["total"]) for row in rows]
    assert found == [(MODELS[0], 15), (MODELS[1], 30)]


@pytest.mark.parametrize("priced", [MODELS, (MODELS[0], "renamed"), ("a", "b")])
def test_the_shares_of_the_models_add_up_to_the_cost(priced: tuple[str, str]) -> None:
    used = {MODELS[0]: figures(10), MODELS[1]: figures(30)}
    parts = {name: {"input": 0.1, "price_source": None} for name in priced}
    told = {**accounts(used), "cost": {"usd": 0.2, "model": "a", "parts": parts}}

    rows = rows_of(told, None, AT)

    assert sum(row["usd"] or 0 for row in rows) == pytest.approx(0.2)
    assert all(row["usd"] is not None for row in rows)


def test_what_is_known_of_no_run_is_unknown_not_nothing(home: Path) -> None:
    put(home, accounts({}))

    found = report(home, "day")

    for line in (*found.lines, found.total):
        assert line is not None
        assert [getattr(line, name) for name in TOKENS] == [None] * len(TOKENS)
        assert line.usd is None
        assert (line.runs, line.unknown_usage, line.unknown_cost) == (1, 1, 1)


def test_a_run_that_used_nothing_is_known_to(home: Path) -> None:
    put(home, accounts({MODELS[0]: figures(0)}))

    line = only(home)

    assert (line.total_tokens, line.usd) == (0, 0.0)
    assert (line.unknown_usage, line.unknown_cost) == (0, 0)


def test_sums_are_without_what_is_unknown_and_say_so(home: Path) -> None:
    put(home, accounts({MODELS[0]: figures(1_000_000)}), accounts({}), accounts({}))

    line = only(home, "repo")

    assert (line.runs, line.total_tokens, line.usd) == (3, 1_000_000, 1.25)
    assert (line.unknown_usage, line.unknown_cost) == (2, 2)


def test_a_log_that_tells_a_total_alone_leaves_its_parts_unknown(home: Path) -> None:
    told = accounts({})
    tokens = told["token_usage"]
    assert isinstance(tokens, dict)
    put(home, {**told, "token_usage": {**tokens, "total_tokens": 77}})

    line = only(home)

    assert (line.total_tokens, line.input_tokens, line.output_tokens) == (
        77,
        None,
        None,
    )
    assert (line.unknown_usage, line.unknown_parts, line.unknown_cost) == (0, 1, 1)


def test_what_is_known_to_be_missing_makes_a_floor_in_every_table(home: Path) -> None:
    known, alone = accounts({MODELS[0]: figures(10)}), accounts({})
    used, nothing = known["token_usage"], alone["token_usage"]
    assert isinstance(used, dict)
    assert isinstance(nothing, dict)
    missing = {"interrupted_calls": 1, "compactions": 2}
    put(
        home,
        {**known, "token_usage": {**used, "uncounted": missing}},
        {**alone, "token_usage": {**nothing, "uncached_tokens": 77}},
        known,
    )

    line = only(home, "repo")
    days = report(home, "day")

    assert (line.runs, line.total_tokens, line.uncounted) == (3, 97, 2)
    assert [each.uncounted for each in days.lines] == [1, 1, 0]
    _, first, second, third, total = plain(days)
    assert "≥ 10" in first
    assert "≥ 77" in second
    assert "≥" not in third
    assert "≥ 97" in total


def test_parts_that_do_not_add_up_say_how_many_runs_they_are_without(
    home: Path,
) -> None:
    known, total_alone = accounts({MODELS[0]: figures(10)}), accounts({})
    tokens = total_alone["token_usage"]
    assert isinstance(tokens, dict)
    alone = {**total_alone, "token_usage": {**tokens, "total_tokens": 77}}
    put(home, known, alone, accounts({}))

    line = only(home, "repo")
    row = plain(report(home, "repo"))[1]

    assert (line.input_tokens, line.total_tokens) == (10, 87)
    assert (line.runs, line.unknown_parts, line.unknown_usage) == (3, 2, 1)
    assert "10 + 2 unknown" in row
    assert "87 + 1 unknown" in row


def test_a_run_that_codex_was_never_started_for_does_not_count(home: Path) -> None:
    put(home, accounts({}), launched=False)

    assert report(home, "day") == Report(by="day", since=None, lines=(), total=None)


def test_what_comes_before_is_left_out(home: Path) -> None:
    put(home, *[accounts({MODELS[0]: figures(10)})] * 3)

    second = report(home, "day", since=AT + timedelta(days=1)).total
    nothing = report(home, "day", since=AT + timedelta(days=9))

    assert second is not None
    assert second.runs == 2
    assert (nothing.lines, nothing.total) == ((), None)


def test_records_of_a_filled_ledger_read_back(home: Path) -> None:
    made = fill(home, sessions=3, runs_per_session=4, running=1)
    ledger = Ledger(home)

    found = [ledger.runs.find(each.run_id) for each in made]
    unfinished = ledger.runs.unfinished()
    ledger.close()

    assert [each.run_id for each in found] == [each.run_id for each in made]
    assert [each.run_id for each in unfinished] == [made[-1].run_id]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("12h", NOW - timedelta(hours=12)),
        (" 30d ", NOW - timedelta(days=30)),
        ("2w", NOW - timedelta(weeks=2)),
        ("99999w", datetime(1970, 1, 1, tzinfo=UTC)),
        ("99999999d", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9" * 30 + "w", datetime(1970, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1).astimezone()),
        ("2026-11-01T08:00:00Z", datetime(2026, 11, 1, 8, tzinfo=UTC)),
        ("2026-11-01t08:00:00.5+02:00", datetime(2026, 11, 1, 6, 0, 0, 500000, UTC)),
    ],
)
def test_since_is_a_date_an_instant_or_a_duration(text: str, meant: datetime) -> None:
    assert usage.instant(text, NOW) == meant


@pytest.mark.parametrize(
    "text",
    [
        *("", "d", "-3d", "3 d", "yesterday", "2026-11", "2026-02-30", "٣d"),
        *("2026-11-01T08:00:00", "2026-11-01T25:00:00Z", "20261101"),
    ],
)
def test_anything_else_is_refused_with_what_can_be_given(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        usage.instant(text, NOW)

    assert refused.value.message == (
        f"--since {text!r} is neither a date, an instant nor an age"
    )
    examples = re.findall(r"--since (\S+)\b", refused.value.hint)
    assert examples
    assert all(usage.instant(each, NOW) < NOW for each in examples)


def test_a_run_is_counted_whose_supervisor_was_killed_before_it_noted_the_launch(
    home: Path,
) -> None:
    put(home, accounts({MODELS[0]: figures(100)}), launched=False, begun=True)

    assert only(home).total_tokens == figures(100)["total_tokens"]


# The same question to the rows of the runs, without the sums.
FROM_ROWS = """
select case :by when 'day' then date(prepared_at, 'localtime') when 'model' then model
    when 'repo' then cast(repo as text) else session_key end,
    count(distinct run_id), sum(input), sum(total), round(sum(usd), 10),
    count(distinct iif(total is null, run_id, null)),
    count(distinct iif(input is null, run_id, null)),
    count(distinct iif(usd is null, run_id, null))
from usage where prepared_at >= :since group by 1 order by 1"""


def from_rows(ledger: Ledger, by: str, since: datetime | None) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(ledger.path)) as database:
        told = {"by": by, "since": iso(since) if since else ""}
        return database.execute(FROM_ROWS, told).fetchall()


def from_sums(ledger: Ledger, by: str, since: datetime | None) -> list[tuple[Any, ...]]:
    return [
        (
            *(each.key, each.runs, each.input_tokens, each.total_tokens),
            *(round(each.usd or 0, 10), each.unknown_usage, each.unknown_parts),
            each.unknown_cost,
        )
        for each in ledger.usage.totals(by, since)
    ]


@pytest.mark.parametrize("by", GROUPS)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_the_sums_are_those_of_the_runs_from_any_instant_on(
    home: Path, by: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    made = fill(home, sessions=40, runs_per_session=5)
    middle = made[100].spec.prepared_at
    ledger = Ledger(home)
    instants = (None, middle, middle + timedelta(milliseconds=1), UNTIL)

    try:
        for since in instants:
            found = from_sums(ledger, by, since)
            wanted = from_rows(ledger, by, since)
            zeroed = [tuple(0 if x is None else x for x in row) for row in wanted]
            assert found == zeroed
        assert from_rows(ledger, by, middle) != from_rows(ledger, by, instants[2])
    finally:
        ledger.close()
        monkeypatch.undo()
        time.tzset()


def test_the_sums_stay_right_when_runs_are_counted_again_and_removed(
    home: Path,
) -> None:
    made = fill(home, sessions=10, runs_per_session=4)
    ledger = Ledger(home)
    with ledger.transaction():
        for each, told in zip(made, (*made[1:], made[0]), strict=True):
            assert isinstance(each.state, Finished)
            state = replace(each.state, accounts=told.accounts)
            ledger.usage.record_run(replace(each, state=state))
        for each in made[::3]:
            ledger.usage.remove(each.run_id)
    ledger.sessions.remove(ledger.sessions.named(made[0].thread or "")[0])

    assert ledger.value("wrong_sums") == 0
    with ledger.transaction():
        ledger.change("sum_usage", run_id=made[1].run_id, sign=1)
    assert ledger.value("wrong_sums") == 4
    with ledger.transaction():
        ledger.usage.sum_all()
    assert ledger.value("wrong_sums") == 0
    ledger.close()


def test_the_usage_of_a_full_ledger_is_not_read_row_by_row(home: Path) -> None:
    Ledger(home).close()
    told = {"by": "day", "since": "", "quarter": -1, "until": -1}
    query = "explain query plan " + queries()["usage_totals"]

    with closing(sqlite3.connect(home / NAME)) as database:
        plan = [row[3] for row in database.execute(query, told)]

    of_usage = [step for step in plan if " u" in step]
    assert "SEARCH usage_sums USING PRIMARY KEY (grouped=?)" in of_usage
    range_ = "SEARCH u USING INDEX usage_by_quarter (quarter>? AND quarter<?)"
    assert range_ in of_usage
    assert not [step for step in of_usage if step.startswith("SCAN u ")]
