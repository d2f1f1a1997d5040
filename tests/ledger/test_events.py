"""Each end, park and hold of a prompt, and the empty queue, is an event, once."""

import json
from pathlib import Path
from typing import Any

import pytest
from support import ledgers
from support.runs import AT, SESSION, settings

from parsers.struct import replace
from runner.exports import queue_files, run_exports
from runner.ledger.database import value_of
from runner.ledger.ledger import Ledger
from runner.ledger.outbox import Notice
from runner.ledger.prompts import PromptOptions
from runner.ledger.settings import OwnSettings, read_own
from runner.model import Outcome
from runner.notify import Notifier, desktop
from runner.notify.event import event_of, summary_of
from runner.service import rebuild_queue
from runner.terms import Terms, masked_address

URL = "https://me:pass@hooks.example/services/T0/B0?token=t0k3n"
TERMS = Terms(notify="true", webhook=URL, is_on_desktop=True)
OWN = PromptOptions(settings=OwnSettings(terms=TERMS).to_json())


def events(ledger: Ledger) -> list[str]:
    """Give the events in the outbox, each as often as it has targets."""
    sql = (
        "select h.what from outbox o join history h on h.id = o.history"
        " where o.target <> 'exports' order by o.id"
    )
    return [row[0] for row in ledger._db.execute(sql).fetchall()]


def notices(ledger: Ledger) -> list[Notice]:
    """Give all notices that are not sent, in the order of their events."""
    rows = ledger._db.execute("select * from notices order by id").fetchall()
    return [value_of(Notice, row) for row in rows]


def queue(ledger: Ledger, session: int, text: str = "More.") -> int:
    return ledger.queue.add(session, text.encode(), text, AT, OWN)


def deliver(ledger: Ledger, session: int, prompt: int, number: int = 2) -> Any:  # noqa: ANN401  # a run
    run = ledgers.prepare(
        ledger,
        number,
        session=session,
        thread=SESSION,
        prompt=b"More.",
        prompt_id=prompt,
    )
    return ledgers.launch(ledger, run)


def test_a_prompt_without_targets_has_no_events(ledger: Ledger) -> None:
    ledgers.session_of(ledger)

    assert events(ledger) == []


@pytest.mark.parametrize(
    ("outcome", "what"),
    [(Outcome.SUCCEEDED, "succeeded"), (Outcome.TIMED_OUT, "failed")],
)
def test_the_end_of_a_run_is_an_event_for_each_target(
    ledger: Ledger, outcome: Outcome, what: str
) -> None:
    run = ledgers.session_of(ledger, outcome, terms=TERMS)

    assert sorted(events(ledger)) == sorted([what] * 3 + ["queue_empty"] * 3)
    found = {(e.target, e.place) for e in notices(ledger) if e.run_id == run.run_id}
    assert found == {("notify", "true"), ("webhook", URL), ("desktop", 1)}


def test_the_queue_is_empty_when_nothing_waits_and_nothing_runs(
    ledger: Ledger,
) -> None:
    run = ledgers.session_of(ledger)
    first, second = queue(ledger, run.session), queue(ledger, run.session)
    ledgers.end(ledger, deliver(ledger, run.session, first), has_begun=True)
    assert "queue_empty" not in events(ledger)

    ledgers.end(ledger, deliver(ledger, run.session, second, 3), has_begun=True)

    assert events(ledger).count("succeeded") == 6
    assert events(ledger).count("queue_empty") == 3


def test_a_canceled_prompt_has_failed(ledger: Ledger) -> None:
    run = ledgers.session_of(ledger)
    queue(ledger, run.session)

    ledger.queue.stop([run.session])

    assert sorted({*events(ledger)}) == ["failed", "queue_empty"]
    (notice, *_) = notices(ledger)
    assert notice.facts["reason"] == "stopped"
    assert notice.run_id is None


def test_a_prompt_that_is_parked_and_then_ends_has_both_events(
    ledger: Ledger,
) -> None:
    run = ledgers.session_of(ledger)
    limited = deliver(ledger, run.session, queue(ledger, run.session))
    ledgers.end(ledger, limited, Outcome.USAGE_LIMITED, has_begun=True)

    assert events(ledger) == ["parked"] * 3
    facts = notices(ledger)[0].facts
    assert facts["why"] == "limit"
    assert facts["until"]

    ledger.queue.stop([run.session])
    assert sorted({*events(ledger)}) == ["failed", "parked", "queue_empty"]


def test_a_prompt_is_held_once_until_a_person_acts(ledger: Ledger) -> None:
    run = ledgers.session_of(ledger)
    prompt = queue(ledger, run.session)
    for _ in range(2):
        ledger.queue.hold(prompt, "its directory is gone")
    assert events(ledger) == ["held"] * 3

    ledgers.execute(ledger, "update prompts set hold = null where id = ?", prompt)
    ledger.queue.hold(prompt, "it is gone again")

    assert events(ledger) == ["held"] * 6
    assert notices(ledger)[0].facts["why"] == "its directory is gone"


def test_a_prompt_that_goes_back_has_no_event(ledger: Ledger) -> None:
    run = ledgers.session_of(ledger)
    lost = deliver(ledger, run.session, queue(ledger, run.session))
    ledgers.end(ledger, lost, Outcome.NOT_STARTED, error_class="killed")

    assert events(ledger) == []


def test_an_event_says_what_a_receiver_needs(ledger: Ledger) -> None:
    run = ledgers.session_of(ledger, Outcome.FAILED, terms=TERMS)
    notice = notices(ledger)[0]

    told = event_of(notice, run)

    assert len(str(told["id"])) == 24
    assert (told["event"], told["outcome"]) == ("failed", "failed")
    assert (told["task"], told["session_id"]) == (notice.short_id, SESSION)
    assert json.loads(json.dumps(told)) == told
    title, text = summary_of(told)
    assert title.startswith("Codex: ")
    assert text.startswith("failed")


def test_neither_title_nor_text_is_an_option_or_markup() -> None:
    argv = desktop.argv_of("Codex: --help", "failed: <b>&")

    assert argv[-3:] == ["--", "Codex: --help", "failed: &lt;b&gt;&amp;"]


def test_without_a_desktop_nothing_is_warned_of(ledger: Ledger, tmp_path: Path) -> None:
    run = ledgers.session_of(ledger, terms=Terms(is_on_desktop=True))

    Notifier(ledger, settings(tmp_path), pytest.fail).tell(run.run_id)

    told = ledger.outbox.of_session(run.session)
    assert {each["error"] for each in told} == {desktop.MISSING}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "https://hooks.example/ser***"),
        ("https://hooks.example", "https://hooks.example"),
        ("http://h:8080/a", "http://h:8080/a"),
        ("http://h?key=1", "http://h***"),
        ("https://t0k3n@h/abcd", "https://h/abc***"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert masked_address(url) == shown


def test_exports_have_a_masked_address_and_no_reader_takes_it(
    ledger: Ledger,
) -> None:
    run = ledgers.session_of(ledger, terms=TERMS)

    text = run_exports.render_meta(run)

    assert b"t0k3n" not in text
    assert json.loads(text)["request"]["terms"]["webhook"] == masked_address(URL)
    again = run_exports.run_in(json.loads(text))
    assert again.spec.terms == replace(TERMS, webhook=None)
    assert ledger.runs.find(run.run_id).spec.terms == TERMS


def test_the_file_of_a_prompt_has_its_terms_without_the_address(
    ledger: Ledger,
) -> None:
    run = ledgers.session_of(ledger)
    prompt = queue(ledger, run.session)

    header = json.loads((queue_files.render(ledger, prompt) or b"").split(b"\n")[0])

    assert json.loads(header["settings"])["terms"] == {
        "notify": "true",
        "is_on_desktop": True,
    }


def test_a_prompt_that_its_run_brought_keeps_its_terms_for_the_next_run(
    ledger: Ledger,
) -> None:
    """Its supervisor is killed while it waits, so any process delivers it."""
    first = ledgers.name(ledger, ledgers.launch(ledger, ledgers.prepare(ledger)))
    waiting = ledgers.resume(ledger, first, 2, terms=TERMS, wait_for_session=True)
    ledgers.end(ledger, waiting, Outcome.NOT_STARTED, error_class="killed")

    head = ledger.queue.head(first.session)

    assert head is not None
    assert read_own(head.settings).terms == TERMS
    header = json.loads((queue_files.render(ledger, head.id) or b"").split(b"\n")[0])
    assert json.loads(header["settings"])["terms"]["notify"] == "true"


def test_a_prompt_whose_settings_are_damaged_can_be_canceled(ledger: Ledger) -> None:
    run = ledgers.session_of(ledger)
    prompt = queue(ledger, run.session)
    damage = "update prompts set settings = '{' where id = ?"
    ledgers.execute(ledger, damage, prompt)

    assert queue_files.render(ledger, prompt)
    ledger.queue.stop([run.session])

    assert ledgers.row(ledger, prompt)["state"] == "canceled"


@pytest.mark.parametrize("is_ours", [True, False])
def test_the_file_of_another_directory_names_no_program(
    ledger: Ledger, *, is_ours: bool
) -> None:
    run = ledgers.session_of(ledger)
    prompt = queue(ledger, run.session)
    queue_files.write(ledger, [prompt])
    path = queue_files.path_of(ledger.home, prompt)
    if not is_ours:
        path.write_bytes(path.read_bytes().replace(str(path.parent).encode(), b"/x"))
    ledgers.execute(ledger, "update prompts set settings = '{}'")
    ledgers.execute(ledger, "delete from prompts where id = ?", prompt)

    rebuild_queue.restore(ledger)

    own = read_own(ledgers.row(ledger, prompt)["settings"])
    assert own.terms.notify == ("true" if is_ours else None)
