"""Programs in the place of Codex: scripts that worked with the older tools."""

from pathlib import Path

import pytest
from support import stand_in as script
from support.tasks import Tasks

PLAYS = f"""#!/bin/sh
# It takes no notice of what it is asked for.
printf '%s\\n' "$*" >>"$0.calls"
echo '{{"type":"thread.started","thread_id":"{script.THREAD}"}}'
echo '{{"type":"turn.started"}}'
echo '{{"type":"turn.completed","usage":{{"input_tokens":1,"output_tokens":1}}}}'
"""


@pytest.fixture
def wrapper(tmp_path: Path) -> Path:
    place = tmp_path / "wrapper"
    place.write_text(PLAYS)
    place.chmod(0o755)
    return place


def calls_of(wrapper: Path) -> list[str]:
    return wrapper.with_name("wrapper.calls").read_text().splitlines()


@pytest.mark.parametrize("words", [[], ["--resume", script.THREAD], ["-v"]])
def test_a_program_that_ignores_its_arguments_does_its_work_once(
    task: Tasks, wrapper: Path, words: list[str]
) -> None:
    ended = task("--codex-bin", wrapper, *words)

    assert ended.code == 0
    assert len(calls_of(wrapper)) == 1
    assert f"--cd {task.repo}" in calls_of(wrapper)[0]
    assert ended.meta["codex_version"] is None


def test_the_doctor_asks_such_a_program_once(task: Tasks, wrapper: Path) -> None:
    ended = task("--codex-bin", wrapper, "--doctor")

    assert ended.code == 1
    assert "is it Codex?" in ended.stdout
    failures = ended.stdout.count("FAIL ") - 1
    assert ended.lines[-1] == f"Doctor result: FAIL (failures={failures} warnings=0)"
    assert calls_of(wrapper) == ["--version"]


def test_a_version_is_believed_only_in_codexs_own_form(
    task: Tasks, wrapper: Path
) -> None:
    said = "1.2.3", "codex-cli 0.169.0", "codex 0.169.0", "codex-cli soon"
    for text in said:
        inner = wrapper.with_name("inner")
        asked = f'[ "$1" = exec ] || exec echo {text}'
        inner.write_text(PLAYS.replace("# It", f"{asked}\n# It"))
        inner.chmod(0o755)
        wrapper.write_text(f'#!/bin/sh\nexec {inner} "$@"\n')

        ended = task("--codex-bin", wrapper, "--resume", script.THREAD)

        is_one = text == "codex-cli 0.169.0"
        assert ended.meta["codex_version"] == ("0.169.0" if is_one else None)
