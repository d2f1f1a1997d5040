from parsers.text import uuid


def test_a_uuid_is_put_into_lower_case_and_nothing_else_is_one() -> None:
    name = "01A1F87A-1EDB-7772-A295-BCDEC2D6D2FD"

    assert uuid(name) == name.lower()
    assert uuid("../../etc") is None
    assert uuid(f"{name}/..") is None
    assert uuid(7) is None
