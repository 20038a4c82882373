"""What pydantic says about a value, in words for somebody who writes a configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dicom_sr.words import did_you_mean

Location = tuple[int | str, ...]


class Mistake(NamedTuple):
    """One mistake in a tree of values."""

    where: Location  # path to what is wrong, or to what is missing
    sentence: str  # what would be right
    missing: bool = False

    @property
    def key(self) -> str:
        """The path as it is shown."""
        return dotted(self.where)


def dotted(where: Location) -> str:
    """A path into a tree of values, as it is shown."""
    return ".".join(str(part) for part in where)


def mistakes(error: ValidationError, model: type[BaseModel]) -> list[Mistake]:
    """Every mistake once, in the order of the fields.

    Parameters
    ----------
    error
        From validating a tree of values as `model`.
    """
    found: dict[Location, Mistake] = {}
    for one in error.errors():
        for mistake in _in_words(dict(one), model):
            known = found.get(mistake.where)  # a value that may be this or that is wrong in two ways
            if known is not None and known.sentence != mistake.sentence:
                both = f"{known.sentence}, or {mistake.sentence.removeprefix('should be ')}"
                mistake = mistake._replace(sentence=both)
            found[mistake.where] = mistake
    return list(found.values())


# ---- what a value should be
class _Place(NamedTuple):
    """What the model says of a place in the tree."""

    where: Location  # without what pydantic adds to a path, such as the kind of a destination
    kind: Any  # type annotation
    limits: tuple[Any, ...]  # Ge(1) and the like


def _place(model: type[BaseModel], location: Location) -> _Place:
    where: list[int | str] = []
    kind, limits = _plain(model)
    for part in location:
        if part == "[key]":
            return _Place(tuple(where), kind, limits)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            where.append(part)
            if field is None:
                return _Place(tuple(where), Any, ())
            kind, inner = _plain(field.annotation)
            limits = (*field.metadata, *inner)
        elif get_origin(kind) in (dict, tuple, list):
            of = get_args(kind)
            where.append(part)
            kind, limits = _plain(of[1] if get_origin(kind) is dict else of[0])
        elif (chosen := _of_kind(kind, part)) is not None:
            kind = chosen
        else:  # one of several types that the value may have
            chosen_limits = [_plain(one) for one in get_args(kind)]
            kind, limits = next(((k, m) for k, m in chosen_limits if _label(k) in str(part)), (kind, limits))
    return _Place(tuple(where), kind, limits)


def _plain(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """An annotation without Annotated and None, and the limits that stood there."""
    limits: tuple[Any, ...] = ()
    while True:
        if hasattr(annotation, "__metadata__"):
            for more in annotation.__metadata__:
                limits += tuple(more.metadata) if isinstance(more, FieldInfo) else (more,)
            annotation = annotation.__origin__
            continue
        others = [one for one in get_args(annotation) if one is not type(None)]
        if len(others) == 1 and len(get_args(annotation)) == 2 and get_origin(annotation) not in (dict, tuple, list):
            annotation = others[0]
            continue
        return annotation, limits


def _of_kind(union: Any, tag: int | str) -> type[BaseModel] | None:
    """Of several sections the one whose `kind` is `tag`."""
    return next((one for one in _sections(union) if _kind(one) == tag), None)


def _sections(union: Any) -> list[type[BaseModel]]:
    return [one for one in get_args(union) if isinstance(one, type) and issubclass(one, BaseModel)]


def _kind(section: type[BaseModel]) -> str | None:
    """What `kind` is in this section."""
    field = section.model_fields.get("kind")
    return str(get_args(field.annotation)[0]) if field is not None else None


def _described_kinds(union: Any) -> str:
    """The kinds that a section may have, each with what its docstring says of it."""
    described = []
    for one in _sections(union):
        about = (one.__doc__ or "").partition("\n")[0].partition(":")[0].rstrip(".")
        described.append(f"{_kind(one)} ({about[:1].lower()}{about[1:]})")
    return f"{', '.join(described[:-1])} or {described[-1]}"


def _label(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind)).lower()


def _whole_number(place: _Place, value: Any) -> str:
    return _number("a whole number", place, value)


def _any_number(place: _Place, value: Any) -> str:
    return _number("a number", place, value)


def _limited(place: _Place, value: Any) -> str:
    return (_whole_number if place.kind is int else _any_number)(place, value)


def _number(what: str, place: _Place, value: Any) -> str:
    least = next((f"at least {one.ge:g}" for one in place.limits if isinstance(one, Ge)), "")
    least = least or next((f"greater than {one.gt:g}" for one in place.limits if isinstance(one, Gt)), "")
    most = next((f"at most {one.le:g}" for one in place.limits if isinstance(one, Le)), "")
    most = most or next((f"less than {one.lt:g}" for one in place.limits if isinstance(one, Lt)), "")
    if least.startswith("at least") and most.startswith("at most"):
        limits = f" from {least.removeprefix('at least ')} to {most.removeprefix('at most ')}"
    else:
        limits = " " + " and ".join(limit for limit in (least, most) if limit) if least or most else ""
        limits = limits.replace(" at ", " of at ", 1)
    unit = ", without a unit" if isinstance(value, str) and re.match(r"\s*[-+]?[\d.]+\s*[^\W\d]", value) else ""
    return f"should be {what}{limits}{unit}"


def _text(_place: _Place, value: Any) -> str:
    if isinstance(value, dict | list):
        return "should be one text"
    return "should be a text" if value is None else "should be a text; put it in quotes"


def _list(_place: _Place, value: Any) -> str:
    if isinstance(value, str | int | float):
        return f"should be a list: [{value}]"
    return "should be a list, such as [first, second]"


def _section(place: _Place, _value: Any) -> str:
    example = "with a name of your choice for each entry"
    if isinstance(place.kind, type) and issubclass(place.kind, BaseModel):
        example = f"with keys such as {', '.join(list(place.kind.model_fields)[:3])}"
    return f"should be a section, {example}"


def _truth(_place: _Place, _value: Any) -> str:
    return "should be true or false"


def _path(_place: _Place, value: Any) -> str:
    return "should be a path" if value is None else "should be a path; put it in quotes"


def _one_of(place: _Place, value: Any) -> str:
    known = [str(one) for one in get_args(place.kind)]
    if len(known) == 1:
        return f"should be {known[0]}"
    return f"should be one of {', '.join(known)}{did_you_mean(value, known)}"


# By how the type of the error begins, https://docs.pydantic.dev/latest/errors/validation_errors/
_WORDS: Mapping[str, Callable[[_Place, Any], str]] = {
    "int_": _whole_number,
    "float_": _any_number,
    "greater_than": _limited,
    "less_than": _limited,
    "finite_number": _limited,
    "bool_": _truth,
    "string_": _text,
    "literal_error": _one_of,
    "tuple_type": _list,
    "list_type": _list,
    "dict_type": _section,
    "mapping_type": _section,
    "model_": _section,
    "path_": _path,
}


def _in_words(error: Mapping[str, Any], model: type[BaseModel]) -> Iterator[Mistake]:
    place = _place(model, error["loc"])
    kind, value = error["type"], error["input"]
    if kind in ("extra_forbidden", "invalid_key"):
        yield Mistake(place.where, _unknown_key(place.where, model))
    elif kind == "missing":
        yield Mistake(place.where, "is missing and has no default", missing=True)
    elif kind in ("union_tag_not_found", "union_tag_invalid"):
        missing = kind == "union_tag_not_found"
        sentence = f"{'is missing; ' if missing else ''}should be {_described_kinds(place.kind)}"
        yield Mistake((*place.where, "kind"), sentence, missing=missing)
    elif kind == "value_error":
        for line in str(error["msg"]).removeprefix("Value error, ").splitlines():
            # what a section says of one of its keys begins with that key
            key, colon, sentence = line.partition(": ")
            below = tuple(int(part) if part.isdecimal() else part for part in key.split("."))
            if colon and str(below[0]) in getattr(place.kind, "model_fields", ()):
                yield Mistake((*place.where, *below), sentence)
            else:
                yield Mistake(place.where, line)
    else:
        words = next((words for start, words in _WORDS.items() if kind.startswith(start)), None)
        sentence = words(place, value) if words else f"is not fit: {error['msg']}"
        yield Mistake(place.where, f"is empty; {sentence}" if value is None else sentence)


def _unknown_key(where: Location, model: type[BaseModel]) -> str:
    section = _place(model, where[:-1]).kind
    own = list(getattr(section, "model_fields", ()))
    if hint := did_you_mean(where[-1], own):
        return f"there is no such key{hint}"
    elsewhere = [path for path in _paths(model, ()) if path[-1] == where[-1]]
    if elsewhere:
        near = max(elsewhere, key=lambda path: sum(a == b for a, b in zip(path, where, strict=False)))
        places = dotted(near[:-1]) or "the beginning of a line"
        return f"there is no such key here; {where[-1]!r} belongs to {places}: check the indentation"
    if hint := did_you_mean(where[-1], {str(path[-1]) for path in _paths(model, ())}):
        return f"there is no such key{hint}"
    return f"there is no such key; there are: {', '.join(own) or 'none'}"


def _paths(kind: Any, above: Location) -> Iterator[Location]:
    """The paths of all keys; NAME stands for what the site chooses itself."""
    kind, _ = _plain(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield (*above, name)
            yield from _paths(field.annotation, (*above, name))
    elif get_origin(kind) in (dict, tuple):
        of = get_args(kind)[1] if get_origin(kind) is dict else get_args(kind)[0]
        yield from _paths(of, (*above, "NAME") if get_origin(kind) is dict else above)
    elif kind is not Path:
        for one in _sections(kind):
            yield from _paths(one, above)
