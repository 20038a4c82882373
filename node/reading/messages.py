"""What the node asks of a reader process, and what it is answered: JSON that the function's own type hints check.

Bytes among the arguments go beside it as they are: they are what a sender sent, and are there once.

A reader may have been taken over by what it read. Its answer is therefore built from the types that the function
declares and nothing else; of errors it may name those of this software.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, get_type_hints

from pydantic import ConfigDict, TypeAdapter

from node.errors import ReaderDied

BESIDE = (bytes, tuple[bytes, ...])  # types of arguments that are not written as text
OURS = ("node.", "pipelines.", "dicom_sr.")  # whose errors cross
EXACT = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
"""For a dataclass that crosses and holds bytes, or numbers that may be none: its `__pydantic_config__`."""

_RAISED: TypeAdapter[tuple[str, tuple[str | int | None, ...]]] = TypeAdapter(tuple[str, tuple[str | int | None, ...]])

RETURNED, RAISED, GOES_ON = b"=", b"!", b"."  # the first byte of an answer
MARK_BYTES = 8  # before a request and its answer: what was made ready for another request is none of this one
LONGEST_WORDS, MOST_WORDS = 300, 8  # characters of what an error says, and arguments of one
OUT_OF_MEMORY = 3  # exit code of a reader that took too much


class NotUnderstood(ValueError):
    """An answer that the function cannot have given."""


class _Types(NamedTuple):
    """How the arguments and the answer of a function are written."""

    hints: tuple[Any, ...]  # of its parameters
    arguments: TypeAdapter[Any]  # with the number of parts for what goes beside it
    answer: TypeAdapter[Any]


@lru_cache(maxsize=256)
def _types_of(function: Callable[..., Any]) -> _Types:
    hints = get_type_hints(function, include_extras=True)
    answer = hints.pop("return")
    kinds = tuple(int if hint in BESIDE else hint for hint in hints.values())
    arguments: Any = tuple[kinds] if kinds else tuple[()]  # type: ignore[valid-type]
    return _Types(tuple(hints.values()), TypeAdapter(arguments, config=EXACT), _adapter(answer))


def _adapter(kind: Any) -> TypeAdapter[Any]:
    own = hasattr(kind, "__dataclass_fields__")  # such a type brings its own configuration
    return TypeAdapter(kind) if own else TypeAdapter(kind, config=EXACT)


def _plain(value: object) -> object:
    """What is written for a value of a type that pydantic does not know: mappings that cannot be changed."""
    if isinstance(value, Mapping):
        return dict(value)
    raise ValueError(f"a {type(value).__name__} cannot be given to a reader, nor come back")


def call(function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[bytes, list[memoryview]]:
    """The request to run a function of a module with these arguments, all of them, in order; and what goes after it.

    Raises
    ------
    ValueError
        If an argument has no form as text.
    TypeError
        If one that should be bytes is none.
    """
    types = _types_of(function)
    parts: list[memoryview] = []
    plain: list[object] = []
    for hint, value in zip(types.hints, arguments, strict=True):
        if hint in BESIDE:
            more = [memoryview(part) for part in ((value,) if hint is bytes else value)]
            parts += more
            value = len(more)
        plain.append(value)
    written = types.arguments.dump_json(tuple(plain), fallback=_plain, warnings=False)
    return f"{function.__module__}:{function.__qualname__} {len(parts)}\n".encode() + written, parts


def parts_after(request: bytes) -> int:
    """How many messages with bytes follow a request."""
    return int(request.partition(b"\n")[0].rpartition(b" ")[2])


def called(request: bytes, parts: Iterable[bytes]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The function and the arguments that `call` wrote."""
    name, _, written = request.partition(b"\n")
    module, _, qualified = name.rpartition(b" ")[0].decode().partition(":")
    function = getattr(importlib.import_module(module), qualified)
    types, after = _types_of(function), iter(parts)
    arguments = []
    for hint, value in zip(types.hints, types.arguments.validate_json(written), strict=True):
        if hint in BESIDE:
            own = tuple(islice(after, value))
            value = own[0] if hint is bytes else own
        arguments.append(value)
    return function, tuple(arguments)


def returned(function: Callable[..., Any], value: object) -> bytes:
    """The answer of a function."""
    return RETURNED + _types_of(function).answer.dump_json(value, fallback=_plain, warnings=False)


def raised(error: Exception) -> bytes:
    """An error that is part of what the function says."""
    kind = type(error)
    plain = tuple(arg if isinstance(arg, str | int | None) else str(arg) for arg in error.args)
    return RAISED + _RAISED.dump_json((f"{kind.__module__}:{kind.__qualname__}", plain))


def crosses(error: Exception) -> bool:
    """Whether it is an error of this software, which the caller knows by its type."""
    return f"{type(error).__module__}.".startswith(OURS)


def marked(mark: bytes, content: bytes) -> bytes:
    """An answer without the mark of its request.

    Raises
    ------
    NotUnderstood
        If it has another one.
    """
    if content[:MARK_BYTES] != mark:
        raise NotUnderstood("a reader gave an answer to no question")
    return content[MARK_BYTES:]


def answer(function: Callable[..., Any], content: bytes) -> Any:
    """What the function returned; what it raised is raised.

    Raises
    ------
    NotUnderstood
        If the answer is not one of that function.
    """
    try:
        if content[:1] == RETURNED:
            return _types_of(function).answer.validate_json(content[1:])
        if content[:1] != RAISED:
            raise ValueError("neither a value nor an error")
        name, arguments = _RAISED.validate_json(content[1:])
        error = _error(name, arguments)
    except (ValueError, TypeError, AttributeError) as wrong:
        raise NotUnderstood(f"a reader gave no answer of {function.__qualname__}") from wrong
    raise error


def _error(name: str, arguments: tuple[str | int | None, ...]) -> Exception:
    module, _, qualified = name.partition(":")
    kind = getattr(sys.modules.get(module), qualified, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception) and f"{kind.__module__}.".startswith(OURS)):
        raise ValueError("an error that is none of this software")
    if issubclass(kind, ReaderDied):
        raise ValueError("a reader that answers has not died")
    error: Exception = kind.__new__(kind)
    error.args = tuple(one[:LONGEST_WORDS] if isinstance(one, str) else one for one in arguments[:MOST_WORDS])
    return error
