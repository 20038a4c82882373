"""Other routes held against what a trace noted: what they say is what a decision says, or that it is not known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.config import Configuration
from node.route.decide import CompiledRoute, compile_routes, decide
from node.route.facts import Facts
from node.route.known import (
    MOST_NOTED,
    failing,
    holds,
    known_of_facts,
    known_of_trace,
    noted_values,
    open_keys,
    takes,
)
from node.route.match import is_identifying
from tests.properties import STABLE

TEXT_KEYS = (
    "Modality",
    "SeriesDescription",
    "ImageType",
    "PatientName",
    "AccessionNumber",
    "association.calling_ae_title",
)
NUMBER_KEYS = ("SliceThickness", "EchoTime", "series.instances")
texts = st.sampled_from(
    ["MR", "mr", "KNEE, left", "absent", "present", "2", "2.0", "T1 and 3 more", "(not shown)", "a" * 300, "x\0y", ""]
) | st.text(max_size=6)
numbers = st.sampled_from([2, 3, 2.0, 2.0000001, 2.000003, 0.1 + 0.2, 1e9 + 0.5, -1.5]) | st.integers(-3, 5)


def values_of(key: str) -> st.SearchStrategy[tuple[Any, ...]]:
    one = numbers if key in NUMBER_KEYS else texts.filter(bool)
    return st.lists(one, max_size=4, unique=True).map(tuple) | st.lists(
        one, min_size=MOST_NOTED - 1, max_size=MOST_NOTED + 3, unique=True
    ).map(tuple)


facts = st.builds(
    lambda values, ours, unread: Facts(
        "1.2.3.4", "MR", {key: of for key, of in values.items() if of}, ours, {"1.2": "is damaged"} if unread else {}
    ),
    st.fixed_dictionaries({key: values_of(key) for key in (*TEXT_KEYS, *NUMBER_KEYS)}),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([False, False, False, True]),
)
wanted_text = st.sampled_from(["MR", "KNEE, left", "absent", "present", "*", "a*", "T?*", "2", "(not shown)", "*left"])
range_ = st.sampled_from([{"min": 2}, {"max": 2.000001}, {"min": 0, "max": 0.3}, {"min": 2.0000005}])
there = st.sampled_from([{"present": True}, {"absent": True}])


def wanted_of(key: str) -> st.SearchStrategy[Any]:
    plain = st.sampled_from([2, 2.0, 3, 0.3]) | range_ if key in NUMBER_KEYS else wanted_text
    one = plain | there
    return one | st.lists(plain, min_size=1, max_size=2) | one.map(lambda test: {"not": test})


clauses = st.sampled_from([*TEXT_KEYS, *NUMBER_KEYS]).flatmap(lambda key: wanted_of(key).map(lambda test: {key: test}))
matchers = st.recursive(
    clauses,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"any_of": some}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"all_of": some}),
        inner.map(lambda one: {"not": one}),
        st.tuples(inner, clauses).map(lambda two: {**two[0], **two[1]}),
    ),
    max_leaves=5,
)


def route(when: Mapping[str, Any]) -> CompiledRoute:
    described = {"routes": {"r": {"when": dict(when), "pipeline": "p", "destinations": []}}}
    return compile_routes(Configuration.model_validate(described))[0]


@STABLE
@given(facts, matchers, matchers)
def test_what_a_trace_settles_about_another_route_is_what_a_decision_says(
    found: Facts, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    (noted,) = decide([route(before)], "series", [found])
    kept = json.loads(json.dumps(noted.trace, allow_nan=False))  # as the database gives it back
    known = known_of_trace(kept["series"][0])
    tried = route(after)
    (decision,) = decide([tried], "series", [found])
    said = takes(tried.matcher, known)
    assert said is None or said is decision.matched
    if said is False:
        assert list(failing(tried.matcher, known)), "the clause that decides is named"
    if tried.matcher.keys <= route(before).matcher.keys and all(
        noted_values(found.values, [key])[key] == list(found.values.get(key, ())) for key in tried.matcher.keys
    ):
        assert said is decision.matched, "every value that is asked for was noted"


@STABLE
@given(facts, matchers)
def test_what_was_read_settles_everything(found: Facts, when: Mapping[str, Any]) -> None:
    tried = route(when)
    known = known_of_facts(found, tried.matcher.keys, next(iter(found.unread.values()), ""))
    (decision,) = decide([tried], "series", [found])
    assert takes(tried.matcher, known) is decision.matched
    assert not open_keys(tried.matcher, known)


@STABLE
@given(facts, matchers)
def test_no_value_that_could_tell_who_the_patient_is_goes_into_a_trace(found: Facts, when: Mapping[str, Any]) -> None:
    (noted,) = decide([route(when)], "series", [found])
    for key, values in noted.trace["series"][0]["values"].items():
        if is_identifying(key):
            assert values in ([], {"values": [], "open": True})


def test_a_clause_that_settles_it_leaves_no_other_one_open() -> None:
    facts = Facts("1.2", "MR", {"Modality": ("MR",)}, made_by_node=False)
    known = known_of_facts(facts, ["Modality"])
    assert holds(route({"Modality": "CT", "EchoTime": {"min": 5}}).matcher, known) is False
    assert holds(route({"any_of": [{"Modality": "MR"}, {"EchoTime": 5}]}).matcher, known) is True
    both = route({"Modality": "MR", "EchoTime": {"min": 5}}).matcher
    assert holds(both, known) is None
    assert open_keys(both, known) == {"EchoTime"}


def test_a_name_is_known_to_be_there_and_no_more() -> None:
    facts = Facts("1.2", "MR", {"PatientName": ("Secret^Anna",)}, made_by_node=False)
    (noted,) = decide([route({"PatientName": "Secret*"})], "series", [facts])
    known = known_of_trace(noted.trace["series"][0])
    assert "Secret" not in json.dumps(noted.trace)
    assert holds(route({"PatientName": {"present": True}}).matcher, known) is True
    assert holds(route({"PatientName": "Secret*"}).matcher, known) is None
    (clause,) = failing(route({"PatientName": {"absent": True}}).matcher, known)
    assert (clause.expected, clause.found) == ("(not shown)", "(not shown)")


def test_a_trace_of_an_earlier_version_settles_nothing_but_what_was_made_by_the_node() -> None:
    clause = {"key": "Modality", "expected": "MR", "found": "MR", "holds": True}
    ours = {"key": "made by this kind of node", "expected": "no", "found": "yes", "holds": False}
    old = {"series_instance_uid": "1.2", "matched": True}
    matcher = route({"Modality": "MR"}).matcher
    assert takes(matcher, known_of_trace({**old, "clauses": [clause]})) is None
    assert takes(matcher, known_of_trace({**old, "clauses": [ours, clause]})) is False
