"""Texts that every database takes: PostgreSQL refuses a NUL, and no database has half a surrogate pair.

What a peer says of itself, a value of a header, a server's answer: any of them may hold one, and none of them is a
reason not to record what happened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

REFUSED = re.compile("[\0\ud800-\udfff]")
INSTEAD = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """The text with a replacement character for each that a database refuses."""
    if text.isascii() and "\0" not in text:  # nearly all: a look that costs a receipt nothing
        return text
    return REFUSED.sub(INSTEAD, text)


def storable_json(content: object) -> str:
    """JSON in whose texts the same is done."""
    return json.dumps(_storable(content))


def _storable(content: object) -> object:
    if isinstance(content, str):
        return storable(content)
    if isinstance(content, Mapping):
        return {_storable(key): _storable(value) for key, value in content.items()}
    return [_storable(value) for value in content] if isinstance(content, list | tuple) else content
