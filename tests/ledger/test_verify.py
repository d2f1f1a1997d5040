"""`verify` makes each export again and compares; `--repair` writes what differs."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import ledgers, worked
from support.runs import settings
from support.worked import ANSWER, FIRST, OTHER

from runner import files
from runner.errors import FileFault, LedgerFault
from runner.exports import queue_files, task_files
from runner.ledger.ledger import Ledger
from runner.ledger.sessions import Session
from runner.run_files import RunFiles, files_of
from runner.service.archive import archive
from runner.service.compare import Difference
from runner.service.verify import verify


class State:
    """A state directory with two sessions, one of them with a prompt that waits."""

    def __init__(self, place: Path) -> None:
        self.settings = settings(place, CODEX_RUNNER_HOME=str(place / "state"))
        self.home = self.settings.state_home
        self.ledger = Ledger(self.home)
        self.run = worked.work(self.ledger, self.settings, title="first")
        self.flat = worked.work(
            self.ledger, self.settings, OTHER, log_dir=str(place / "logs")
        )
        self.prompt = worked.queue(self.ledger, self.run.session, "More.")

    @property
    def files(self) -> RunFiles:
        return files_of(self.run.spec)

    @property
    def flat_files(self) -> RunFiles:
        return files_of(self.flat.spec)

    def export(self, name: str) -> Path:
        return worked.exports(self.ledger) / name

    def cancel(self) -> None:
        """Cancel the prompt that waits."""
        self.ledger.queue.stop([self.run.session])
        queue_files.refresh(self.ledger, self.run.session, [self.prompt])

    def found(self, **options: bool) -> list[Difference]:
        return list(verify(self.settings, **options).differences)

    def repaired(self, **options: bool) -> list[Difference]:
        return self.found(is_repairing=True, **options)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_request(path: Path, **changes: object) -> None:
    edit(path, request={**json.loads(path.read_text())["request"], **changes})


def change_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3] + b"xxx")


def cut(path: Path, count: int = 1) -> None:
    os.truncate(path, path.stat().st_size - count)


def leave_stray(state: State) -> None:
    place = state.home / "runs" / ledgers.run_id(77)
    files.make_directory(place)
    ledgers.touch(place, hours=-2)


def leave_half(path: Path) -> None:
    """Leave what a writer leaves that is killed before it has renamed its file."""
    half = path.with_name(f".{path.name}.1a2b3c4d.tmp")
    half.write_bytes(b"{")
    ledgers.touch(half, hours=-1)


def test_what_agrees_is_no_difference(state: State) -> None:
    report = verify(state.settings)

    assert report.differences == ()
    assert (report.is_good, report.sessions, report.runs) == (True, 2, 2)


DAMAGE: dict[str, tuple[Callable[[State], object], str]] = {
    "no task.json": (lambda s: s.export("task.json").unlink(), "export"),
    "garbage in task.json": (
        lambda s: s.export("task.json").write_bytes(b"\0garbage"),
        "export",
    ),
    "half a task.json": (lambda s: os.truncate(s.export("task.json"), 20), "export"),
    "another title": (lambda s: edit(s.export("task.json"), title="other"), "export"),
    "no answer": (lambda s: s.export("task.result").unlink(), "export"),
    "half an answer": (lambda s: cut(s.export("task.result")), "export"),
    "another end of the answer": (
        lambda s: change_end(s.export("task.result")),
        "export",
    ),
    "no log": (lambda s: s.export("task.log").unlink(), "export"),
    "an empty log": (lambda s: os.truncate(s.export("task.log"), 0), "export"),
    "a log without its end": (lambda s: cut(s.export("task.log")), "export"),
    "another end of the log": (lambda s: change_end(s.export("task.log")), "export"),
    "no meta file": (lambda s: s.files.meta.unlink(), "export"),
    "garbage in a meta file": (lambda s: s.files.meta.write_text("{"), "export"),
    "an older meta file": (lambda s: edit(s.files.meta, outcome="failed"), "export"),
    "a meta file with a value of a wrong type": (
        lambda s: edit_request(s.files.meta, log_dir=5, directory=5),
        "export",
    ),
    "no summary": (lambda s: s.files.summary.unlink(), "export"),
    "no meta file in a --log-dir": (lambda s: s.flat_files.meta.unlink(), "export"),
    "no readable log": (lambda s: s.flat_files.log.unlink(), "export"),
    "no file of a prompt": (
        lambda s: queue_files.path_of(s.home, s.prompt).unlink(),
        "export",
    ),
    "another text of a prompt": (
        lambda s: change_end(queue_files.path_of(s.home, s.prompt)),
        "export",
    ),
    "the file of a prompt that does not wait": (
        lambda s: queue_files.path_of(s.home, 99).write_bytes(b"{}\nx"),
        "export",
    ),
    "half a meta file": (lambda s: leave_half(s.files.meta), "export"),
    "half a summary in a --log-dir": (
        lambda s: leave_half(s.flat_files.summary),
        "export",
    ),
    "half a log of a session": (lambda s: leave_half(s.export("task.log")), "export"),
    "half the file of a prompt": (
        lambda s: leave_half(queue_files.path_of(s.home, s.prompt)),
        "export",
    ),
    "a directory that no run has": (leave_stray, "export"),
    "a state directory open to others": (lambda s: s.home.chmod(0o755), "mode"),
    "a ledger open to others": (lambda s: s.ledger.path.chmod(0o644), "mode"),
    "prompts open to others": (
        lambda s: queue_files.path_of(s.home, 1).parent.chmod(0o750),
        "mode",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named_alone_and_repaired(state: State, what: str) -> None:
    damage, kind = DAMAGE[what]
    damage(state)

    (difference,) = state.found()
    assert (difference.kind, difference.fixed) == (kind, False)
    assert difference.is_repairable
    assert state.found() == [difference], "looking repairs nothing"

    (difference,) = state.repaired()
    assert difference.fixed
    assert state.found() == []


def test_an_export_is_repaired_to_what_it_was(state: State) -> None:
    places = [
        *(state.export(name) for name in ("task.json", "task.log", "task.result")),
        *(state.files.meta, state.files.summary, state.flat_files.summary),
        queue_files.path_of(state.home, state.prompt),
    ]
    before = {path: path.read_bytes() for path in places}
    assert before[state.export("task.result")] == ANSWER.encode()
    for path in places:
        path.unlink()

    assert all(difference.fixed for difference in state.repaired())

    assert {path: path.read_bytes() for path in places} == before
    assert {path.stat().st_mode & 0o777 for path in places} == {0o600}


def test_a_readable_log_is_made_again_from_the_events(state: State) -> None:
    state.flat_files.log.unlink()

    state.repaired()

    assert ANSWER in state.flat_files.log.read_text()


def test_only_a_full_look_reads_the_beginning_of_a_long_answer(
    tmp_path: Path,
) -> None:
    state = State(tmp_path)
    worked.work(
        state.ledger, state.settings, OTHER[:-1] + "8", answer="x" * 10_000, title="x"
    )
    path = worked.exports(state.ledger, OTHER[:-1] + "8") / "task.result"
    path.write_bytes(b"y" + path.read_bytes()[1:])

    assert state.found() == []
    (difference,) = state.found(is_full=True)

    assert difference.subject == str(path)
    assert state.repaired(is_full=True)[0].fixed
    assert state.found(is_full=True) == []


def test_runs_whose_files_are_gone_are_named_and_nothing_is_made_up(
    state: State,
) -> None:
    shutil.rmtree(state.flat_files.directory)

    (difference,) = state.repaired()

    assert (difference.kind, difference.subject) == ("files-gone", state.flat.run_id)
    assert not difference.is_repairable
    assert not state.flat_files.directory.exists()


def test_a_directory_with_a_record_that_the_ledger_does_not_know_is_left_alone(
    state: State,
) -> None:
    place = state.home / "runs" / ledgers.run_id(77)
    shutil.copytree(state.files.directory, place)
    ledgers.touch(place, hours=-2)

    (difference,) = state.repaired()

    assert not difference.is_repairable
    assert "codex-tasks import" in difference.detail
    assert place.exists()


def test_a_repair_that_fails_says_why(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.export("task.json").unlink()

    def refuse(path: Path, _: bytes) -> None:
        raise FileFault("write", path, OSError(28, "No space left on device"))

    monkeypatch.setattr(files, "export", refuse)
    (difference,) = state.repaired()

    assert not difference.fixed
    assert not difference.is_repairable
    assert "it cannot be fixed" in difference.detail
    assert "No space left" in difference.detail


def test_a_directory_that_cannot_be_removed_is_not_called_fixed(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_stray(state)
    monkeypatch.setattr(files, "remove_tree", lambda _: ["it: Permission denied"])

    (difference,) = state.repaired()

    assert not difference.fixed
    assert difference.detail.endswith("it cannot be fixed: it: Permission denied")


def test_an_archived_session_is_compared_where_its_exports_are(state: State) -> None:
    state.cancel()
    moved = archive(state.ledger.sessions.get(state.run.session), state.ledger)
    assert moved.directory is not None
    assert state.found() == []
    (Path(moved.directory) / "task.log").unlink()

    (difference,) = state.repaired()

    assert difference.subject == f"{moved.directory}/task.log"
    assert state.found() == []


def test_a_session_in_which_something_runs_is_not_compared(state: State) -> None:
    """Its exports follow the ledger: what is written between is no difference."""
    prepared = worked.prepare(
        state.ledger,
        state.settings,
        session=state.run.session,
        thread=FIRST,
        prompt=b"More.",
        prompt_id=state.prompt,
    )
    state.export("task.json").unlink()

    assert state.found() == []
    prepared.close()


def test_a_session_that_is_removed_meanwhile_is_no_difference(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.cancel()
    real, key = task_files.json_of, state.run.session

    def json_of(session: Session, *rest: Any) -> bytes:  # noqa: ANN401  # handed on
        if session.key == key and state.ledger.sessions.named(FIRST):
            state.ledger.sessions.remove(state.ledger.sessions.get(key))
            return b"it differs from its file"
        return real(session, *rest)

    monkeypatch.setattr(task_files, "json_of", json_of)

    assert state.found() == []


def test_where_there_is_no_ledger_yet_nothing_is_wrong_and_nothing_is_made(
    tmp_path: Path,
) -> None:
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(tmp_path / "none"))

    for is_repairing in (False, True):
        report = verify(ours, is_repairing=is_repairing)

        assert report.is_good
    assert not (tmp_path / "none").exists()


def test_what_a_migration_could_not_take_over_is_shown(state: State) -> None:
    state.ledger._db.execute(
        "insert into notes (what, about) values ('a damaged record', 'run 7')"
    )

    report = verify(state.settings)

    assert report.notes == ("a damaged record: run 7",)
    assert report.is_good


@pytest.mark.parametrize("is_repairing", [False, True])
def test_what_a_run_writes_during_the_comparison_is_no_difference(
    state: State, monkeypatch: pytest.MonkeyPatch, *, is_repairing: bool
) -> None:
    state.cancel()
    render, later = task_files.json_of, list[Session]()

    def late(session: Session, *rest: Any) -> bytes:  # noqa: ANN401  # handed on
        text = render(session, *rest)
        if not later:
            later.append(session)
            worked.work(state.ledger, state.settings, answer="Later.")
        return text

    monkeypatch.setattr(task_files, "json_of", late)

    assert state.found(is_repairing=is_repairing) == []

    assert state.export("task.result").read_text() == "Later."
    assert state.found() == []


def test_no_process_can_commit_while_a_repair_writes_an_export(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its newer export would be replaced by an older one."""
    write, tried = files.export, list[Path]()

    def locked_out(path: Path, content: bytes) -> None:
        with state.ledger.impatient(0.01), pytest.raises(LedgerFault, match="locked"):
            worked.queue(state.ledger, state.run.session, "And more.")
        tried.append(path)
        write(path, content)

    state.export("task.json").unlink()
    monkeypatch.setattr(files, "export", locked_out)

    assert [each.fixed for each in state.repaired()] == [True]

    assert tried == [state.export("task.json")]


def test_exports_that_cannot_be_rendered_any_more_are_kept(state: State) -> None:
    names = ("task.log", "task.json", "task.result")
    before = [state.export(name).read_bytes() for name in names]
    shutil.rmtree(state.files.directory)

    found = state.repaired()

    assert [each.kind for each in found] == ["files-gone"]
    assert [state.export(name).read_bytes() for name in names] == before
    assert ANSWER.encode() in before[0]
