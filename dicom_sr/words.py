"""Words for the sentences that people read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def counted(number: int, thing: str) -> str:
    """A number of things in words: 1 job, 2 jobs, 2 studies, 2 series."""
    if number == 1 or thing.endswith("s"):
        return f"{number} {thing}"
    if thing.endswith("y") and thing[-2:-1] not in "aeou":  # days, but studies
        return f"{number} {thing[:-1]}ies"
    return f"{number} {thing}s"


def unit_in_words(ucum: str) -> str:
    """A UCUM unit as it is written behind a number: nothing for 1 and for what is only counted, such as ``{ratio}``."""
    return "" if ucum == "1" or ucum.startswith("{") else ucum


def capital(text: str) -> str:
    """A text with its first letter capital; the others stay."""
    return text[:1].upper() + text[1:]


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """``; did you mean 'this'?`` where something like `word` is known, else nothing."""
    names = list(known)
    close = difflib.get_close_matches(str(word).casefold(), [name.casefold() for name in names], n=1, cutoff=0.6)
    return f"; did you mean {next(name for name in names if name.casefold() == close[0])!r}?" if close else ""


# C0, DEL, C1, line and paragraph separators, what turns or hides text (bidirectional marks, zero width), and what is
# left of bytes that are no UTF-8
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]")


_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # how Python keeps a byte of a file's name that is no UTF-8 (PEP 383)


def shown(name: str) -> str:
    r"""A file's name as a text that can be kept and shown: a byte that is not UTF-8 stands as `\xff`.

    So two names that differ in such a byte are shown as two, and each says what to look for.
    """
    return _NOT_UTF8.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", name)


def escaped(text: str, keep: str = "") -> str:
    r"""`text` fit for a terminal or a log: what could move, hide or turn other text stands as `\x1b`, `\n`, `\u202e`.

    Parameters
    ----------
    text
        Of anybody: a value of a header, a file's name, an AE title.
    keep
        Characters that stay as they are.
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else repr(found[0])[1:-1], shown(text))


def escaped_json(text: str) -> str:
    r"""JSON that says the same and has each of those characters in its strings as `\uXXXX`; its line ends stay."""
    return _UNSAFE.sub(lambda found: "\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)
