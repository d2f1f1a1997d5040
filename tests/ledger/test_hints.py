"""An error names one problem once, and a fix that removes it."""

import os
import pwd
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import worked
from support.runs import settings
from support.worked import FIRST, OTHER

from runner import clock, config, files
from runner.cli import codex_tasks, parse_codex_run
from runner.config import Config
from runner.errors import FileFault, LedgerFault
from runner.ledger.database import BACKUP, NAME, refuse_foreign
from runner.ledger.ledger import Ledger
from runner.service import disk, doctor, migrate
from runner.service.verify import verify

LOG = __file__
ELSEWHERE = "use another state directory: export CODEX_RUNNER_HOME=DIR"


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    state = str(tmp_path / "state")
    monkeypatch.setenv("CODEX_RUNNER_HOME", state)
    monkeypatch.setattr(sys, "argv", ["codex-tasks"])
    return settings(tmp_path, CODEX_RUNNER_HOME=state)


def lose(home: Path) -> None:
    home.mkdir()
    (home / BACKUP).touch()


def obstruct(home: Path) -> None:
    (home / NAME).mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "reason"), [(lose, "it is missing"), (obstruct, "it is a directory")]
)
def test_a_ledger_that_is_not_there_is_named_once_with_one_fix(
    ours: Config,
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    reason: str,
) -> None:
    spoil(ours.state_home)

    detail, fix = doctor._state(ours)
    assert codex_tasks.main(["verify"]) == 1
    told = capfd.readouterr().out

    path = ours.state_home / NAME
    assert detail == f"cannot use the ledger {path}: {reason}"
    assert fix == "codex-tasks verify --repair"
    assert told == f"ledger {path}: {reason} (verify --repair fixes it)\n"


USES = pytest.mark.parametrize(
    "use",
    [
        lambda ours: Ledger(ours.state_home),
        verify,
        lambda ours: migrate.migrate(ours, print),
        migrate.restore,
        lambda ours: disk.purge(ours, is_wanted=True),
    ],
    ids=["ledger", "verify", "migrate", "restore", "purge"],
)


@USES
@pytest.mark.parametrize("has_ledger", [False, True])
def test_a_state_directory_of_another_user_is_refused_by_name(
    ours: Config,
    monkeypatch: pytest.MonkeyPatch,
    use: Callable[[Config], object],
    *,
    has_ledger: bool,
) -> None:
    ours.state_home.mkdir()
    if has_ledger:
        Ledger(ours.state_home).close()
    owner = pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(LedgerFault, match=f"belongs to the user {owner} ") as caught:
        use(ours)
    assert caught.value.hint == f"run this as {owner}, or {ELSEWHERE}"


@pytest.mark.parametrize("caller", ["1", "2", None])
def test_sudo_makes_no_state_directory_in_one_of_its_caller(
    ours: Config, monkeypatch: pytest.MonkeyPatch, caller: str | None
) -> None:
    real = files.status

    def owned(path: Path) -> os.stat_result | None:
        found = real(path)
        return found and os.stat_result([*found[:4], 1, *found[5:]])

    monkeypatch.setattr(files, "status", owned)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(config, "sudo_caller", lambda: caller)
    name = pwd.getpwuid(1).pw_name

    if caller == "1":
        with pytest.raises(LedgerFault, match=f"belongs to the user {name} "):
            Ledger(ours.state_home)
    else:
        refuse_foreign(ours.state_home)
    assert not ours.state_home.exists()


@USES
def test_a_state_directory_that_may_not_be_used_is_refused_with_a_fix(
    ours: Config,
    monkeypatch: pytest.MonkeyPatch,
    use: Callable[[Config], object],
) -> None:
    home = ours.state_home
    home.mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)

    reason = "its directory is not readable or not writable"
    with pytest.raises(LedgerFault, match=reason) as caught:
        use(ours)

    hint = f"make {home} and its files readable and writable, or {ELSEWHERE}"
    assert caught.value.hint == hint


def test_the_state_directory_has_its_own_hint_also_with_a_log_directory(
    ours: Config, tmp_path: Path
) -> None:
    ledger = Ledger(ours.state_home)
    (ours.state_home / "runs").touch()

    with pytest.raises(FileFault) as caught:
        worked.prepare(ledger, ours, log_dir=str(tmp_path / "logs"))

    assert caught.value.hint == ELSEWHERE


@pytest.mark.parametrize("words", [["-a"], ["-A"]])
def test_status_says_how_the_first_task_is_started(
    ours: Config, capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert codex_tasks.main(["status", *words]) == 0
    new = capfd.readouterr().err
    worked.work(Ledger(ours.state_home), ours)
    assert codex_tasks.main(["status", "-A"]) == 0
    idle = capfd.readouterr().err

    assert new.endswith(
        "there are no tasks yet (codex-tasks start PROMPT starts one)\n"
    )
    assert idle == "codex-tasks: no task is running\n"


def test_prune_names_a_directory_of_files_that_stay_once(
    ours: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ledger, logs = Ledger(ours.state_home), str(tmp_path / "logs")
    for thread in (FIRST, OTHER):
        worked.work(ledger, ours, thread, log_dir=logs)
    # The runs end a moment from now.
    monkeypatch.setattr(clock, "now", lambda: clock.at(4e9))

    assert codex_tasks.main(["prune", "--older-than", "0s", "-a"]) == 0

    out, err = capfd.readouterr()
    assert err == f"codex-tasks: files of removed runs stay in {logs}\n"
    assert out.splitlines()[-1].startswith("2 tasks removed; ")


def test_prune_names_what_it_cannot_remove_and_counts_tasks_alone(
    ours: Config, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Ledger(ours.state_home).close()
    stray = ours.state_home / "runs" / "20260101-000000-000000-00000000"
    stray.mkdir(parents=True)
    os.utime(stray, (0, 0))
    monkeypatch.setattr("runner.files.remove_tree", lambda _: ["it: no permission"])

    assert codex_tasks.main(["prune", "--older-than", "1d"]) == 1

    out, err = capfd.readouterr()
    assert err == "codex-tasks: not removed: it: no permission\n"
    assert "0 tasks and 1 run without a task removed" in out


@pytest.mark.parametrize(
    "text", [b"a shopping list\n", b'{"a": 1}\n', b"\0\xff\n\x1b", b""]
)
def test_a_file_that_is_not_of_a_run_is_named_and_not_summarised(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], text: bytes
) -> None:
    log = tmp_path / "file"
    log.write_bytes(text)

    assert parse_codex_run.main(["--log", str(log)]) == 1

    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"no Codex output in {log}" in err


@pytest.mark.parametrize(
    "words", [["--log", "/dev/zero"], ["--log", LOG, "--meta", "/"]]
)
def test_what_is_no_file_is_refused(
    capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert parse_codex_run.main(words) == 2

    assert ": is a d" in capfd.readouterr().err
