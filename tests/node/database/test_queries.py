from __future__ import annotations

from node.database.queries import in_chunks


def test_chunks_hold_every_value_once_and_in_order() -> None:
    assert list(in_chunks((str(number) for number in range(5)), 2)) == [["0", "1"], ["2", "3"], ["4"]]


def test_no_values_are_no_chunks() -> None:
    assert list(in_chunks([])) == []
