from __future__ import annotations

import json

from node.database.texts import storable, storable_json


def test_what_a_database_refuses_is_replaced_and_nothing_else() -> None:
    assert storable("a\0\ud83d\nü\U0001f600\x1b") == "a��\nü\U0001f600\x1b"


def test_texts_at_any_depth_of_json_are_meant_and_what_looks_like_an_escape_is_left() -> None:
    content = {"a\0": [("\udfff", 1, None, True)], "b": "\\u0000"}
    assert json.loads(storable_json(content)) == {"a�": [["�", 1, None, True]], "b": "\\u0000"}
