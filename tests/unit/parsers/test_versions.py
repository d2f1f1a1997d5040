import pytest

from parsers.text import release


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("0.80.0", (0, 80)),
        ("0.169.0-alpha.3", (0, 169)),
        ("0.80-beta", (0, 80)),
        ("1", (1,)),
        ("unknown", None),
        ("0.x", None),
        ("", None),
        (None, None),
    ],
)
def test_a_release_is_the_first_two_numbers_of_a_version(
    version: str | None, numbers: tuple[int, ...] | None
) -> None:
    assert release(version) == numbers
