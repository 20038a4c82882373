"""What the node asks of a reader process, and what it is answered: JSON that the function's own type hints check.

A reader may have been taken over by what it read. Its answer is therefore built from the types that the function
declares and nothing else; of errors it may name those of this software.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter

from node.errors import ReaderDied

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


@lru_cache(maxsize=256)
def _types_of(function: Callable[..., Any]) -> tuple[TypeAdapter[Any], TypeAdapter[Any]]:
    """How the arguments and the answer of a function are written."""
    hints = get_type_hints(function, include_extras=True)
    answer = hints.pop("return")
    arguments: Any = tuple[tuple(hints.values())] if hints else tuple[()]  # type: ignore[misc]
    return TypeAdapter(arguments, config=EXACT), _adapter(answer)


def _adapter(kind: Any) -> TypeAdapter[Any]:
    own = hasattr(kind, "__dataclass_fields__")  # such a type brings its own configuration
    return TypeAdapter(kind) if own else TypeAdapter(kind, config=EXACT)


def _plain(value: object) -> object:
    """What is written for a value of a type that pydantic does not know: mappings that cannot be changed."""
    if isinstance(value, Mapping):
        return dict(value)
    raise ValueError(f"a {type(value).__name__} cannot be given to a reader, nor come back")


def call(function: Callable[..., Any], arguments: Sequence[object]) -> bytes:
    """The request to run a function of a module with these arguments, all of them, in order.

    Raises
    ------
    ValueError
        If an argument has no form as text.
    """
    written = _types_of(function)[0].dump_json(tuple(arguments), fallback=_plain, warnings=False)
    return f"{function.__module__}:{function.__qualname__}\n".encode() + written


def called(content: bytes) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The function and the arguments that `call` wrote."""
    name, _, written = content.partition(b"\n")
    module, _, qualified = name.decode().partition(":")
    function = getattr(importlib.import_module(module), qualified)
    return function, _types_of(function)[0].validate_json(written)


def returned(function: Callable[..., Any], value: object) -> bytes:
    """The answer of a function."""
    return RETURNED + _types_of(function)[1].dump_json(value, fallback=_plain, warnings=False)


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
            return _types_of(function)[1].validate_json(content[1:])
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
