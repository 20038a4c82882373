"""Results and records as bytes that cannot execute: JSON for what they say, numbers as they lie in memory for arrays.

A file of a job may come from a backup, another disk or another hand. What is read back is built from the types below
and nothing else, however the file was changed.

    first line, length of the JSON (8 bytes, little-endian), JSON, then one .npy block after the other

In the JSON, a tuple is a list, and whatever JSON has no word for is an object with one key: the name of its type. An
array is known by its number; one that is used twice lies there once.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
from pydicom.sr.coding import Code

from dicom_sr import findings, series
from node.data_folder import resolved, to_store
from pipelines import context

MARK = b"condyle plain form 1\n"
LENGTH_BYTES = 8
# what JSON, NumPy and the types below raise for bytes that are not theirs
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, MemoryError, EOFError)


def _dataclasses_of(module: ModuleType) -> dict[str, type]:
    return {
        name: kind
        for name, kind in vars(module).items()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    }


KNOWN: Mapping[str, type] = {
    name: kind for of in (findings, series, context) for name, kind in _dataclasses_of(of).items()
}
"""By name: everything that a result or a record is made of, beside numbers, texts, dates, codes and arrays."""


class NotPlain(TypeError):
    """A value of a type that has no plain form."""


class NotRead(ValueError):
    """Bytes that are no plain form, or one of types that this version does not have."""


def packed(value: object, data: Path) -> bytes:
    """`value` as bytes; paths below the data folder become relative to it.

    Raises
    ------
    NotPlain
        If it holds something of another type than those of this module.
    """
    arrays: list[np.ndarray[Any, Any]] = []
    numbers: dict[int, int] = {}  # by identity

    def number_of(array: np.ndarray[Any, Any]) -> int:
        if id(array) not in numbers:
            numbers[id(array)] = len(arrays)
            arrays.append(array)
        return numbers[id(array)]

    text = json.dumps(_plain(value, data, number_of), separators=(",", ":")).encode()
    stream = io.BytesIO()
    stream.write(MARK + len(text).to_bytes(LENGTH_BYTES, "little") + text)
    for array in arrays:
        if array.dtype.hasobject:
            raise NotPlain("an array of Python objects cannot be kept; it should hold numbers")
        np.lib.format.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()


def unpacked(content: bytes, data: Path) -> Any:
    """The value that `packed` made into `content`, with its paths below the data folder as it lies now.

    Raises
    ------
    NotRead
        If it is none.
    """
    stream = io.BytesIO(content)
    try:
        if stream.readline() != MARK:
            raise NotRead("another version of the node wrote it, or something else")
        plain = json.loads(stream.read(int.from_bytes(stream.read(LENGTH_BYTES), "little")))
        arrays = []
        while stream.tell() < len(content):
            arrays.append(np.lib.format.read_array(stream, allow_pickle=False))
        return _value(plain, data, arrays)
    except UNREADABLE as error:
        raise NotRead(f"it is not what this version of the node writes ({type(error).__name__})") from error


def _plain(value: object, data: Path, number_of: Callable[[np.ndarray[Any, Any]], int]) -> object:
    def plain(inner: object) -> object:
        return _plain(inner, data, number_of)

    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return float(value)  # also what only behaves like one, such as NumPy's
        case Code():
            return {"Code": [value.value, value.scheme_designator, value.meaning, value.scheme_version]}
        case tuple():
            return [plain(item) for item in value]
        case list():
            return {"list": [plain(item) for item in value]}
        case Mapping():
            return {"mapping": [[plain(key), plain(item)] for key, item in value.items()]}
        case np.ndarray():
            return {"array": number_of(value)}
        case np.generic():
            return {"scalar": number_of(np.asarray(value))}
        case date() if type(value) is date:
            return {"date": value.isoformat()}
        case Path():
            return {"path": to_store(value, data)}
    name = type(value).__name__
    if KNOWN.get(name) is not type(value):
        raise NotPlain(f"a {name} cannot be kept in a result; it should be of a type of dicom_sr.findings")
    fields = dataclasses.fields(value)  # type: ignore[arg-type]
    return {name: {field.name: plain(getattr(value, field.name)) for field in fields}}


def _value(plain: Any, data: Path, arrays: list[np.ndarray[Any, Any]]) -> Any:
    def value(inner: Any) -> Any:
        return _value(inner, data, arrays)

    if isinstance(plain, list):
        return tuple(value(item) for item in plain)
    if not isinstance(plain, dict):
        return plain
    ((name, of),) = plain.items()
    match name:
        case "Code":
            return Code(*of)
        case "list":
            return [value(item) for item in of]
        case "mapping":
            return MappingProxyType({value(key): value(item) for key, item in of})
        case "array":
            return arrays[of]
        case "scalar":
            return arrays[of][()]
        case "date":
            return date.fromisoformat(of)
        case "path":
            return resolved(of, data)
    return KNOWN[name](**{field: value(item) for field, item in of.items()})
