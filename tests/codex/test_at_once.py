"""Many first runs of the real Codex at once, on a home that nobody has used."""

from pathlib import Path

import pytest
from support.real_codex import RealTasks, events, parts, used

from runner.loopback import LoopbackServer, write_home


@pytest.fixture
def codex_home(tmp_path: Path, loopback: LoopbackServer) -> Path:
    home = tmp_path / "fresh-home"
    write_home(home, loopback.config_toml())
    return home


def test_eight_first_runs_at_once_are_eight_whole_runs(codex: RealTasks) -> None:
    prompts = [f"run: echo {number}\nsay: number {number}" for number in range(8)]

    begun = [codex.start("--task", prompt) for prompt in prompts]
    ended = [each.wait(60) for each in begun]

    assert [each.code for each in ended] == [0] * 8
    summaries = [each.files.summary for each in ended]
    said = [summary["final_message"] for summary in summaries]
    assert said == [f"number {number}" for number in range(8)]
    assert len({summary["session_id"] for summary in summaries}) == 8
    assert len({summary["run_id"] for summary in summaries}) == 8
    assert [parts(summary["token_usage"]) for summary in summaries] == [used(1, 2)] * 8
    assert [summary["warnings"] for summary in summaries] == [{}] * 8
    for each in ended:
        assert events(each.files)[-1]["type"] == "turn.completed"
    assert len(codex.all) == 8
    known = codex.parse(*[summary["run_id"] for summary in summaries])
    assert [line.split()[0] for line in known.lines] == ["OK"] * 8
