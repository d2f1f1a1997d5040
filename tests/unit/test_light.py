# ruff: noqa: ANN401 - the light one or the one of the standard library
# mypy: disable-error-code="untyped-decorator, unreachable, attr-defined"

"""The light parts answer as the standard library does, in all that is used of it."""

from __future__ import annotations

import contextlib
import copy
import enum
import io
import json
import pathlib
import shlex
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import json_text, light
from parsers.paths import Path

_PIECES = st.sampled_from(
    ["a", "b.c", ".d", "..", ".", "", "é x", "%", "e.", "f.tar.gz"]
)
_TEXTS = st.builds(
    lambda root, pieces: root + "/".join(pieces),
    st.sampled_from(["", "/"]),
    st.lists(_PIECES, max_size=5),
).filter(lambda text: not text.startswith("//"))


@given(_TEXTS, _TEXTS)
def test_a_path_is_read_and_joined_as_pathlib_does(one: str, two: str) -> None:
    ours, theirs = Path(one), pathlib.Path(one)
    for name in ("parts", "name", "stem"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert str(ours) == str(theirs)
    assert str(ours / two) == str(theirs / two)
    assert str(ours.parent) == str(theirs.parent)
    assert [*ours.parents] == [*theirs.parents]
    assert str(ours.absolute()) == str(theirs.absolute())
    assert ours.is_relative_to(two) == theirs.is_relative_to(two)
    assert (ours < Path(two)) == (theirs < pathlib.Path(two))
    assert (ours == Path(two)) == (theirs == pathlib.Path(two))
    assert ours.absolute().as_uri() == theirs.absolute().as_uri()
    if theirs.is_relative_to(two):
        assert str(ours.relative_to(two)) == str(theirs.relative_to(two))


def test_what_a_file_is_and_holds_is_told_as_pathlib_does(
    tmp_path: pathlib.Path,
) -> None:
    ours, theirs = Path(tmp_path), tmp_path
    (ours / "a/b").mkdir(parents=True)
    (ours / "a/b").mkdir(exist_ok=True)
    (ours / "a/f.txt").write_text("é", encoding="utf-8")
    (theirs / "a/link").symlink_to("nowhere")
    for name in ("a", "a/b", "a/f.txt", "a/link", "a/f.txt/x", "a/\0"):
        for question in ("exists", "is_dir", "is_file"):
            assert (
                getattr(ours / name, question)() == getattr(theirs / name, question)()
            )
    assert {*ours.glob("a/*")} == {Path(each) for each in theirs.glob("a/*")}
    assert {*(ours / "a").iterdir()} == {*map(Path, (theirs / "a").iterdir())}
    assert (ours / "a/f.txt").read_bytes() == "é".encode()
    assert (ours / "a/link").readlink() == Path("nowhere")
    assert (ours / "a/../a/link").resolve() == (theirs / "a/../a/link").resolve()
    (ours / "a/f.txt").rename(ours / "a/g")
    (ours / "a/g").replace(ours / "a/h")
    (ours / "a/h").unlink()
    (ours / "a/h").unlink(missing_ok=True)
    with pytest.raises(FileExistsError):
        (ours / "a").mkdir()
    with pytest.raises(FileNotFoundError):
        (ours / "x/y").mkdir()


def test_what_is_rarely_asked_of_a_path_pathlib_answers(tmp_path: pathlib.Path) -> None:
    ours, theirs = Path(tmp_path) / "a.tar.gz", tmp_path / "a.tar.gz"
    ours.touch()
    assert ours.suffixes == theirs.suffixes
    assert ours.with_suffix(".x") == theirs.with_suffix(".x")
    assert ours in [*tmp_path.iterdir()]
    assert not hasattr(ours, "no_such_thing")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_VALUES, st.sampled_from([None, 1, 2]), st.booleans())
def test_json_is_written_and_read_as_json_does(
    value: object,
    indent: int | None,
    is_ascii: bool,  # noqa: FBT001 - drawn
) -> None:
    text = json_text.dumps(value, indent=indent, ensure_ascii=is_ascii)
    assert text == json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    compact = json_text.dumps(value, separators=(",", ":"))
    assert compact == json.dumps(value, separators=(",", ":"))
    assert json_text.loads(f" {text}\n") == value


@pytest.mark.parametrize(
    "text", ["", "{", "nul", "[1,]", '{"a" 1}', "1 2", '"\t"', "\ufeff1", "[" * 99_999]
)
def test_what_is_no_json_is_refused_as_json_does(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as theirs:
        json.loads(text)
    with pytest.raises(theirs.type) as ours:
        json_text.loads(text)
    assert str(ours.value) == str(theirs.value)


def test_what_is_no_json_is_refused_before_json_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "json"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ValueError, match="double quotes"):
        json_text.loads("{")


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="object is not JSON serializable"):
        json_text.dumps({"a": object()})
    assert json_text.dumps([b"x"], default=str) == json.dumps([b"x"], default=str)


@pytest.mark.parametrize("base", [light.StrEnum, enum.StrEnum])
def test_words_are_those_of_an_enum(base: Any) -> None:
    class Word(base):  # type: ignore[misc]
        ONE = "one"
        TWO = "two"

        @property
        def twice(self) -> Any:
            return self + self

    with pytest.raises(ValueError, match=r"'three' is not a valid .*Word"):
        Word("three")
    one: Any = Word("one")
    assert one is Word.ONE
    assert isinstance(one, Word)
    assert [one.name, one.value, f"{one}", str(one)] == ["ONE", "one", "one", "one"]
    assert repr(one) == "<Word.ONE: 'one'>"
    assert one.twice == "oneone"
    assert [*Word] == ["one", "two"]
    assert len(Word) == 2
    assert Word.ONE in Word
    assert {Word.ONE: 1}["one"] == 1
    assert copy.deepcopy(one) is one


def _blocks(source: Any) -> list[object]:
    done: list[object] = []

    @source.contextmanager
    def block(name: str, *, is_quiet: bool = False) -> Any:
        try:
            yield name
        except KeyError:
            done.append(f"{name} saw it")
            if not is_quiet:
                raise
        finally:
            done.append(f"{name} ends")

    with contextlib.suppress(KeyError), source.ExitStack() as at_the_end:
        done.append(at_the_end.enter_context(block("outer")))
        at_the_end.callback(done.append, "called")
        at_the_end.enter_context(block("inner"))
        raise KeyError
    with source.ExitStack() as at_the_end:
        at_the_end.enter_context(block("quiet", is_quiet=True))
        raise KeyError
    with source.ExitStack() as at_the_end:
        at_the_end.callback(done.append, "kept")
        kept = at_the_end.pop_all()
    done.append("left")
    kept.close()
    at_the_end = source.ExitStack()
    at_the_end.enter_context(block("last"))
    at_the_end.callback(_fail)
    with pytest.raises(OSError, match="later"):
        at_the_end.close()
    with source.suppress(ValueError, LookupError):
        raise KeyError
    with pytest.raises(KeyError), source.suppress(ValueError):
        raise KeyError
    with source.nullcontext(3) as three:
        done.append(three)
    with source.closing(io.StringIO()) as file:
        done.append(file.closed)
    return [*done, file.closed]


def _fail() -> None:
    raise OSError("later")


def test_blocks_end_as_those_of_contextlib() -> None:
    assert _blocks(light) == _blocks(contextlib)


@given(st.text())
def test_a_word_is_quoted_as_shlex_does(word: str) -> None:
    assert light.quote(word) == shlex.quote(word)


def test_a_pattern_is_compiled_at_its_first_use() -> None:
    number: Any = light.pattern(r"(?i)x(\d+)")
    assert "fullmatch" not in vars(number)
    assert number.fullmatch("X12")[1] == "12"
    assert number.fullmatch("12") is None
    assert [each[1] for each in number.finditer("x1 x2")] == ["1", "2"]
    assert number.sub("-", "ax1b") == "a-b"
    assert number.pattern == r"(?i)x(\d+)"
