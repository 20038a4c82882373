"""Matchers: the `when` of a route, checked at the start and held against a series clause by clause.

A matcher is a mapping; all of its clauses must hold. A clause is a key and a test::

    Modality: MR                          equals; without regard to case, and any value of any instance will do
    SeriesDescription: "*sag*"            glob: * for any characters, ? for one
    BodyPartExamined: [KNEE, "LEG*"]      list: any of these
    EchoTime: {min: 5, max: 60}           number range, both ends included
    ContrastBolusAgent: {absent: true}    absent (or empty) in every instance; present: in some instance
    ImageType: {not: LOCALIZER}           not
    SliceThickness: {all_of: [{min: 2}, {not: 3}]}, {any_of: [...]}
    any_of: [matcher, matcher]            and the same for whole matchers: any_of, all_of, not

A key is a DICOM keyword (``SequenceKeyword.Keyword`` goes into a sequence), or one of ours: see `facts.py`.
Nothing of a matcher is ever run as code.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_dict, keyword_for_tag, tag_for_keyword

from dicom_sr.read.conditions import WrongCondition, condition, kind_of
from node.errors import ConfigurationError
from node.matching.language import Element, Group, Language
from node.route.facts import BODY_PART, NUMBERS, TEXTS

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?\s?([0-9A-Fa-f]{4})\)?")

# What tells of the patient without telling who it is; all else of group 0010 is hidden, and names and free text of any
# group, and what an order is known by.
PATIENT_BUT_NOT_IDENTIFYING = {
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientSpeciesDescription",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
}
IDENTIFYING_VRS = {"PN", "LT", "ST", "UT", "UC"}
IDENTIFYING = {"AccessionNumber", "StudyID", "AdmissionID", "RequestedProcedureID", "PerformedProcedureStepID"}


@cache
def is_identifying(key: str) -> bool:
    """Could the value of `key` tell who the patient is?"""
    for keyword in key.split("."):
        tag = tag_for_keyword(keyword)
        if tag is None:
            continue
        group, vr = tag >> 16, dictionary_VR(tag)
        if (group == 0x0010 and keyword not in PATIENT_BUT_NOT_IDENTIFYING) or vr in IDENTIFYING_VRS:
            return True
        if keyword in IDENTIFYING or (keyword.startswith("Patient") and group != 0x0010 and vr == "LO"):
            return True
    return False


# ---- reading a matcher
def matcher(when: Mapping[str, Any], where: str, level: str = "series") -> Group:
    """The matcher that `when` describes.

    Parameters
    ----------
    when
        As in config.yaml.
    where
        The key that `when` stands under, for messages.
    level
        ``series`` or ``study``: what is asked of the study as a whole is not known when a series is complete.

    Raises
    ------
    ConfigurationError
        Naming the key, the value and what would be right.
    """
    return _language(level).matcher(when, where)


def problems(when: object, where: str, level: str = "series") -> Iterator[tuple[str, str]]:
    """Everything that is wrong with a matcher: the key, and what would be right. Parameters as of `matcher`."""
    return _language(level).problems(when, where)


def _language(level: str) -> Language:
    return Language("Modality: MR", partial(_element, level))


def _element(level: str, key: str, value: Any, here: str) -> Element:
    if key.startswith("study.") and key in {*NUMBERS, *TEXTS} and level != "study":
        raise ConfigurationError(
            f"{here}: {value!r}: is known only when the study is complete; the route should have level: study"
        )
    try:
        return Element(key, condition(value, here, _kind(key, here)), is_identifying(key))
    except WrongCondition as error:
        raise ConfigurationError(str(error)) from error


def _kind(key: str, where: str) -> str:
    """``number``, ``text``, ``address`` or the VR (of ages, dates and texts): what can be asked of `key`."""
    if key in NUMBERS:
        return "number"
    if key == BODY_PART:
        return "part"
    if key in TEXTS:
        return "address" if key == "association.peer_address" else "text"
    vr = ""
    for index, keyword in enumerate(key.split(".")):
        tag = tag_for_keyword(keyword)
        if tag is None or (index and vr != "SQ"):
            raise ConfigurationError(f"{where}: {_not_a_key(key, keyword, tag)}")
        vr = dictionary_VR(tag)
    return kind_of(vr)


def _not_a_key(key: str, keyword: str, tag: int | None) -> str:
    if tag is not None:
        return f"{key!r}: only a sequence has elements below it"
    if (numbered := _TAG.fullmatch(key)) is not None:
        named = keyword_for_tag(int(numbered[1] + numbered[2], 16)) or "none in the dictionary"
        return f"is a tag; a key is a keyword: {named}"
    known = [*NUMBERS, *TEXTS, *(keyword for keyword in keyword_dict if keyword)]
    whole, part = (difflib.get_close_matches(word, known, n=1, cutoff=c) for word, c in ((key, 0.7), (keyword, 0.6)))
    if close := whole or part:
        asked = key if whole else keyword
        return f"{asked!r} is not a DICOM keyword, nor a key of the node; did you mean {close[0]!r}?"
    return f"{keyword!r} is neither a DICOM keyword nor one of {', '.join([*NUMBERS, *TEXTS])}"
