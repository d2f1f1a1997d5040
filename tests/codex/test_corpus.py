"""What real versions of Codex wrote, counted by us and by their model server.

`support/corpus.py` recorded the files; the server's own account is the oracle. A call
that Codex wrote down has to be counted to the token, and one that it did not has to be
named.
"""

import json
import tarfile
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.corpus import PLACE, SCENARIOS

from runner import config
from runner.ledger.ledger import Ledger
from runner.service import usage
from runner.service.importing import take_in
from runner.service.summarize import summarize_log

Json = dict[str, Any]
VERSIONS = sorted(path.name.removesuffix(".tar.xz") for path in PLACE.glob("*.xz"))
# The first versions that write down what a compaction on the server has used, and what
# an incomplete response has.
COUNTS_COMPACTION, COUNTS_INCOMPLETE = (0, 159), (0, 169)


# US dollars per million tokens in November 2026: input, cached input, output.
PRICES = {
    "gpt-5.1-codex": (1.25, 0.125, 10.0),
    "gpt-5.1-codex-mini": (0.25, 0.025, 2.0),
    "gpt-5.4": (2.5, 0.25, 15.0),
    "gpt-5.5": (5.0, 0.5, 30.0),
}
TIERS = {None: 1.0, "flex": 0.5, "priority": 2.5}


class Tokens(NamedTuple):
    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0


class Scenario:
    """One recorded home of one version."""

    def __init__(self, directory: Path, version: str) -> None:
        self.directory = directory
        self.version = version
        told = json.loads((directory / "oracle.json").read_text())
        self.runs: list[Json] = told["runs"]
        self.calls: list[Json] = told["calls"]

    @cached_property
    def settings(self) -> config.Config:
        homes = {"HOME": "", "CODEX_RUNNER_HOME": "state", "CODEX_HOME": ""}
        places = {name: str(self.directory / where) for name, where in homes.items()}
        return config.load(places)

    @property
    def rollouts(self) -> list[Path]:
        return sorted(self.directory.glob("sessions/**/*.jsonl"))

    def calls_of(self, run: Json) -> list[Json]:
        own = [call for call in self.calls if call["number"] in run["calls"]]
        others = {other["thread"] for other in self.runs} - {run["thread"]}
        # The oldest request for a compaction on the server does not name its thread.
        return [call for call in own if call["thread"] not in {*others, "None"}]

    def is_counted(self, call: Json) -> bool:
        """Return whether this version writes down what the call has used."""
        release = self.release
        if call["kind"] == "compact on the server":
            return release >= COUNTS_COMPACTION
        is_written = call["state"] == "incomplete" and release >= COUNTS_INCOMPLETE
        return call["state"] == "completed" or is_written

    def tokens(self, calls: Iterable[Json]) -> Tokens:
        found = [call["usage"] for call in calls if self.is_counted(call)]
        return Tokens(
            sum(each["input_tokens"] for each in found),
            sum(each["input_tokens_details"]["cached_tokens"] for each in found),
            sum(each["output_tokens"] for each in found),
            sum(each["output_tokens_details"]["reasoning_tokens"] for each in found),
        )

    def usd(self, calls: Iterable[Json]) -> float:
        """Price the calls as the server has served them."""
        whole = 0.0
        for call in filter(self.is_counted, calls):
            used = call["usage"]
            input_price, cached_price, output_price = PRICES[
                call["answered_by"] or call["model"]
            ]
            cached = used["input_tokens_details"]["cached_tokens"]
            fresh = used["input_tokens"] - cached
            usd = fresh * input_price + cached * cached_price
            usd += used["output_tokens"] * output_price
            whole += usd * TIERS[call["tier"]] / 1e6
        return whole

    @property
    def has_hidden_compaction(self) -> bool:
        """Whether a turn begins with a compaction that is written before its prompt.

        Up to 0.98 turns have no other beginning in the rollout.
        """
        kinds = {call["kind"] for call in self.calls}
        return (
            self.release <= (0, 98)
            and kinds == {"turn", "compact"}
            and (self.directory.name == "failed")
        )

    @property
    def release(self) -> tuple[int, ...]:
        return tuple(map(int, self.version.split(".")))[:2]

    def meta(self, run: Json) -> Path:
        """Write what a runner knows of a run beside what Codex has written."""
        thread = str(run["thread"])
        sizes = [size for name, size in run["offsets"].items() if thread in name]
        path = self.directory / "meta.json"
        known = {
            "run_id": "recorded",
            "session_id": thread,
            "resume_session": run["resumes"],
            "started_at": _iso(run["started_at"]),
            "ended_at": _iso(run["ended_at"]),
            "exit_code": run["exit_code"],
            "codex_version": self.version,
            "rollout_offset": max(sizes, default=0),
            "request": {"overrides": _overrides(run["options"])},
        }
        path.write_text(json.dumps(known))
        return path

    def summary(self, log: Path, meta: Path | None = None) -> Json:
        return dict(summarize_log(log, meta, self.settings))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("corpus")
    for version in VERSIONS:
        with tarfile.open(PLACE / f"{version}.tar.xz") as archive:
            # Python 3.11.2 has no filter, and 3.12 warns when there is none.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(place / version)  # noqa: S202 - ours
    return place


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SCENARIOS)
def scenario(recorded: Path, version: str, request: pytest.FixtureRequest) -> Scenario:
    return Scenario(recorded / version / request.param, version)


@pytest.mark.parametrize("knows", ["its time and place", "only its events"])
def test_a_run_is_counted_as_the_server_has_counted_it(
    scenario: Scenario, knows: str
) -> None:
    for number, run in enumerate(scenario.runs, 1):
        if run["thread"] is None:
            continue  # this version has no `exec fork`
        meta = scenario.meta(run) if knows == "its time and place" else None
        events = scenario.directory / f"run{number}.jsonl"

        found = scenario.summary(events, meta)["token_usage"]

        own = scenario.calls_of(run)
        is_over = b'"turn.completed"' in events.read_bytes()
        if meta is None and not is_over:
            # Nothing in the events tells which turn of the thread they are.
            assert found["input_tokens"] is None or found["source"] == "rollout"
            continue
        if meta is None and number > 1 and scenario.has_hidden_compaction:
            continue
        mine = [call for call in own if call["thread"] == run["thread"]]
        assert tokens_of(found) == scenario.tokens(mine), number
        agents = {a["thread_id"]: tokens_of(a) for a in found.get("subagents", ())}
        assert agents == {
            thread: scenario.tokens(c for c in own if c["thread"] == thread)
            for thread in {call["thread"] for call in own} - {run["thread"]}
        }, number


def test_a_run_costs_what_the_server_would_charge(scenario: Scenario) -> None:
    for number, run in enumerate(scenario.runs, 1):
        if run["thread"] is None:
            continue
        events = scenario.directory / f"run{number}.jsonl"

        found = scenario.summary(events, scenario.meta(run))["cost"]

        own = scenario.calls_of(run)
        # Up to 0.98 nothing tells of a call that another model has answered.
        told = [call for call in own if not call["answered_by"]]
        if len(told) == len(own) or scenario.release > (0, 98):
            assert found["usd"] == pytest.approx(scenario.usd(own), abs=1e-6)


def test_what_is_not_counted_is_said(scenario: Scenario) -> None:
    """From 0.120 on turns have a beginning and an end in the rollout."""
    told, missing = Counter[str](), Counter[str]()
    for number, run in enumerate(scenario.runs, 1):
        if run["thread"] is None:
            continue
        events = scenario.directory / f"run{number}.jsonl"
        found = scenario.summary(events, scenario.meta(run))["token_usage"]
        told += Counter(found.get("uncounted") or {})
    for call in scenario.calls:
        if call["kind"] == "compact on the server" and not scenario.is_counted(call):
            missing["compactions"] += 1
        elif call["state"] in {"in flight", "not written"}:
            missing["interrupted_calls"] += scenario.release > (0, 98)
        elif call["state"] in {"failed", "incomplete"} and not scenario.is_counted(
            call
        ):
            missing["failed_calls"] += scenario.release > (0, 98)
    assert told == +missing


def test_a_rollout_is_counted_as_the_server_has_counted_it(scenario: Scenario) -> None:
    for rollout in scenario.rollouts:
        found = scenario.summary(rollout)
        thread = found["session_id"]
        own = [call for call in scenario.calls if call["thread"] == thread]

        assert tokens_of(found["token_usage"]) == scenario.tokens(own)


def test_an_import_counts_each_call_once(scenario: Scenario) -> None:
    state = scenario.settings.state_home
    state.mkdir(0o700)
    ledger = Ledger(state)

    findings = list(take_in([str(scenario.directory)], ledger, scenario.settings))

    assert findings
    total = usage.gather(ledger, "total").total
    assert total is not None
    whole = scenario.tokens(scenario.calls)
    assert total.input_tokens == whole.input
    assert total.cached_input_tokens == whole.cached
    assert total.output_tokens == whole.output
    assert total.reasoning_output_tokens == whole.reasoning


def tokens_of(found: Json) -> Tokens:
    return Tokens(
        found["input_tokens"],
        found["cached_input_tokens"],
        found["output_tokens"],
        found["reasoning_output_tokens"],
    )


def _overrides(options: list[str]) -> list[str]:
    """Find the values of `-c`."""
    return [value for name, value in pairwise(options) if name == "-c"]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
