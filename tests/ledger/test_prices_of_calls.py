"""Each call has the price of its model, tier and day, in files and in the ledger."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.runs import settings

from parsers.accounting import price_table
from parsers.accounting.cost import RunCost
from parsers.accounting.prices import PriceUnknownError
from parsers.run_summary import one_line
from parsers.struct import replace
from runner import files
from runner.accounting import prices
from runner.cli import codex_tasks
from runner.cli.tasks.usage import plain
from runner.config import Config
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.model import Finished
from runner.run_files import files_of
from runner.service import usage
from runner.service.importing import take_in
from runner.service.repricing import reprice
from runner.service.summarize import summarize_log
from runner.service.verify import verify

DATA = Path(__file__).parents[1] / "unit/parsers/data"
THREAD = "01a1f000-0000-7000-8000-000000000001"
TURN = "01a1f000-0001-7000-8000-000000000001"
DAY = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
MTOK = 1_000_000
# Dollars for a million tokens of input.
CHEAP: dict[str, object] = {"input": 1, "output": 1}
DEAR: dict[str, object] = {"input": 5, "output": 1}
OLD: dict[str, object] = {"input": 10, "output": 1}
NEW: dict[str, object] = {"input": 8, "output": 1, "from": "2026-11-21"}


class Thread:
    """A thread's rollout file, written call by call."""

    def __init__(self, home: Path) -> None:
        directory = home / "sessions/2026/11/20"
        directory.mkdir(parents=True)
        self.path = directory / f"rollout-2026-11-20T10-00-00-{THREAD}.jsonl"
        self._at = DAY
        self._calls = self._total = 0
        meta = {"id": THREAD, "cwd": "/srv/app", "originator": "codex_exec"}
        self._write("session_meta", **meta)
        turn = {"type": "task_started", "turn_id": TURN}
        self._write("event_msg", **turn)
        said = {"type": "user_message", "message": "Do it."}
        self._write("event_msg", **said)

    def asks(self, model: str, *tiers: str | None) -> "Thread":
        """Choose the model; Codex may name its service tier."""
        self._write("turn_context", turn_id=TURN, model=model)
        for tier in tiers:
            named = {"model": model, "service_tier": tier}
            kind = "thread_settings_applied"
            self._write("event_msg", type=kind, thread_settings=named)
        return self

    def calls(self, tokens: int = MTOK, *, after: timedelta = timedelta(0)) -> "Thread":
        self._at += after
        self._calls += 1
        used = {"input_tokens": tokens, "output_tokens": 0}
        names = {"turn_id": TURN, "response_id": f"resp_{self._calls}"}
        self._total += tokens
        whole = {**used, "input_tokens": self._total}
        record = {"thread_id": THREAD, "usage": used, "thread_token_usage": whole}
        self._write("token_usage_record", **names, **record)
        info = {"total_token_usage": whole, "last_token_usage": used}
        self._write("event_msg", type="token_count", info=info)
        return self

    def ends(self) -> Path:
        self._write("event_msg", type="task_complete", turn_id=TURN)
        return self.path

    def _write(self, kind: str, **payload: object) -> None:
        at = f"{self._at:%Y-%m-%dT%H:%M:%S}.000Z"
        record = {"timestamp": at, "type": kind, "payload": payload}
        with self.path.open("a") as file:
            file.write(json.dumps(record, separators=(",", ":")) + "\n")


@pytest.fixture
def ours(tmp_path: Path) -> Config:
    return settings(
        tmp_path,
        CODEX_RUNNER_HOME=str(tmp_path / "state"),
        CODEX_HOME=str(tmp_path / "codex"),
    )


@pytest.fixture
def thread(ours: Config) -> Thread:
    return Thread(ours.codex_home)


def own_prices(ours: Config, **models: list[dict[str, object]]) -> None:
    """Write prices of one's own, each model's in their order."""
    files.make_directory(ours.state_home)
    lines = [
        f"[[models.{name}]]\n"
        + "\n".join(f"{key} = {json.dumps(value)}" for key, value in each.items())
        for name, entries in models.items()
        for each in entries
    ]
    (ours.state_home / prices.OWN).write_text("\n".join(lines))


def cost(log: Path, ours: Config) -> dict[str, Any]:
    found = summarize_log(log, None, ours)["cost"]
    assert isinstance(found, dict)
    return found


def imported(ours: Config) -> float | None:
    """Import the Codex home; return what the ledger says that it cost."""
    ledger = Ledger(ours.state_home)
    list(take_in([str(ours.codex_home)], ledger, ours))
    (line,) = usage.gather(ledger, "repo").lines
    ledger.close()
    return line.usd


def test_a_rollout_of_july_has_the_prices_of_july(ours: Config) -> None:
    found = cost(DATA / "rollout-july-price.jsonl", ours)

    assert found["usd"] == 0.016
    assert found["price_source"]["date"] == "2026-07-15"


def test_each_call_has_the_price_of_its_own_model(ours: Config, thread: Thread) -> None:
    own_prices(ours, cheap=[CHEAP], dear=[DEAR])
    log = thread.asks("cheap").calls().asks("dear").calls().ends()

    assert cost(log, ours)["usd"] == 6.0
    assert imported(ours) == 6.0


@pytest.mark.parametrize(
    ("tier", "usd"), [("priority", 12.5 / 4), ("flex", 2.5 / 4), (None, 5 / 4)]
)
def test_the_rollout_names_the_service_tier(
    ours: Config, thread: Thread, tier: str | None, usd: float
) -> None:
    (ours.codex_home / "config.toml").write_text('service_tier = "fast"')
    log = thread.asks("gpt-5.5", tier).calls(MTOK // 4).ends()

    found = cost(log, ours)

    assert found["usd"] == usd
    assert "estimate" not in found
    assert imported(ours) == usd


def test_where_the_rollout_does_not_config_toml_may(
    ours: Config, thread: Thread
) -> None:
    (ours.codex_home / "config.toml").write_text('service_tier = "fast"')
    log = thread.asks("gpt-5.5").calls(MTOK // 4).ends()

    found = cost(log, ours)

    assert found["usd"] == 12.5 / 4
    assert found["estimate"] == "the service tier priority is that of config.toml now"
    assert imported(ours) == 12.5 / 4


@pytest.mark.parametrize(
    "words",
    ['overrides": ["service_tier=flex"', 'extra": ["-c", "service_tier=\\"flex\\""'],
)
def test_the_command_line_precedes_config_toml(
    ours: Config, thread: Thread, tmp_path: Path, words: str
) -> None:
    (ours.codex_home / "config.toml").write_text('service_tier = "fast"')
    log = thread.asks("gpt-5.5").calls(MTOK // 4).ends()
    meta = tmp_path / "x.meta.json"
    meta.write_text('{"request": {"' + words + "]}}")

    found = summarize_log(log, meta, ours)["cost"]

    assert isinstance(found, dict)
    assert found["usd"] == 2.5 / 4
    assert "estimate" not in found


def test_a_rerouted_call_has_the_price_of_the_model_that_answered(
    ours: Config, thread: Thread, tmp_path: Path
) -> None:
    own_prices(ours, asked=[CHEAP], other=[DEAR])
    thread.asks("asked", "priority").calls().ends()
    events = tmp_path / "events.jsonl"
    omitted = "Configured service tier `priority` is not advertised as supported for"
    told = (
        f"{omitted} model `asked` and will be omitted from requests.",
        "model rerouted: asked -> other (HighRiskCyberActivity)",
    )
    items = [{"type": "error", "message": message} for message in told]
    lines = [
        {"type": "thread.started", "thread_id": THREAD},
        *({"type": "item.completed", "item": {"id": "i", **each}} for each in items),
        {"type": "turn.completed", "usage": {"input_tokens": MTOK, "output_tokens": 0}},
    ]
    events.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    found = summarize_log(events, None, ours)

    assert isinstance(found["cost"], dict)
    assert (found["cost"]["usd"], found["cost"]["model"]) == (5.0, "other")
    assert found["model"] == "other"


def test_a_run_over_a_price_change_is_priced_call_by_call_and_by_day(
    ours: Config, thread: Thread
) -> None:
    own_prices(ours, m=[OLD, NEW])
    log = thread.asks("m").calls().calls(after=timedelta(days=1)).ends()

    found = cost(log, ours)
    total = imported(ours)
    ledger = Ledger(ours.state_home)
    days = usage.gather(ledger, "day")
    rest = usage.gather(ledger, "day", DAY + timedelta(hours=12))
    ledger.close()

    assert (found["usd"], total) == (18.0, 18.0)
    assert found["price_source"]["date"] == "2026-11-20/2026-11-21"
    assert [(day.usd, day.runs) for day in days.lines] == [(10.0, 1), (8.0, 0)]
    assert days.total is not None
    assert (days.total.runs, days.total.usd) == (1, 18.0)
    assert rest.total is not None
    assert (rest.total.usd, rest.total.total_tokens) == (8.0, MTOK)


def test_one_unknown_model_leaves_a_floor_everywhere(
    ours: Config, thread: Thread
) -> None:
    own_prices(ours, cheap=[CHEAP])
    log = thread.asks("cheap").calls().asks("gpt-novel").calls().ends()

    found = cost(log, ours)
    imported(ours)
    ledger = Ledger(ours.state_home)
    by_model = {each.key: each for each in usage.gather(ledger, "model").lines}
    report = usage.gather(ledger, "repo")
    (line,) = report.lines
    ledger.close()

    assert "≥ $1.0000, 1 call unpriced" in plain(report)[1]
    assert "≥ $1.0000, 1 call unpriced" in one_line({"cost": found})
    assert (found["usd"], found["unpriced"]) == (1.0, 1)
    assert "gpt-novel" in found["reason"]
    assert (line.usd, line.unpriced, line.unknown_cost) == (1.0, 1, 0)
    assert (by_model["cheap"].usd, by_model["cheap"].unpriced) == (1.0, 0)
    assert (by_model["gpt-novel"].usd, by_model["gpt-novel"].unpriced) == (None, 1)


def test_the_price_tables_are_read_once(
    ours: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    for module, name in ((files, "read_json"), (price_table, "look_up")):
        whole = getattr(module, name)

        def counted(what: object, whole: Callable[[Any], Any] = whole) -> object:
            read.append(what)
            return whole(what)

        monkeypatch.setattr(module, name, counted)

    for day in range(1, 29):
        prices.rates(ours.state_home, "gpt-5.5", f"2026-11-{day:02}")
        with pytest.raises(PriceUnknownError):
            prices.rates(ours.state_home, "gpt-novel", f"2026-11-{day:02}")

    kept_in = ours.state_home / "prices-cache.json"
    assert read == [kept_in, "gpt-5.5", kept_in, "gpt-novel"]


def test_the_users_table_is_read_again_once_it_has_changed(ours: Config) -> None:
    found = []
    for usd in (1, 2.25):
        own_prices(ours, m=[{"input": usd, "output": 1}])
        found.append(prices.rates(ours.state_home, "m", "2026-11-20").input.base)

    assert found == [Decimal(1), Decimal("2.25")]


def test_a_run_gets_no_price_from_another_table_than_the_one_that_was_meant(
    ours: Config,
) -> None:
    own_prices(ours)
    (ours.state_home / prices.OWN).write_text(
        '[modles."gpt-5.5"]\ninput = 1\noutput = 1\n'
    )

    with pytest.raises(PriceUnknownError, match="unknown key 'modles'"):
        prices.rates(ours.state_home, "gpt-5.5", "2026-11-20")


def test_a_mistake_in_a_table_is_reported_with_all_of_its_models(ours: Config) -> None:
    ours.state_home.mkdir()
    wrong = "".join(f"[models.{m}]\ninput = 1\noutput = 1\nin = 1\n" for m in "ab")
    path = ours.state_home / prices.OWN
    path.write_text(f"{wrong}[models.c]\ninput = 1\n[models.d]\ninput=1\noutput=1\n")

    trouble = prices.trouble(ours.state_home) or ""

    assert trouble.startswith(f"{path}: no price for the models 'a', 'b': unknown key")
    assert "; no price for the model 'c': prices.toml names no" in trouble
    assert "'d'" not in trouble


def reprices(
    ours: Config, since: datetime | None = None, **how: bool
) -> list[tuple[str, RunCost, bool]]:
    ledger = Ledger(ours.state_home)
    try:
        return list(reprice(ledger, ours, since, **how))
    finally:
        ledger.close()


@pytest.fixture
def floor(ours: Config, thread: Thread) -> str:
    """Import a run of two calls, one without a price; return its id."""
    own_prices(ours, cheap=[CHEAP])
    thread.asks("cheap").calls().asks("gpt-novel").calls(1000).calls(2000).ends()
    imported(ours)
    ((run_id, found, is_new),) = reprices(ours)
    assert (found.unpriced, is_new) == (2, False)
    return run_id


def test_a_run_gets_its_price_later_and_keeps_what_it_had(
    ours: Config, floor: str
) -> None:
    own_prices(ours, cheap=[DEAR])
    with (ours.state_home / prices.OWN).open("a") as table:
        table.write(
            "\n[models.gpt-novel]\ninput = 1000\noutput = 1\n"
            "tiers = [{ above = 1500, input = 2000 }]\n"
        )

    trial = reprices(ours, is_trial=True)
    done = reprices(ours)
    again = reprices(ours)

    assert trial == done
    ((_, found, is_new),) = done
    assert is_new
    assert (found.usd, found.unpriced) == (Decimal(1 + 1 + 4), 0)
    assert again == []
    ledger = Ledger(ours.state_home)
    run = ledger.runs.find(floor)
    ledger.close()
    told = run.accounts["cost"]
    assert isinstance(told, dict)
    assert told["repriced_at"]
    assert told["parts"]["gpt-novel"]["price_source"]["date"] == "2026-11-20"
    assert "reason" not in told
    summary = json.loads(files_of(run.spec).summary.read_text())
    assert summary["cost"] == told
    assert verify(ours).is_good


def test_a_known_price_is_replaced_by_force_alone(ours: Config, floor: str) -> None:
    own_prices(ours, cheap=[DEAR])

    ((_, kept, _),) = reprices(ours)
    ((run_id, forced, is_new),) = reprices(ours, is_forced=True)

    assert kept.usd == Decimal(1)
    assert forced.usd == Decimal(5)
    assert (run_id, is_new) == (floor, True)
    assert reprices(ours, DAY + timedelta(days=1), is_forced=True) == []


def test_a_record_of_the_previous_version_is_priced_as_a_sum(
    ours: Config, floor: str
) -> None:
    ledger = Ledger(ours.state_home)
    run = ledger.runs.find(floor)
    assert isinstance(run.state, Finished)
    usage_told = {"input_tokens": MTOK, "output_tokens": 0, "total_tokens": MTOK}
    old = {"token_usage": usage_told, "cost": {"usd": None, "model": "old"}}
    state = replace(run.state, accounts={**old, "warnings": {}})
    with ledger.transaction():
        now = replace(run, state=state)
        ledger.change("save_record", run_id=floor, record=record.pack(now))
        ledger.usage.record_run(now)
    ledger.close()
    own_prices(ours, old=[{"input": 3, "output": 1}])

    ((_, found, is_new),) = reprices(ours)

    assert (found.usd, is_new) == (Decimal(3), True)


def test_reprice_prints_a_line_for_each_run(
    ours: Config,
    floor: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, place in (("RUNNER_HOME", ours.state_home), ("HOME", ours.codex_home)):
        monkeypatch.setenv(f"CODEX_{name}", str(place))

    none = codex_tasks.main(["reprice"]), capfd.readouterr()
    forced = codex_tasks.main(["reprice", "--force"]), capfd.readouterr()
    code = codex_tasks.main(["reprice", "--json"])
    listed = json.loads(capfd.readouterr().out)

    assert (none[0], none[1].out) == (0, "")
    assert "gpt-novel" in none[1].err
    assert none[1].err.endswith("priced 0 runs; 1 run without a price\n")
    assert forced[1].out == f"{floor}  ≥ $1.0000, 2 calls unpriced\n"
    assert code == 0
    assert listed["priced"] == []
    assert [each["run_id"] for each in listed["unpriced"]] == [floor]


def test_verify_computes_the_usage_again(ours: Config, floor: str) -> None:
    ledger = Ledger(ours.state_home)
    with ledger.transaction():
        ledger.usage.remove(floor)
    ledger.close()

    found = verify(ours, is_repairing=True)

    (wrong,) = found.differences
    assert (wrong.kind, wrong.subject, wrong.fixed) == ("usage", floor, True)
    assert verify(ours).is_good


@pytest.mark.parametrize(
    "mistake", ['[model."gpt-5.5"]', "foo = 1\n[models]", "[models.m]\noutput = 1"]
)
def test_a_mistake_in_a_table_of_one_s_own_freezes_no_price_of_the_other(
    ours: Config, mistake: str
) -> None:
    ours.state_home.mkdir()
    (ours.state_home / prices.OWN).write_text(f"{mistake}\n")

    with pytest.raises(PriceUnknownError) as caught:
        prices.rates(ours.state_home, "gpt-5.5", "2026-11-20")

    assert caught.value.reason == prices.trouble(ours.state_home)
