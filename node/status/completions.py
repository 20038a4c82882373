"""What may be meant by the beginning of a word of a route: keys, pipelines, settings, destinations, tests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import get_args

from pydicom.datadict import dictionary_description, dictionary_VR, keyword_dict

from dicom_sr.read.body_parts import PARTS
from node.config import Configuration, Route
from node.route.facts import BODY_PART, NUMBERS, TEXTS
from pipelines.monai_bundle.settings import PREFIX
from pipelines.registry import UnknownPipeline, names, pipeline_type

MOST = 12
TESTS = {
    "min": "at least, a number",
    "max": "at most, a number",
    "not": "the opposite of a test",
    "any_of": "one of these",
    "all_of": "all of these",
    "present": "true: there is a value",
    "absent": "true: there is no value",
    "glob": "a pattern: * any characters, ? one",
    "equals": "exactly this",
}
GROUPS = {"any_of": "one of some matchers holds", "all_of": "all of some matchers hold", "not": "a matcher does not"}
ROUTE_KEYS = {
    "when": "the clauses, all of which must hold",
    "level": "series or study: what a job is about",
    "pipeline": "what is run",
    "settings": "the pipeline's own settings",
    "destinations": "where results go",
    "priority": "jobs with a lower number run first",
    "shadow": "true: run, and send nothing",
    "shadow_of": "the route that it is compared with",
    "shadow_folder": "where its objects go",
}
MODALITIES = ("CR", "CT", "DX", "MR", "US", "MG", "NM", "OT", "PT", "RF", "SC", "SR", "XA")
_WORD = re.compile(r"[\w.:*-]*$")
_KEY = re.compile(r"^\s*(?:-\s+)?[\"']?([\w.:-]+)[\"']?\s*:\s*(.*)$")


@dataclass(frozen=True)
class Completion:
    """One word that may be meant."""

    word: str
    about: str
    after: str = ""  # that is put behind it


def of_field(kind: str, typed: str, pipeline: str, configuration: Configuration) -> list[Completion]:
    """For a field of the form: `kind` is ``when`` or ``settings``."""
    found = _settings(pipeline, configuration) if kind == "settings" else [*_of(GROUPS), *_keys()]
    return _best(found, typed)


def in_text(text: str, at: int, configuration: Configuration) -> tuple[str, list[Completion]]:
    """The beginning of the word before a place in the text of the routes, and what may be meant.

    Parameters
    ----------
    text
        The section ``routes:``.
    at
        How many characters are before the cursor.
    configuration
        Its destinations and bundles may be named.
    """
    before = text[:at].splitlines() or [""]
    if text[:at].endswith("\n"):
        before.append("")
    line = before[-1]
    word = _WORD.search(line)
    typed = word[0] if word else ""
    return typed, _best(_fitting(before, line[: len(line) - len(typed)], configuration), typed)


def _fitting(lines: Sequence[str], ahead: str, configuration: Configuration) -> list[Completion]:
    """What may stand where the cursor is, by the keys above it; `ahead` is what comes before the word on its line."""
    path = _path(lines[:-1], len(ahead) - len(ahead.lstrip(" ")))
    depth = len(path)  # routes, NAME, key of a route, ...
    inner = _KEY.match(ahead)
    key = inner[1] if inner else ""
    if depth == 2 and key == "pipeline":
        return [
            *(Completion(name, "an installed pipeline") for name in names()),
            *(Completion(f'"{PREFIX}{name}"', "a MONAI bundle") for name in configuration.bundles),
        ]
    if depth == 2 and key == "level":
        return [Completion("series", "a job for each series"), Completion("study", "a job for each study")]
    if depth == 2 and key in ("shadow_of",):
        return [Completion(name, "a route") for name in configuration.routes]
    if (depth == 2 and key == "destinations") or (depth >= 3 and path[2] == "destinations" and "when" not in path):
        return [Completion(name, f"of kind {of.kind}") for name, of in configuration.destinations.items()]
    if depth == 2 and not key:
        return [Completion(name, about, ": ") for name, about in ROUTE_KEYS.items()]
    if depth >= 3 and path[2] == "settings" and not key:
        pipeline = _pipeline(path[1], configuration)
        return [Completion(one.word, one.about, ": ") for one in _settings(pipeline, configuration)]
    if (depth >= 3 and path[2] == "when") or (depth == 2 and key == "when"):
        if key and key not in (*GROUPS, "when"):
            return [*_values(key), *(_tests() if "{" in ahead else ())]
        return [Completion(one.word, one.about, ": ") for one in (*_of(GROUPS), *_keys())]
    return []


def _path(lines: Sequence[str], indentation: int) -> list[str]:
    """The keys below which a line with that indentation stands."""
    path: list[str] = []
    for line in reversed(lines):
        here = len(line) - len(line.lstrip(" "))
        found = _KEY.match(line)
        if found is not None and not line.lstrip().startswith("#") and here < indentation:
            path.insert(0, found[1])
            indentation = here
    return path


def _pipeline(route: str, configuration: Configuration) -> str:
    found: Route | None = configuration.routes.get(route)
    return found.pipeline if found is not None else ""


def _best(found: Sequence[Completion], typed: str) -> list[Completion]:
    """Those that begin so, then those that have it inside; none where nothing is typed and there are very many."""
    wanted = typed.casefold()
    if not wanted:
        return list(found[:MOST])
    first = [one for one in found if one.word.casefold().startswith(wanted)]
    inside = [one for one in found if wanted in one.word.casefold() and one not in first[:MOST]]
    return [one for one in [*first, *inside][:MOST] if one.word != typed]


def _of(words: dict[str, str]) -> Iterator[Completion]:
    return (Completion(word, about) for word, about in words.items())


def _tests() -> Iterator[Completion]:
    return (Completion(word, about, ": ") for word, about in TESTS.items())


@cache
def _keys() -> tuple[Completion, ...]:
    """Keys of the node, then every DICOM keyword."""
    own = tuple(Completion(key, about) for key, about in {**NUMBERS, **TEXTS}.items())
    keywords = sorted(keyword for keyword in keyword_dict if keyword)
    return (*own, *(Completion(one, _described(one)) for one in keywords))


def _described(keyword: str) -> str:
    tag = keyword_dict[keyword]
    try:
        return f"{dictionary_description(tag)}, {dictionary_VR(tag)}"
    except KeyError:  # of a repeating group
        return "of a repeating group"


def _values(key: str) -> list[Completion]:
    if key == "Modality" or key == "study.modalities":
        return [Completion(one, "a modality") for one in MODALITIES]
    if key == BODY_PART:
        return [Completion(one, "a part of the body") for one in PARTS]
    if key == "series.orientation":
        return [Completion(one, "an orientation") for one in ("sagittal", "coronal", "axial", "mixed")]
    return []


def _settings(pipeline: str, configuration: Configuration) -> list[Completion]:
    if pipeline.startswith(PREFIX):
        return []
    try:
        fields = pipeline_type(pipeline).settings_type.model_fields
    except UnknownPipeline:
        return []
    return [Completion(name, _kind(field.annotation)) for name, field in fields.items()]


def _kind(annotation: object) -> str:
    choices = [one for one in get_args(annotation) if isinstance(one, str | int | float)]
    if choices:
        return f"one of {', '.join(map(str, choices))}"
    return str(getattr(annotation, "__name__", annotation)).replace("typing.", "")
