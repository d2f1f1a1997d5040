"""Settings come from files too; a foreign one can do no harm, a wrong one stops."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import rows_of
from support.runs import AT, settings

from parsers.struct import replace
from runner import clock, config_files
from runner.cli import codex_tasks, run_codex_task
from runner.cli.run_codex_task import parse
from runner.config import Config
from runner.errors import UsageError
from runner.ledger.ledger import Ledger
from runner.lifecycle import queue as delivery
from runner.lifecycle import recover
from runner.model import RunRequest
from runner.service.queue import options

USUAL = dict.fromkeys(("group", "priority", "not_before", "expires", "key", "dedup"))
UNASKED = {**USUAL, "after": (), "after_any_end": (), "retries": None}
UNASKED |= {"recoveries": None, "no_park": False}


class Place:
    """A state directory, a repository, and the commands in it."""

    def __init__(
        self,
        home: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        self.state, self.repo, self._capfd = home / ".codex/tasks", home / "repo", capfd
        self.state.mkdir(parents=True)
        self.repo.mkdir()
        self.own = self.state / "runner.toml"
        self.foreign = self.repo / ".codex-runner.toml"
        self.settings = settings(home)
        monkeypatch.chdir(self.repo)
        monkeypatch.setenv("HOME", str(home))
        for name in ("CODEX_HOME", "CODEX_RUNNER_HOME", "CODEX_TIMEOUT_SECONDS"):
            monkeypatch.delenv(name, raising=False)

    def in_force(self, **environment: str) -> Config:
        named = {**self.settings.environment, **environment}
        return config_files.in_force(
            replace(self.settings, environment=named), self.repo
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        code = codex_tasks.main(words)
        out, err = self._capfd.readouterr()
        return code, out, err

    def rows(self) -> dict[str, tuple[object, str, str | None]]:
        code, out, _ = self.run("config", "--json")
        assert code == 0
        return {
            row["key"]: (row["value"], row["source"], row["where"])
            for row in rows_of(out)
        }


@pytest.fixture
def place(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Place:
    return Place(tmp_path, monkeypatch, capfd)


def test_without_files_all_settings_have_their_defaults(place: Place) -> None:
    assert place.in_force() == place.settings
    assert {source for _, source, _ in place.rows().values()} == {"default"}
    assert place.rows()["stall_timeout"] == (3600, "default", None)


def test_a_file_is_read_by_tomllib_and_a_missing_one_by_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tomllib", None)
    assert place.in_force() == place.settings
    assert place.rows()["model"] == (None, "default", None)

    place.own.write_text('model = "m"\n')
    with pytest.raises(ImportError):
        place.in_force()


def test_command_line_variable_repository_state_directory_in_this_order(
    place: Place,
) -> None:
    place.own.write_text('timeout = 1\nstall_timeout = 1\nmodel = "own"\nretries = 1\n')
    place.foreign.write_text('timeout = 2\nstall_timeout = 2\nmodel = "foreign"\n')

    found = place.in_force(CODEX_TIMEOUT_SECONDS="3")
    assert (found.stall_seconds, found.model, found.retries) == (2, "foreign", 1)
    assert found.timeout_seconds is place.settings.timeout_seconds

    words = ["--repo", str(place.repo), "--task", "x"]
    limits = parse(words, place.settings).words.limits
    assert (limits.timeout, limits.stall) == (2, 2)
    named = parse(
        [*words, "--timeout=4", "--stall-timeout=0", "-m", "n"], place.settings
    )
    assert (named.words.limits.timeout, named.words.limits.stall) == (4, None)
    assert named.words.codex.model == "n"


def test_the_nearest_file_up_to_the_root_of_the_repository_is_honoured(
    place: Place, tmp_path: Path
) -> None:
    inner = place.repo / "docs" / "api"
    inner.mkdir(parents=True)
    place.foreign.write_text('model = "of the root"\n')
    assert config_files.in_force(place.settings, inner).model is None

    (place.repo / ".git").write_text("gitdir: elsewhere\n")
    assert config_files.in_force(place.settings, inner).model == "of the root"
    (tmp_path / "link").symlink_to(inner)
    link = tmp_path / "link"
    assert config_files.in_force(place.settings, link).model == "of the root"

    (inner.parent / place.foreign.name).write_text('model = "nearer"\n')
    assert config_files.in_force(place.settings, inner).model == "nearer"
    (inner / ".git").mkdir()
    assert config_files.in_force(place.settings, inner).model is None


def test_config_says_where_each_value_comes_from(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.own.write_text('# mine\nsandbox = "workspace-write"\nretries = 1\n')
    place.foreign.write_text("retries = 2\n")
    monkeypatch.setenv("CODEX_TIMEOUT_SECONDS", "5")

    rows = place.rows()

    own = f"{place.own}:2"
    assert rows["sandbox"] == ("workspace-write", "state directory", own)
    assert rows["retries"] == (2, "repository", f"{place.foreign}:1")
    assert rows["timeout"] == (5, "environment", "CODEX_TIMEOUT_SECONDS")
    _, out, _ = place.run("config", "sandbox")
    assert re.search(rf"sandbox +workspace-write +{re.escape(own)}", out)


@pytest.mark.parametrize(
    "extra",
    [
        ["--", "-s", "danger-full-access"],
        ["--", "--dangerously-bypass-approvals-and-sandbox"],
        ["--", "--approve-for-me"],
        ["-c", "sandbox_mode=read-only"],
        ["--", "-cdefault_permissions=x"],
        ["--", "--config=sandbox_mode=read-only"],
    ],
)
def test_a_sandbox_in_codex_s_own_arguments_is_the_command_line_s(
    place: Place, extra: list[str]
) -> None:
    place.own.write_text('sandbox = "workspace-write"\n')
    words = ["--repo", str(place.repo), "--task", "x"]

    assert parse(words, place.settings).words.codex.sandbox == "workspace-write"
    assert parse([*words, *extra], place.settings).words.codex.sandbox is None


def test_prompts_of_the_queue_have_the_retries_of_the_settings(
    place: Place, tmp_path: Path
) -> None:
    place.own.write_text("retries = 2\nrecoveries = 1\n")
    ledger = Ledger(tmp_path / "ledger")

    usual = options(UNASKED, ledger, place.in_force())
    asked = options({**UNASKED, "retries": "0"}, ledger, place.in_force())

    assert (usual.retries, usual.recoveries) == (2, 1)
    assert (asked.retries, asked.recoveries) == (0, 1)
    for wrong in ("101", "x", "-1", "1.5", "9" * 5000):
        with pytest.raises(UsageError, match=r"--retries .* from 0 to 100"):
            options({**UNASKED, "retries": wrong}, ledger, place.settings)


# A foreign file


def test_a_repository_can_narrow_the_sandbox(place: Place) -> None:
    place.own.write_text('sandbox = "danger-full-access"\n')
    place.foreign.write_text('sandbox = "read-only"\n')

    assert place.in_force().sandbox == "read-only"


@pytest.mark.parametrize(
    "line",
    [
        'sandbox = "workspace-write"',
        'sandbox = "danger-full-access"',
        'continue_prompt = "Send it."',
        "env_deny = []",
        'env_allow = ["*"]',
    ],
)
def test_what_could_do_harm_is_refused_in_a_repository(place: Place, line: str) -> None:
    key = line.partition(" ")[0]
    place.own.write_text(f"{line}\n")
    assert place.rows()[key][1] == "state directory"

    place.foreign.write_text(f"retries = 1\n{line}\n")

    wrong = rf"{re.escape(str(place.foreign))}:2: {key}: a repository cannot set it"
    with pytest.raises(UsageError, match=wrong):
        place.in_force()


# A wrong file

WRONG = [
    ("retreis = 1", "1: no setting 'retreis'"),
    ("[sandbox]", "1: sandbox: {} is not one of read-only"),
    ('\n# x\nmodel = """\na"""\nfoo.bar = 1', "5: no setting 'foo'"),
    ('codex_bin = "/tmp/x"', "1: no setting 'codex_bin'"),
    ('sandbox = "off"', "1: sandbox: 'off' is not one of read-only"),
    ('model = "--yolo"', "1: model: '--yolo' is not the name of a model"),
    ("model = 5", "1: model: 5 is not"),
    ("timeout = -1", "1: timeout: -1 is not a number of seconds up to"),
    ("timeout = nan", "1: timeout: nan is not"),
    ("timeout = true", "1: timeout: True is not"),
    ('stall_timeout = "soon"', "1: stall_timeout: 'soon' is not"),
    ("retries = 1.5", "1: retries: 1.5 is not a number of times"),
    ("retries = true", "1: retries: True is not"),
    (f"retries = 0x{'f' * 5000}", "1: retries: this number is not"),
    ('env_deny = "A"', "1: env_deny: 'A' is not a list"),
    ("env_deny = [1]", "1: env_deny: [1] is not a list"),
    ("a = 1\na = 2", "(at line 2"),
    ("\nretries 1", "(at line 2"),
    (f"a = {'[' * 8000}", "recursion"),
    ("#" * 9000, "has more than 8192 characters"),
]


@pytest.mark.parametrize(("text", "wrong"), WRONG)
def test_a_wrong_file_is_named_with_its_line_and_key(
    place: Place, text: str, wrong: str
) -> None:
    for path in (place.own, place.foreign):
        path.write_text(text)
        with pytest.raises(UsageError) as refused:
            place.in_force()
        path.unlink()
        assert str(refused.value).startswith(str(path))
        assert wrong in str(refused.value)


def test_a_file_that_cannot_be_read_is_wrong_too(place: Place) -> None:
    place.own.write_bytes(b"model = '\xff'")
    with pytest.raises(UsageError, match="utf-8"):
        place.in_force()
    place.own.unlink()
    place.own.mkdir()
    with pytest.raises(UsageError, match=r"runner\.toml: cannot be read"):
        place.in_force()


@pytest.mark.parametrize("is_foreign", [False, True])
def test_what_would_start_codex_is_refused(place: Place, *, is_foreign: bool) -> None:
    path = place.foreign if is_foreign else place.own
    path.write_text("x = 1\n")
    reason = f"{path}:1: no setting 'x'"

    for words in (["start", "Go"], ["start", "--queue", "Go"]):
        code, out, err = place.run(*words)
        assert (code, out) == (2, "")
        assert err.count(reason) == 1
    assert run_codex_task.main(["--repo", ".", "--task", "x"]) == 2
    assert not (place.state / "runs").exists()


def test_a_send_is_refused_in_the_directory_of_its_task(place: Place) -> None:
    with (ledger := Ledger(place.state)).transaction():
        ledger.sessions.open(clock.iso(AT), thread="t" * 8, repo=str(place.repo))
    place.foreign.write_text("x = 1\n")

    for more in ([], ["--queue"]):
        code, out, err = place.run("send", *more, "t" * 8, "Go")
        assert (code, out) == (2, "")
        assert f"{place.foreign}:1: no setting 'x'" in err


@pytest.mark.parametrize(
    "words", [["ls"], ["status", "-a"], ["stop", "-a"], ["queue"], ["log", "x"]]
)
def test_other_commands_go_on_with_a_note(place: Place, words: list[str]) -> None:
    before, _, _ = place.run(*words)
    place.own.write_text("x = 1\n")

    code, _, err = place.run(*words)

    assert code == before
    assert err.count(f"{place.own}:1: no setting 'x'") == 1


def test_a_doctor_goes_on_with_a_note(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.service.doctor.examine_tasks", lambda *_: [])
    place.own.write_text("x = 1\n")

    code, _, err = place.run("doctor")

    assert code == 0
    assert err.count(f"{place.own}:1: no setting 'x'") == 1
    assert parse(["--repo", ".", "--doctor"], place.settings).doctor


def queued(place: Place) -> Ledger:
    with (ledger := Ledger(place.state)).transaction():
        session = ledger.sessions.open(clock.iso(AT), repo=str(place.repo))
    ledger.queue.add(session, b"More.", "More.", AT)
    return ledger


@pytest.mark.parametrize("is_foreign", [False, True])
def test_a_delivery_waits_and_says_so_until_the_file_is_right(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, is_foreign: bool
) -> None:
    """The settings of a timer are older than the file, before and after."""
    asked = list[RunRequest]()

    def start_run(make: Callable[[Ledger], RunRequest], *_: object) -> None:
        asked.append(make(ledger))

    ledger, path = queued(place), place.foreign if is_foreign else place.own
    monkeypatch.setattr(delivery, "start_run", start_run)
    path.write_text('model = "m"\nx = 1\n')

    swept = recover.sweep(ledger, place.settings, is_timer=True)

    (fault,) = swept.faults
    assert f"{path}:2: no setting 'x'" in fault
    assert asked == []
    (waiting,) = ledger.all("all_waiting")
    assert waiting["word"] is None
    path.write_text('model = "m"\n')
    assert recover.sweep(ledger, place.settings, is_timer=True).faults == ()
    (request,) = asked
    assert request.codex.model == "m"


# Writing


@pytest.mark.parametrize(
    ("before", "words", "after"),
    [
        (None, "timeout 60", "timeout = 60\n"),
        ("# mine", "retries 2", "# mine\nretries = 2\n"),
        ("timeout = 1   # an hour", "timeout 3600", "timeout = 3600   # an hour"),
        (
            'model = "a # b" # c\r\nretries = 1\r\n',
            "model d",
            'model = "d" # c\r\nretries = 1\r\n',
        ),
        (
            '# top\n"env_deny" = [ # a\n  "A#",\n] # end\n\nretries = 1\n',
            "env_deny B*,C",
            '# top\nenv_deny = ["B*", "C"] # end\n\nretries = 1\n',
        ),
        ("retries = 'x'\n", "retries 3", "retries = 3\n"),
        ("", "timeout 1.5", "timeout = 1.5\n"),
    ],
)
def test_a_setting_is_written_and_the_rest_of_the_file_stays(
    place: Place, before: str | None, words: str, after: str
) -> None:
    if before is not None:
        place.own.write_bytes(before.encode())

    assert place.run("config", *words.split()) == (0, "", "")

    assert place.own.read_bytes() == after.encode()
    assert place.own.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("before", "words", "wrong"),
    [
        ("", ["retries", "x"], "retries 'x' is not a number of times"),
        ("", ["sandbox", "off"], "sandbox 'off' is not one of"),
        ("", ["model", "a\nb"], "is not the name of a model"),
        ("", ["no-such", "1"], "'no-such' is none of sandbox, model"),
        ("", ["model", "a", "b"], "one setting and one value"),
        ("x = 1\n", ["model", "m"], "runner.toml:1: no setting 'x'"),
        ("x = \n", ["model", "m"], "(at line 1"),
        ("", ["continue_prompt", "a\x7f"], "runner.toml"),
    ],
)
def test_a_setting_that_is_wrong_is_not_written(
    place: Place, before: str, words: list[str], wrong: str
) -> None:
    place.own.write_text(before)

    code, out, err = place.run("config", *words)

    assert (code, out) == (2, "")
    assert wrong in err
    assert place.own.read_text() == before


def test_a_linked_file_stays_a_link(place: Place) -> None:
    mine = place.repo / "mine.toml"
    mine.write_text("# mine\n")
    place.own.symlink_to(mine)

    assert place.run("config", "retries", "1")[0] == 0

    assert place.own.is_symlink()
    assert mine.read_text() == "# mine\nretries = 1\n"


def test_a_setting_that_another_place_hides_is_noted(place: Place) -> None:
    place.foreign.write_text("retries = 1\n")

    code, _, err = place.run("config", "retries", "2")

    assert code == 0
    assert f"{place.foreign}:1 sets another retries" in err


def test_config_shows_the_rest_beside_a_wrong_file(place: Place) -> None:
    place.own.write_text("recoveries = 7\nx = 1\n")
    place.foreign.write_text("retries = 1\n")

    code, out, err = place.run("config")

    assert code == 2
    assert f"{place.foreign}:1" in out
    assert "7" not in out.split("recoveries")[1].splitlines()[0]
    assert f"{place.own}:2: no setting 'x'" in err


def test_a_wrong_option_is_refused_before_anything_is_cloned(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.service.clone.clone", lambda *_: pytest.fail("cloned"))

    code, _, err = place.run("start", "--repo", "x", "--timeout", "y", "Go")

    assert code == 2
    assert "--timeout" in err
