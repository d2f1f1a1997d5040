"""A task is named by a short id, a thread id, their beginning, a run or a title."""

from pathlib import Path

import pytest
from support import ledgers

from runner import config
from runner.cli.context import Context
from runner.errors import NoSuchTaskError, UsageError
from runner.ledger.ledger import Ledger
from runner.model import RunId
from runner.service import lookup

FIRST = "01a1f000-0000-7000-8000-000000000001"
SECOND = "01a1f000-1111-7000-8000-000000000002"
RUNS = {
    FIRST: "20261120-101201-512345-9f3a1c07",
    SECOND: "20261120-101202-512345-4c81d2b6",
}
TITLES = {FIRST: "fix the tests", SECOND: "docs"}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "state")
    for thread, run_id in RUNS.items():
        ledgers.session_of(
            made, thread=thread, run_id=RunId(run_id), title=TITLES[thread]
        )
    return made


def short_id(ledger: Ledger, thread: str = FIRST) -> str:
    return lookup.find(thread, ledger).short_id


@pytest.mark.parametrize(
    "text",
    [FIRST, FIRST.upper(), f" {FIRST} ", FIRST[:11], RUNS[FIRST], TITLES[FIRST]],
)
def test_every_way_of_naming_a_task_finds_it(ledger: Ledger, text: str) -> None:
    assert lookup.find(text, ledger).thread == FIRST


@pytest.mark.parametrize("digits", [4, 5, 7, 8])
def test_a_short_id_and_its_beginning_find_a_task(ledger: Ledger, digits: int) -> None:
    short = short_id(ledger)

    assert lookup.find(short[:digits], ledger).thread == FIRST
    assert lookup.find(short[:digits].upper(), ledger).thread == FIRST


def test_three_digits_of_a_short_id_are_too_few(ledger: Ledger) -> None:
    with pytest.raises(NoSuchTaskError):
        lookup.find(short_id(ledger)[:3], ledger)


def test_an_exact_short_id_wins_over_a_title_and_a_beginning(ledger: Ledger) -> None:
    short = short_id(ledger)
    retitle(ledger, SECOND, short)

    assert lookup.find(short, ledger).thread == FIRST


@pytest.mark.parametrize("text", ["fix\tthe  tests", "fix\nthe tests\n"])
def test_a_title_is_found_as_it_was_given_before_it_became_one_line(
    ledger: Ledger, text: str
) -> None:
    assert lookup.find(text, ledger).thread == FIRST


def test_a_title_of_another_tool_keeps_its_spaces(ledger: Ledger) -> None:
    retitle(ledger, FIRST, "two  spaces")

    assert lookup.find("two  spaces", ledger).thread == FIRST


def test_what_fits_several_lists_them(ledger: Ledger) -> None:
    with pytest.raises(UsageError) as caught:
        lookup.find("01a1f000", ledger)

    assert FIRST in str(caught.value)
    assert SECOND in str(caught.value)
    assert TITLES[SECOND] in str(caught.value)


def test_a_title_that_two_tasks_have_is_ambiguous(ledger: Ledger) -> None:
    retitle(ledger, SECOND, TITLES[FIRST])

    with pytest.raises(UsageError):
        lookup.find(TITLES[FIRST], ledger)


@pytest.mark.parametrize(
    "text",
    [
        FIRST[:5],
        "",
        "..",
        "../../etc",
        f"{FIRST}/..",
        "01a1f0_",
        "01a1f%",
        "fix",
        "\udcff",
        "0" * 6,
        RUNS[FIRST][:-1] + "0",
    ],
)
def test_anything_else_names_no_task(ledger: Ledger, text: str) -> None:
    with pytest.raises(NoSuchTaskError):
        lookup.find(text, ledger)


def test_a_run_whose_thread_has_no_name_yet_is_found_by_its_own_id(
    ledger: Ledger,
) -> None:
    nameless = ledgers.prepare(ledger, 9)

    assert lookup.find(nameless.run_id, ledger).key == nameless.session
    assert lookup.find(nameless.run_id, ledger).name == nameless.run_id


def test_several_are_found_once_each_in_their_order(ledger: Ledger) -> None:
    context = Context(config.load({"CODEX_RUNNER_HOME": str(ledger.home)}))

    found = context.found([SECOND, FIRST, TITLES[SECOND]])

    assert [each.session.thread for each in found] == [SECOND, FIRST]


def retitle(ledger: Ledger, thread: str, title: str) -> None:
    with ledger.transaction():
        key = lookup.find(thread, ledger).key
        ledger.change("restore_title", session=key, title=title, exports=None)
