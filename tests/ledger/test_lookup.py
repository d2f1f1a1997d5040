"""A task is named by its id, its beginning, a run on it or its title."""

from pathlib import Path

import pytest
from support.runs import run

from parsers.struct import replace
from runner.errors import NoSuchTaskError, UsageError
from runner.ledger.runs import Ledger
from runner.model import RunId, SessionId
from runner.service import lookup

FIRST = "01a1f000-0000-7000-8000-000000000001"
SECOND = "01a1f000-1111-7000-8000-000000000002"
RUNS = {
    FIRST: "20261120-101201-512345-9f3a1c07",
    SECOND: "20261120-101202-512345-9f3a1c08",
}
TITLES = {FIRST: "fix the tests", SECOND: "docs"}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "state")
    (tmp_path / "logs").mkdir()
    for session, run_id in RUNS.items():
        one = run(run_id=RunId(run_id), log_dir=str(tmp_path / "logs"))
        made.prepare(one, title=TITLES[session])
        made.store(one, replace(one, session_id=SessionId(session)))
    return made


@pytest.mark.parametrize(
    "text",
    [FIRST, FIRST.upper(), f" {FIRST} ", FIRST[:11], RUNS[FIRST], TITLES[FIRST]],
)
def test_every_way_of_naming_a_task_finds_it(ledger: Ledger, text: str) -> None:
    assert lookup.find(text, ledger).session_id == FIRST


@pytest.mark.parametrize("text", ["fix\tthe  tests", "fix\nthe tests\n"])
def test_a_title_is_found_as_it_was_given_before_it_became_one_line(
    ledger: Ledger, text: str
) -> None:
    assert lookup.find(text, ledger).session_id == FIRST


def test_a_title_of_another_tool_keeps_its_spaces(ledger: Ledger) -> None:
    ledger.sessions.set_title(FIRST, "two  spaces")

    assert lookup.find("two  spaces", ledger).session_id == FIRST


def test_what_fits_several_lists_them(ledger: Ledger) -> None:
    with pytest.raises(UsageError) as caught:
        lookup.find("01a1f000", ledger)

    assert FIRST in str(caught.value)
    assert SECOND in str(caught.value)
    assert TITLES[SECOND] in str(caught.value)


def test_a_title_that_two_tasks_have_is_ambiguous(ledger: Ledger) -> None:
    ledger.sessions.set_title(SECOND, TITLES[FIRST])

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
    ledger: Ledger, tmp_path: Path
) -> None:
    nameless = RunId("20261120-101203-512345-9f3a1c09")
    ledger.prepare(run(run_id=nameless, log_dir=str(tmp_path / "logs")))

    assert lookup.find(nameless, ledger).session_id == nameless


def test_several_are_found_once_each_in_their_order(ledger: Ledger) -> None:
    found = lookup.find_all([SECOND, FIRST, TITLES[SECOND]], ledger)

    assert [row.session_id for row in found] == [SECOND, FIRST]
