"""The file of the ledger: made once, never replaced by an empty one, backed up."""

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pytest
from support import ledgers
from support.runs import AT

from parsers.paths import Path
from runner import clock, files
from runner.errors import FileFault, LedgerFault, RunnerFault
from runner.exports import queue_files
from runner.ledger import database, file_systems
from runner.ledger.database import BACKUP, NAME, OLD_BACKUP
from runner.ledger.ledger import Ledger


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "state"


def mounts(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Put a table of mounts in the place of the kernel's."""
    real = Path.read_text

    def read_text(path: Path, *arguments: str, **named: str) -> str:
        if str(path) == "/proc/self/mountinfo":
            return "".join(line + "\n" for line in lines)
        return real(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", read_text)


def mount(point: Path | str, kind: str) -> str:
    name = str(point).replace(" ", "\\040")
    return f"36 35 98:0 / {name} rw,noatime shared:1 - {kind} server:/x rw"


def test_a_ledger_is_private_and_of_this_schema(home: Path) -> None:
    Ledger(home).close()

    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / NAME).stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(home / NAME)) as db:
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
        version = db.execute("pragma user_version").fetchone()
        assert version == (database.SCHEMA,)
    assert [path.name for path in home.iterdir()] == [NAME]


def test_of_commands_that_begin_at_once_one_makes_the_ledger(home: Path) -> None:
    barrier = threading.Barrier(8)
    made: list[int] = []

    def begin() -> None:
        barrier.wait()
        with closing(Ledger(home)) as ledger, ledger.transaction():
            made.append(ledger.sessions.open(clock.iso(AT)))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(made) == list(range(1, 9))
    assert not list(home.glob(".*.part"))


def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(home: Path) -> None:
    Ledger(home).close()
    with closing(sqlite3.connect(home / NAME)) as db:
        db.execute("pragma user_version = 99")
    before = (home / NAME).read_bytes()

    with pytest.raises(LedgerFault, match=r"newer version \(schema 99\)"):
        Ledger(home)

    assert (home / NAME).read_bytes() == before


def damage_bytes(path: Path) -> None:
    path.write_bytes(b"This is no database, and long enough. " * 40)


def other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table notes (text)")


@pytest.mark.parametrize("make", [damage_bytes, other_database, os.mkdir])
def test_what_is_no_ledger_is_refused_and_left_alone(
    home: Path, make: Callable[[Path], None]
) -> None:
    home.mkdir()
    make(home / NAME)

    with pytest.raises(LedgerFault, match=NAME):
        Ledger(home)

    assert os.path.lexists(home / NAME)


def sign_of_old_index(home: Path) -> None:
    (home / OLD_BACKUP).touch()


def sign_of_backup(home: Path) -> None:
    (home / BACKUP).touch()


def sign_of_prompt(home: Path) -> None:
    queue_files.path_of(home, 7).parent.mkdir()
    queue_files.path_of(home, 7).touch()


def sign_of_run(home: Path) -> None:
    owner = home / "runs" / ledgers.run_id(1) / "owner"
    owner.parent.mkdir(parents=True)
    owner.touch()


@pytest.mark.parametrize(
    "sign", [sign_of_old_index, sign_of_backup, sign_of_prompt, sign_of_run]
)
def test_a_ledger_that_is_missing_is_never_replaced_by_an_empty_one(
    home: Path, sign: Callable[[Path], None]
) -> None:
    home.mkdir()
    sign(home)

    with pytest.raises(LedgerFault, match=r"missing.*verify --repair"):
        Ledger(home)

    assert not (home / NAME).exists()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_ledger_is_not_made_on_a_network_file_system(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts(monkeypatch, mount("/", "ext4"), mount(home.parent, kind))

    with pytest.raises(LedgerFault, match=rf"{kind} is a network.*CODEX_RUNNER_HOME"):
        Ledger(home)

    assert not (home / NAME).exists()


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "fuseblk", "tmpfs", "overlay"])
def test_a_ledger_is_made_on_any_other_file_system(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts(monkeypatch, mount("/", "nfs"), mount(home.parent, kind))

    Ledger(home).close()

    assert (home / NAME).exists()


def test_a_ledger_that_is_there_is_opened_without_a_look_at_its_file_system(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger(home).close()
    mounts(monkeypatch, mount("/", "nfs"))

    Ledger(home).close()


def test_the_file_system_is_that_of_the_nearest_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "with a space"
    mounts(
        monkeypatch,
        mount("/", "ext4"),
        mount(place, "nfs"),
        mount(tmp_path, "xfs"),
        mount(place, "cifs"),
        mount(f"{place}-not", "9p"),
    )

    assert file_systems.kind_of(place / "below") == "cifs", "it hides the first"
    assert file_systems.kind_of(tmp_path) == "xfs"
    assert file_systems.kind_of(Path("/somewhere")) == "ext4"


def test_a_second_look_at_the_ledger_costs_the_first_none_of_its_locks(
    home: Path,
) -> None:
    """POSIX drops a process's locks on a file when any descriptor of it is closed."""
    first = Ledger(home)
    with first.transaction():
        locks = own_locks(first.path)
        Ledger(home).close()

        assert locks
        assert own_locks(first.path) >= locks


def own_locks(path: Path) -> set[str]:
    """List this process's locks on the files of a database, as the kernel counts."""
    inodes = {
        str(each.stat().st_ino) for each in path.parent.iterdir() if each.is_file()
    }
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    mine = (line.split() for line in lines)
    return {
        " ".join(words[1:])
        for words in mine
        if words[4] == str(os.getpid()) and words[5].rpartition(":")[2] in inodes
    }


def test_a_transaction_that_is_over_already_hides_no_cause(home: Path) -> None:
    ledger = Ledger(home)
    cause = FileFault("write", Path("meta"), OSError("full"))

    def write() -> None:
        with ledger.transaction():
            ledger._db.execute("rollback")  # as SQLite does itself on a full disk
            raise cause

    with pytest.raises(FileFault) as raised:
        write()

    assert raised.value is cause
    with ledger.transaction():
        assert ledger._db.in_transaction


def test_a_ledger_that_was_replaced_while_it_was_open_takes_no_change(
    home: Path,
) -> None:
    opened = Ledger(home)
    add_session(opened)
    for path in home.glob("ledger.db*"):
        path.unlink()
    with pytest.raises(LedgerFault, match="removed or replaced"):
        add_session(opened)
    database.create(opened.path)

    with pytest.raises(LedgerFault, match="removed or replaced"):
        add_session(opened)

    assert len(opened.sessions.all()) == 1
    assert Ledger(home).sessions.all() == []


def test_what_a_transaction_has_written_before_a_fault_is_not_there(home: Path) -> None:
    ledger = Ledger(home)

    def write() -> None:
        with ledger.transaction(is_durable=True):
            ledger.sessions.open(clock.iso(AT))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()

    assert ledger.sessions.all() == []
    assert ledger._db.execute("pragma synchronous").fetchone()[0] == 1


def test_a_full_disk_is_called_that(home: Path) -> None:
    ledger = Ledger(home)
    ledger._db.execute("pragma max_page_count = 1")

    def write() -> None:
        with ledger.transaction():
            for _ in range(1000):
                ledger.sessions.open(clock.iso(AT), title="x" * 10_000)

    with pytest.raises(LedgerFault, match="full"):
        write()


def test_a_snapshot_answers_as_of_its_beginning(home: Path) -> None:
    first, second = Ledger(home), Ledger(home)

    with first.snapshot():
        assert first.sessions.all() == []
        with second.transaction():
            second.sessions.open(clock.iso(AT))
        assert first.sessions.all() == []

    assert len(first.sessions.all()) == 1


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the clock to a day."""

    def set_day(number: int) -> None:
        monkeypatch.setattr(clock, "now", lambda: AT + timedelta(days=number))

    set_day(0)
    return set_day


def backed_up(home: Path) -> int:
    """Count the sessions in the backup."""
    with closing(database.connect(home / BACKUP)) as db:
        count: int = db.execute("select count(*) from sessions").fetchone()[0]
        return count


def add_session(ledger: Ledger) -> None:
    with ledger.transaction():
        ledger.sessions.open(clock.iso(AT))


def test_the_ledger_is_backed_up_once_a_day(
    home: Path, day: Callable[[int], None]
) -> None:
    ledger = Ledger(home)
    add_session(ledger)
    ledger.back_up_daily()
    assert backed_up(home) == 1
    assert (home / BACKUP).stat().st_mode & 0o777 == 0o600

    add_session(ledger)
    ledger.back_up_daily()
    Ledger(home).back_up_daily()
    assert backed_up(home) == 1

    day(1)
    ledger.back_up_daily()
    assert backed_up(home) == 2
    assert not list(home.glob("*.part"))


@pytest.mark.usefixtures("day")
def test_of_two_that_back_up_at_once_one_copies(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger(home).close()
    copies: list[Path] = []
    monkeypatch.setattr(database, "copy_database", lambda _, to: copies.append(to))
    barrier = threading.Barrier(4)

    def back_up() -> None:
        with closing(Ledger(home)) as own:
            barrier.wait()
            own.back_up_daily()

    threads = [threading.Thread(target=back_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert copies == [home / BACKUP]


def test_a_backup_that_fails_leaves_the_one_before(
    home: Path, day: Callable[[int], None]
) -> None:
    ledger = Ledger(home)
    ledger.back_up_daily()
    add_session(ledger)
    (home / f"{BACKUP}.part").mkdir()
    day(1)

    with pytest.raises(RunnerFault, match=BACKUP):
        ledger.back_up_daily()

    assert backed_up(home) == 0


def test_a_backup_that_failed_is_tried_again_at_the_next_opportunity(
    home: Path, day: Callable[[int], None]
) -> None:
    ledger = Ledger(home)
    add_session(ledger)
    part = home / f"{BACKUP}.part"
    part.mkdir()
    day(1)
    with pytest.raises(RunnerFault, match=BACKUP):
        ledger.back_up_daily()
    part.rmdir()

    ledger.back_up_daily()

    assert backed_up(home) == 1


def test_a_backup_whose_process_was_killed_is_tried_again_in_the_next_hour(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(home)
    monkeypatch.setattr(clock, "now", lambda: AT)
    ledger.write("save_setting", name=BACKUP, value=clock.iso(AT)[:13])

    ledger.back_up_daily()
    assert not (home / BACKUP).exists()
    monkeypatch.setattr(clock, "now", lambda: AT + timedelta(hours=1))
    ledger.back_up_daily()

    assert backed_up(home) == 0


def test_the_write_ahead_log_is_cut_after_a_large_transaction(state_home: Path) -> None:
    log = state_home / f"{NAME}-wal"
    with closing(Ledger(state_home)) as ledger, closing(Ledger(state_home)) as other:
        with ledger.transaction():
            for number in range(40):
                value = f"{number}" * 500_000
                ledger.change("save_setting", name=f"x{number}", value=value)
        assert log.stat().st_size > 20 << 20

        for number in range(3):
            other.write("save_setting", name="small", value=str(number))

        assert log.stat().st_size <= 16 << 20


def test_a_ledger_that_was_opened_on_a_full_disk_is_written_once_there_is_space(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger(home).close()
    real = database._opened

    def full(path: Path, how: str) -> tuple[sqlite3.Connection, int]:
        if how == "mode=rw":
            message = "disk I/O error"
            raise sqlite3.OperationalError(message)
        return real(path, how)

    with monkeypatch.context() as patch, closing(Ledger(home)) as ledger:
        ledger.close()
        patch.setattr(database, "_opened", full)
        with pytest.raises(LedgerFault, match="disk I/O error"):
            ledger.all("run_directories")
        patch.setattr(files, "unwritable", lambda _: "it is full")
        assert ledger.all("run_directories") == []
        with pytest.raises(LedgerFault, match="readonly"):
            ledger.write("save_setting", name="x", value="1")
        patch.undo()

        ledger.write("save_setting", name="x", value="1")

        assert ledger.value("setting", name="x") == "1"
