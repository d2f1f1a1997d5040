from hypothesis import given
from hypothesis import strategies as st

from parsers.lines import LineBuffer

TEXTS = st.lists(st.sampled_from([b"\n", b"a", b"\r\n", b"\0", b"{}"])).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [
        data[start:end]
        for start, end in zip([0, *ends], [*ends, len(data)], strict=True)
    ]


@given(data=TEXTS, places=st.lists(st.integers(0, 50)))
def test_a_buffer_gives_the_same_lines_wherever_the_chunks_end(
    data: bytes, places: list[int]
) -> None:
    buffer = LineBuffer()
    lines = [line for chunk in cut(data, places) for line in buffer.feed(chunk)]

    assert [*lines, buffer.pending] == data.split(b"\n")


def test_pending_may_be_read_at_any_time() -> None:
    buffer = LineBuffer()

    assert buffer.pending == b""
    assert buffer.feed(b"ab") == []
    assert buffer.pending == b"ab"
    assert buffer.feed(b"c\nd") == [b"abc"]
    assert buffer.pending == b"d"


def test_a_long_line_is_joined_once_however_many_chunks_it_comes_in() -> None:
    buffer = LineBuffer()
    for _ in range(100_000):
        buffer.feed(b"x" * 10)

    assert len(buffer._chunks) == 100_000
    assert buffer.feed(b"\n") == [b"x" * 1_000_000]
