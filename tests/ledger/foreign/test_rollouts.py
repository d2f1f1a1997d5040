"""The rollouts of `codex exec` as a history: each turn is a run, judged and counted."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import homes

from parsers.exec_events.events import TurnCompleted, TurnFailed
from parsers.exec_events.summary import EventSummary
from parsers.rollouts import records
from runner.accounting.rollouts import RolloutIndex
from runner.clock import iso
from runner.codex.home import rollouts_of
from runner.foreign import read_rollout, read_turn, sources
from runner.foreign.eventlines import event_lines
from runner.foreign.sources import ForeignRun, History, Other, Unreadable
from runner.model import Outcome
from runner.service.foreign_runs import verdict_of

Json = dict[str, object]
Told = tuple[str, Json]
MakeRollout = Callable[..., Path]
DATA = Path(__file__).parents[2] / "unit" / "parsers" / "data"
THREAD = "0199d9c2-0000-7000-8000-000000000001"
PARENT = "0199d9c2-0000-7000-8000-000000000000"
TURN = "0199d9c2-0000-7000-8000-000000000002"
RECORDED = "01a1f87a-1edb-7772-a295-bcdec2d6d2fd"


def event(kind: str, /, **fields: object) -> Told:
    return "event_msg", {"type": kind, **fields}


def item(kind: str, /, **fields: object) -> Told:
    return event("item_completed", item={"type": kind, "id": "call_1", **fields})


def response(kind: str, /, **fields: object) -> Told:
    return "response_item", {"type": kind, **fields}


def tokens(figure: int) -> Told:
    return event("token_count", info={"total_token_usage": {"input_tokens": figure}})


BEGIN = event("task_started", turn_id=TURN)
END = event("task_complete", turn_id=TURN, last_agent_message="done")
USER = item("UserMessage", content=[{"type": "text", "text": "do it"}])


def home_of(tmp_path: Path, *names: str) -> Path:
    directory = tmp_path / "sessions" / "2026"
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).write_bytes((DATA / name).read_bytes())
    return tmp_path


def read(home: Path) -> list[History | Unreadable | Other]:
    index = RolloutIndex(home)
    found = [each for paths in index.threads if (each := read_rollout(*paths))]
    faults = [(Path(each.filename), sources.why(each)) for each in index.faults]
    return [*found, *(Unreadable(*each) for each in faults)]


def only(home: Path) -> History:
    (found,) = read(home)
    assert isinstance(found, History), found
    return found


def digest_of(run: ForeignRun) -> EventSummary:
    digest = EventSummary()
    lines = read_turn(*run.rollout).lines if run.rollout else event_lines(run)
    digest.read_lines(lines)
    assert digest.facts() == run.facts
    assert digest.warnings == {}
    return digest


@pytest.mark.parametrize("version", ["0.50", "0.80", "0.169"])
def test_each_turn_of_a_recorded_thread_is_a_run(tmp_path: Path, version: str) -> None:
    history = only(home_of(tmp_path, f"rollout-{version}-new+2resumes.jsonl"))
    digests = [digest_of(run) for run in history.runs]

    assert [run.prompt for run in history.runs] == [
        "run: echo hello > f.txt; cat f.txt",
        "say hi",
        "run: false",
    ]
    assert {verdict_of(run).outcome for run in history.runs} == {Outcome.SUCCEEDED}
    assert [run.answer for run in history.runs] == [
        f"done: {run.prompt}" for run in history.runs
    ]
    assert {run.model for run in history.runs} == {"gpt-5.1-codex"}
    assert [run.codex_version for run in history.runs] == [f"{version}.0", None, None]
    assert [digest.commands_run for digest in digests] == [1, 0, 1]
    assert [digest.commands_failed for digest in digests] == [0, 0, 1]
    assert [digest.final_message for digest in digests] == [
        run.answer for run in history.runs
    ]


def test_a_thread_says_where_and_when_it_worked(tmp_path: Path) -> None:
    history = only(home_of(tmp_path, "rollout-0.169-new+2resumes.jsonl"))

    assert (history.kind, history.session_id) == ("rollout", RECORDED)
    assert history.working_dir == "/srv/code/repo"
    assert iso(history.created_at) == "2026-11-20T10:21:55.298Z"
    assert iso(history.runs[0].started_at) == "2026-11-20T10:21:55.336Z"
    assert iso(history.updated_at) == iso(history.runs[-1].ended_at)
    assert history.archived_at is None


def test_a_thread_is_resumed_where_its_last_turn_worked(
    tmp_path: Path, make_rollout: MakeRollout
) -> None:
    turn = {"turn_id": TURN, "cwd": "/srv/other"}
    make_rollout(BEGIN, ("turn_context", turn), END)

    assert only(tmp_path).working_dir == "/srv/other"


def test_the_usage_is_the_threads_as_codex_prints_it(tmp_path: Path) -> None:
    history = only(home_of(tmp_path, "rollout-0.169-new+2resumes.jsonl"))
    usages = [digest_of(run).usage for run in history.runs]

    assert [usage.input_tokens for usage in usages if usage] == [2400, 3600, 6000]


@pytest.mark.parametrize(
    ("name", "outcomes"),
    [
        ("0.125-abort", [Outcome.INTERRUPTED]),
        ("0.125-limit", [Outcome.USAGE_LIMITED]),
        ("0.169-abort", [Outcome.INTERRUPTED]),
        ("0.169-late", [Outcome.FAILED]),
        (
            "0.169-limit",
            [Outcome.USAGE_LIMITED, Outcome.SUCCEEDED, Outcome.USAGE_LIMITED],
        ),
        ("0.169-window-overflow", [Outcome.FAILED, Outcome.SUCCEEDED]),
        ("0.80-window-overflow", [Outcome.LOST, Outcome.SUCCEEDED]),
    ],
)
def test_turns_are_judged_by_their_recorded_end(
    tmp_path: Path, name: str, outcomes: list[Outcome]
) -> None:
    history = only(home_of(tmp_path, f"rollout-{name}.jsonl"))
    ends = {
        Outcome.SUCCEEDED: TurnCompleted,
        Outcome.FAILED: TurnFailed,
        Outcome.USAGE_LIMITED: TurnFailed,
    }

    verdicts = [verdict_of(run) for run in history.runs]
    assert [verdict.outcome for verdict in verdicts] == outcomes
    assert [type(digest_of(run).ended) for run in history.runs] == [
        ends.get(outcome, type(None)) for outcome in outcomes
    ]
    answers = [run.answer for run in history.runs]
    for verdict, answer in zip(verdicts, answers, strict=True):
        assert (verdict.error is None) is (answer is not None)


@pytest.mark.parametrize(
    "name",
    [
        "0.125-subagent",
        "0.125-subagent-forked",
        "0.142-subagent-forked",
        "0.169-subagent",
        "0.169-subagent-forked",
    ],
)
def test_sub_agents_belong_to_their_parents(tmp_path: Path, name: str) -> None:
    assert read(home_of(tmp_path, f"rollout-{name}.jsonl")) == []


def test_a_sub_agent_of_no_named_parent_is_one_too(
    tmp_path: Path, make_rollout: MakeRollout
) -> None:
    make_rollout(BEGIN, USER, END, source={"subagent": "review"})

    assert read(tmp_path) == []


def test_threads_of_the_terminal_are_left_out(
    tmp_path: Path, make_rollout: MakeRollout
) -> None:
    path = make_rollout(BEGIN, USER, END, originator="codex-tui")

    (found,) = read(tmp_path)

    assert found == Other(path, THREAD, "codex-tui")


def test_spawned_agents_are_named_in_the_events(tmp_path: Path) -> None:
    (run,) = only(home_of(tmp_path, "rollout-0.169-spawn.jsonl")).runs

    assert digest_of(run).agent_threads == ["01a1f87a-d08e-7aa2-a29d-c4bfb1d8d5da"]


def test_a_fork_is_taken_with_its_own_turns_only(
    tmp_path: Path, make_rollout: MakeRollout
) -> None:
    old = event("task_started", turn_id=PARENT)
    make_rollout(
        ("session_meta", {"id": PARENT, "originator": "codex_exec"}),
        *(old, USER, item("AgentMessage", content=[{"text": "old"}])),
        *(BEGIN, item("UserMessage", content=[{"text": "new"}]), tokens(9), END),
        forked_from_id=PARENT,
    )
    (run,) = only(tmp_path).runs

    assert (run.prompt, run.answer, run.source_run_id) == ("new", "done", TURN)


def test_what_codex_puts_before_a_prompt_is_none(
    tmp_path: Path, make_rollout: MakeRollout
) -> None:
    make_rollout(
        event("user_message", message="<environment_context>…", kind="plain"),
        event("user_message", message="# AGENTS.md instructions for /srv\n…"),
        event("user_message", message="be kind", kind="user_instructions"),
        event("user_message", message="do it", kind="plain"),
        event("agent_message", message="done"),
    )

    assert [run.prompt for run in only(tmp_path).runs] == ["do it"]


@pytest.mark.parametrize(
    ("call", "output", "told"),
    [
        (
            {"name": "shell", "arguments": '{"command":["bash","-lc","ls a"]}'},
            '{"output":"a\\n","metadata":{"exit_code":2}}',
            ("bash -lc 'ls a'", "a\n", 2),
        ),
        (
            {"name": "exec_command", "arguments": '{"cmd":"ls"}'},
            "Wall time: 0 s\nProcess exited with code 0\nOutput:\nExit code: 7\n",
            ("ls", "Exit code: 7\n", 0),
        ),
        (
            {"name": "shell_command", "arguments": '{"command":"ls"}'},
            "aborted by user after 1.5s",
            ("ls", "aborted by user after 1.5s", -1),
        ),
        (
            {"type": "local_shell_call", "action": {"command": ["ls", "a b"]}},
            {"content": "x", "success": True},
            ("ls 'a b'", "x", None),
        ),
    ],
)
def test_a_command_is_told_from_its_call_and_what_came_back(
    tmp_path: Path,
    make_rollout: MakeRollout,
    call: Json,
    output: object,
    told: tuple[str, str, int | None],
) -> None:
    make_rollout(
        BEGIN,
        ("response_item", {"type": "function_call", "call_id": "call_1", **call}),
        response("function_call_output", call_id="call_1", output=output),
        END,
    )
    (run,) = only(tmp_path).runs
    assert run.rollout is not None
    shown = json.loads(read_turn(*run.rollout).lines[2])["item"]

    assert (shown["command"], shown["aggregated_output"], shown["exit_code"]) == told


@pytest.mark.parametrize(
    "call",
    [
        {"type": "custom_tool_call", "name": "apply_patch", "input": "PATCH"},
        {"name": "shell", "arguments": '{"command":["apply_patch","PATCH"]}'},
        {"name": "shell_command", "arguments": '{"command":"apply_patch <<E\\nPATCH"}'},
    ],
)
def test_an_edit_is_told_from_its_patch(
    tmp_path: Path, make_rollout: MakeRollout, call: Json
) -> None:
    patch = "*** Begin Patch\n*** Add File: a\n+x\n*** Delete File: b\n*** End Patch"
    called = {
        key: str(value).replace("PATCH", patch.replace("\n", "\\n"))
        if key == "arguments"
        else str(value).replace("PATCH", patch)
        for key, value in call.items()
    }
    make_rollout(
        BEGIN,
        ("response_item", {"type": "function_call", "call_id": "call_1", **called}),
        response("custom_tool_call_output", call_id="call_1", output="Done!"),
        END,
    )
    (run,) = only(tmp_path).runs

    assert digest_of(run).files_changed == {"a": "add", "b": "delete"}
    assert digest_of(run).commands_run == 0


def test_codexs_own_items_go_before_what_the_calls_tell(
    tmp_path: Path, make_rollout: MakeRollout
) -> None:
    call = {"name": "exec_command", "arguments": '{"cmd":"ls"}', "call_id": "call_1"}
    make_rollout(
        *(BEGIN, response("function_call", **call)),
        response("function_call_output", call_id="call_1", output="x"),
        event("turn_aborted", turn_id=TURN, reason="interrupted"),
        item("CommandExecution", command=["ls"], aggregated_output="", exit_code=-1),
        item("FileChange", id="call_2", changes={"/a": {"type": "update"}}),
    )
    (run,) = only(tmp_path).runs

    assert (digest_of(run).commands_run, digest_of(run).commands_failed) == (1, 1)
    assert digest_of(run).files_changed == {"/a": "update"}


def test_only_records_that_say_something_new_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither commands that succeeded and their calls, nor all but the last figures."""
    homes.fill(tmp_path, 1)
    read, decode = list[str](), records.read_record

    def counting(line: bytes) -> records.Record:
        read.append((found := decode(line)).kind)
        return found

    monkeypatch.setattr(records, "read_record", counting)
    found = only(tmp_path)
    ((_, part),) = found.parts

    assert found.runs[0].facts.commands_run == len(part.calls) == homes.CALLS
    assert read.count("item_completed") == 3  # the prompt, and the answer twice
    assert not {"function_call", "function_call_output"}.intersection(read)
    assert read.count("token_count") == 3  # the last one, for what it says of each


def test_a_turn_that_was_killed_is_lost(
    tmp_path: Path, make_rollout: MakeRollout
) -> None:
    make_rollout(BEGIN, USER, item("AgentMessage", content=[{"text": "I will"}]))
    (run,) = only(tmp_path).runs

    assert (verdict_of(run).outcome, run.answer) == (Outcome.LOST, "I will")
    assert digest_of(run).ended is None


@pytest.mark.parametrize(
    ("last", "is_open"),
    [(USER, True), (END, False), (event("turn_aborted", turn_id=TURN), False)],
)
def test_a_turn_without_an_end_is_open(
    tmp_path: Path, make_rollout: MakeRollout, last: Told, *, is_open: bool
) -> None:
    make_rollout(BEGIN, USER, last)

    assert only(tmp_path).is_open is is_open


def test_each_turn_has_its_place_in_the_file(tmp_path: Path) -> None:
    history = only(home_of(tmp_path, "rollout-0.169-new+2resumes.jsonl"))
    data = history.source.read_bytes()

    places = [run.place for run in history.runs]
    assert all(place is not None for place in places)
    assert sorted(set(places), key=str) == sorted(places, key=str)
    assert all(b"task_started" in data[p:].splitlines()[0] for p in places)


def test_an_old_turn_that_ended_without_an_answer_has_failed(
    tmp_path: Path, make_rollout: MakeRollout
) -> None:
    silent = event("task_complete", turn_id=TURN, last_agent_message=None)
    make_rollout(BEGIN, USER, silent, cli_version="0.125.0-alpha.1")

    assert verdict_of(only(tmp_path).runs[0]).outcome is Outcome.FAILED


@pytest.mark.parametrize("version", ["0.169.0", None, "", "dev", "²"])
def test_any_other_turn_without_an_answer_has_not(
    tmp_path: Path, make_rollout: MakeRollout, version: str | None
) -> None:
    silent = event("task_complete", turn_id=TURN, last_agent_message=None)
    make_rollout(BEGIN, USER, silent, cli_version=version)

    assert verdict_of(only(tmp_path).runs[0]).outcome is Outcome.SUCCEEDED


def test_an_archived_thread_is_found_and_each_is_told_once(
    tmp_path: Path, make_rollout: MakeRollout
) -> None:
    make_rollout(BEGIN, USER, END, top="archived_sessions")
    archived = only(tmp_path)
    make_rollout(BEGIN, USER, END)
    both = only(tmp_path)

    assert archived.archived_at == archived.updated_at
    assert both.archived_at is None


def test_what_is_no_rollout_is_named(tmp_path: Path, make_rollout: MakeRollout) -> None:
    make_rollout(name="empty").write_bytes(b"")
    make_rollout(name="headless").write_text('{"type":"message","role":"user"}\n')
    make_rollout(name="rubbish").write_bytes(b"\xff" * 9000)
    make_rollout(name="packed").with_suffix(".jsonl.zst").write_bytes(b"\x28\xb5")
    make_rollout(name="packed").unlink()
    loop = tmp_path / "sessions" / "rollout-loop.jsonl"
    loop.symlink_to(loop)
    (tmp_path / "sessions" / "circle").symlink_to(tmp_path / "sessions")
    found = read(tmp_path)

    reasons = {e.source.name: e.reason for e in found if isinstance(e, Unreadable)}
    assert all(reasons.values())
    assert len(reasons) == len(found) == 5
    (packed,) = (name for name in reasons if name.endswith(".zst"))
    assert reasons[packed] == "it is compressed, and not read"


def test_a_home_without_sessions_holds_nothing(tmp_path: Path) -> None:
    assert read(tmp_path) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = (
    *("turn_id", "message", "kind", "item", "call_id", "name", "arguments", "output"),
    *("info", "rate_limits", "error", "last_agent_message", "sandbox_policy", "model"),
    *("content", "changes", "command", "aggregated_output", "action", "input"),
)
KINDS = (
    *("task_started", "user_message", "agent_message", "token_count", "turn_aborted"),
    *("task_complete", "item_completed", "function_call", "function_call_output"),
    *("custom_tool_call", "local_shell_call", "UserMessage", "AgentMessage"),
    *("CommandExecution", "FileChange", "CollabAgentToolCall", "session_meta"),
)


def odd_records() -> st.SearchStrategy[Json]:
    fields = st.dictionaries(st.sampled_from(NAMES), JSON)
    kinds = st.sampled_from(KINDS)
    payloads = st.builds(lambda kind, rest: {**rest, "type": kind}, kinds, fields)
    nested = st.builds(lambda rest, inner: {**rest, "item": inner}, payloads, payloads)
    types = st.sampled_from(("event_msg", "response_item", "turn_context"))
    return st.fixed_dictionaries(
        {"timestamp": JSON, "type": types, "payload": payloads | nested | JSON}
    )


@given(odd=st.lists(odd_records(), max_size=8), rubbish=st.binary())
@settings(
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
    ]
)
def test_whatever_a_rollout_holds_nothing_raises(
    make_rollout: MakeRollout, tmp_path: Path, odd: list[Json], rubbish: bytes
) -> None:
    path = make_rollout(BEGIN, USER)
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in odd)
    path.write_bytes(path.read_bytes() + lines + rubbish)

    runs = only(tmp_path).runs
    assert all(run.rollout and read_turn(*run.rollout).lines for run in runs)


@pytest.fixture
def abyss(tmp_path: Path) -> Iterator[Path]:
    """Make a directory that holds one in another, a thousand deep and more."""
    places = [tmp_path / "sessions" / "a"]
    for _ in range(1200):
        places.append(places[-1] / "a")
    places[0].parent.mkdir(exist_ok=True)
    for place in places:
        place.mkdir()
    yield tmp_path
    for place in reversed(places):  # what tidies up goes no deeper than Python
        place.rmdir()


def test_directories_deeper_than_any_of_codex_are_not_gone_into(
    abyss: Path, make_rollout: MakeRollout
) -> None:
    path = make_rollout(BEGIN, USER, END)
    missing = "01a1f000-0000-7000-8000-00000000000f"

    assert only(abyss).session_id == THREAD
    assert RolloutIndex(abyss).paths_of(THREAD) == [path]
    assert rollouts_of(abyss, THREAD) == [path]
    assert rollouts_of(abyss, missing) == []
