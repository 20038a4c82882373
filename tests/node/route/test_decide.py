"""Decisions: which series a route takes, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from node.config import Configuration
from node.route.decide import CompiledRoute, compile_routes, decide, keys
from node.route.facts import Facts

MR = Facts("1.2.1", "MR", {"Modality": ("MR",), "series.slices": (24,)}, made_by_node=False)
DX = Facts("1.2.2", "DX", {"Modality": ("DX",)}, made_by_node=False)


def routes(**whens: dict[str, object]) -> Sequence[CompiledRoute]:
    return compile_routes(
        Configuration.model_validate(
            {
                "routes": {
                    name: {
                        "when": {key: value for key, value in when.items() if key != "level"},
                        "level": when.get("level", "series"),
                        "pipeline": "p",
                        "destinations": [],
                    }
                    for name, when in whens.items()
                }
            }
        )
    )


def test_every_route_of_the_level_decides_and_only_those() -> None:
    compiled = routes(mr={"Modality": "MR"}, dx={"Modality": "DX"}, whole={"Modality": "MR", "level": "study"})
    decisions = decide(compiled, "series", [MR])
    assert [(decision.route, decision.matched) for decision in decisions] == [("mr", True), ("dx", False)]
    assert decisions[1].why == "Modality: MR instead of DX"


def test_a_study_matches_by_the_series_that_do_and_its_job_is_given_those() -> None:
    (decision,) = decide(routes(dx={"Modality": "DX", "level": "study"}), "study", [MR, DX])
    assert decision.series_instance_uids == ("1.2.2",)
    assert decision.why == "1 of 2 series match"
    assert [series["matched"] for series in decision.trace["series"]] == [False, True]


def test_a_study_of_which_no_series_matches_says_what_it_lacked() -> None:
    (decision,) = decide(routes(us={"Modality": "US", "level": "study"}), "study", [MR, DX])
    assert not decision.matched
    assert decision.why == "none of 2 series matches: Modality"


def test_what_this_software_made_is_never_processed_whatever_the_route_says() -> None:
    (decision,) = decide(routes(all={}), "series", [replace(MR, made_by_node=True)])
    assert not decision.matched
    assert decision.trace["series"][0]["clauses"][0] == {
        "key": "made by this kind of node",
        "expected": "no",
        "found": "yes",
        "holds": False,
    }


def test_a_series_with_an_image_that_cannot_be_read_does_not_match_and_says_that_alone() -> None:
    unread = replace(MR, unread={"1.2.3.9": "it is nested"}, values={})
    (decision,) = decide(routes(knee={"Modality": "CT", "series.slices": {"min": 4}}), "series", [unread])
    assert not decision.matched
    told = "1 image cannot be read, and no route takes a series with such an image: 1.2.3.9 (it is nested)"
    assert decision.why == told
    assert decision.trace["unread"]
    (series,) = decision.trace["series"]
    assert (series["matched"], series["unread"], series["clauses"]) == (False, told, [])


def test_of_many_images_that_cannot_be_read_the_first_few_are_named_and_each_reason_once() -> None:
    why = {f"1.2.{number}": "it is nested" if number < 8 else "it is cut off" for number in range(1, 10)}
    (decision,) = decide(routes(all={}), "series", [replace(MR, unread=why)])
    assert decision.why == (
        "9 images cannot be read, and no route takes a series with such an image: "
        "1.2.1, 1.2.2, 1.2.3, 1.2.4 and 3 more (it is nested); 1.2.8, 1.2.9 (it is cut off)"
    )


def test_a_study_says_of_which_series_images_cannot_be_read_and_takes_the_others() -> None:
    bad = replace(MR, series_instance_uid="1.2.9", unread={"1.2.3.9": "it is nested"}, values={})
    compiled = routes(a={"Modality": "MR", "level": "study"}, b={"Modality": "CT", "level": "study"})
    taken, not_taken = decide(compiled, "study", [MR, bad])
    assert taken.series_instance_uids == (MR.series_instance_uid,)
    assert not_taken.why.endswith("1.2.3.9 (it is nested); none of the other 1 series matches: Modality")
    assert not not_taken.trace["unread"]
    assert [one["unread"] != "" for one in not_taken.trace["series"]] == [False, True]


def test_the_reason_names_the_innermost_clauses_that_failed() -> None:
    compiled = routes(knee={"any_of": [{"Modality": "CT"}, {"series.slices": {"max": 3}}]})
    (decision,) = decide(compiled, "series", [MR])
    assert decision.why == "Modality: MR instead of CT; series.slices: 24 instead of at most 3"


def test_what_routes_ask_for_is_known_however_deep_it_stands() -> None:
    compiled = routes(a={"any_of": [{"Modality": "CT"}, {"not": {"EchoTime": 3}}]}, b={"BodyPartExamined": "KNEE"})
    assert keys(compiled) == {"Modality", "EchoTime", "BodyPartExamined"}


def test_a_part_of_a_series_is_told_apart_from_a_whole_one_in_every_trace() -> None:
    part = replace(MR, other_studies=("1.9", "1.8"))
    taken, left = decide(routes(mr={"Modality": "MR"}, dx={"Modality": "DX"}), "series", [part])
    assert taken.matched  # its job ends with the reason
    assert taken.why == "every clause holds, but the series is of other studies too"
    assert not left.matched
    assert left.why.startswith("series of one study: no, also of 1.9, 1.8 instead of yes; Modality")
