"""A supervisor that the machine starves stays with its Codex until both can go on."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import is_alive, wait_until
from support.sabotage import SUPERVISOR, fails, sabotaged
from support.stand_in import StandIn
from support.tasks import Begun, Tasks, gone

REFUSED = "Codex could not be supervised: "


@contextmanager
def without_descriptors(begun: Begun) -> Iterator[None]:
    """Let the supervisor of a run open nothing more, until the end of a block."""
    files = begun.wait_running()
    wait_until(lambda: files.meta["session_id"], what="the name of the session")
    pid = files.supervisor()
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def test_it_takes_no_codex_for_gone_that_it_cannot_look_at(
    task: Tasks, stand_in: StandIn, tmp_path: Path, go: Path
) -> None:
    on = tmp_path / "on"
    stand_in.plays(
        *script.begin(),
        script.wait_for(on),
        script.message("More."),
        script.wait_for(go),
        script.complete(),
    )
    begun = task.start()
    with without_descriptors(begun):
        # It wakes up when Codex writes, and looks after its processes then.
        on.touch()
        wait_until(lambda: f"{REFUSED}cannot read /proc/" in begun.stderr)
        files = begun.wait_running()
        assert is_alive(files.supervisor())
        assert not files.is_finished
    go.touch()
    ended = begun.wait()

    assert ended.code == 0
    assert ended.fields["outcome"] == "succeeded"
    assert "Traceback" not in files.log
    assert any(text.startswith(REFUSED) for text in files.meta["warnings"])


@pytest.mark.usefixtures("waiting")
def test_a_limit_that_passes_meanwhile_is_enforced_as_soon_as_it_can_be(
    task: Tasks,
) -> None:
    begun = task.start("--timeout", 2)
    with without_descriptors(begun):
        files = begun.wait_running()
        codex = files.codex()
        # It looks for all that is below itself in order to end it.
        its_own = f"{REFUSED}cannot read /proc/{files.supervisor()}/stat"
        wait_until(lambda: its_own in begun.stderr)
        assert is_alive(codex)
    ended = begun.wait()

    assert ended.code == 124
    assert ended.fields["outcome"] == "timed_out"
    assert gone(codex)


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize(
    "module", ["runner.supervisor.loop", "runner.lifecycle.finish"]
)
def test_a_codex_that_nobody_can_come_to_attend_is_ended(
    task: Tasks, stand_in: StandIn, module: str
) -> None:
    ended = task("--timeout", 60, env=sabotaged(fails(SUPERVISOR, "import", module)))

    assert ended.code == 1
    assert ended.fields["outcome"] == "lost"
    assert len(stand_in.runs) <= 1
    assert "No space left" in ended.files.log
