"""Which image is which input of a bundle: conditions on data elements, written as those of a route."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_sr.read.conditions import Condition, Value, WrongCondition, condition, kind_of
from dicom_sr.words import did_you_mean


@dataclass(frozen=True)
class Clause:
    """A condition on one element, or clauses together."""

    key: str  # a keyword, or any_of, all_of, not
    condition: Condition | None
    clauses: tuple[Clause, ...] = ()

    def holds(self, headers: Sequence[Dataset]) -> bool:
        """Whether it holds of images; any value of any of them will do."""
        if self.condition is not None:
            return self.condition.holds(list(values(headers, self.key)))
        found = [one.holds(headers) for one in self.clauses]
        return any(found) if self.key == "any_of" else not any(found) if self.key == "not" else all(found)

    @property
    def words(self) -> str:
        """The clause for people."""
        if self.condition is not None:
            return f"{self.key} {self.condition.expected}"
        inner = (" or " if self.key == "any_of" else " and ").join(one.words for one in self.clauses)
        return f"not ({inner})" if self.key == "not" else inner


def conditions(clauses: Mapping[str, Any]) -> Clause:
    """The clause that all of these are together.

    Raises
    ------
    WrongCondition
        If one is not fit; the message names its key, the value and what would be right.
    """
    return Clause("all_of", None, tuple(_clause(str(key), value) for key, value in clauses.items()))


def _clause(key: str, value: Any) -> Clause:
    if key == "not" and isinstance(value, Mapping):
        return Clause(key, None, (conditions(value),))
    if key in ("any_of", "all_of") and isinstance(value, list) and value:
        return Clause(key, None, tuple(conditions(one) for one in value))
    vr = ""
    for index, keyword in enumerate(key.split(".")):
        tag = tag_for_keyword(keyword)
        if tag is None or (index and vr != "SQ"):
            raise WrongCondition(f"{key}: is not a DICOM keyword{did_you_mean(keyword, filter(None, keyword_dict))}")
        vr = dictionary_VR(tag)
    return Clause(key, condition(value, key, kind_of(vr)))


def values(headers: Iterable[Dataset], key: str) -> Iterator[Value]:
    """The values of an element, given by its keyword or by a path through sequences, in headers in classic terms."""
    keyword, _, below = key.partition(".")
    for header in headers:
        found = header.get(keyword)
        if below:
            yield from values(found or (), below)
        elif found is not None and found != "":
            yield from (one if isinstance(one, int | float) else str(one) for one in _each(found))


def _each(value: Any) -> Iterable[Any]:
    return value if isinstance(value, MultiValue | list) else [value]
