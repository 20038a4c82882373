"""Jobs of two routes on the same images, and what their summaries say differently."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy.orm import Session

from node.database.job_states import record
from node.database.tables import JobRow
from node.models.comparison import Comparison, Pair, Paired, compared, paired
from tests.node.run.trial import CREATED, Bench, bench, mr_instances

BEFORE = CREATED - timedelta(days=1)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as found:
        yield found


def put(made: Bench, route: str, images: list[Dataset], state: str, reason: str = "", minutes: int = 0) -> str:
    """A job of a route that came so far."""
    job = replace(made.job(images, number=minutes), route=route, created=CREATED + timedelta(minutes=minutes))
    job = replace(job, id=f"{route}-{minutes}-{images[0].SOPInstanceUID[-12:]}"[:32])
    with Session(made.database) as session, session.begin():
        record(session, job)
        row = session.get_one(JobRow, job.id)
        row.state, row.reason = state, reason
    return job.id


def found(made: Bench) -> Paired:
    return paired(made.database, "knee", "candidate", BEFORE)


def test_jobs_on_the_same_images_are_pairs_and_the_latest_counts(made: Bench) -> None:
    one, two, three, four = (mr_instances(1) for _ in range(4))
    put(made, "knee", one, "done")
    later = put(made, "knee", one, "done", minutes=5)
    shadow = put(made, "candidate", one, "done")
    put(made, "knee", two, "done")
    put(made, "candidate", three, "failed")
    put(made, "candidate", four, "running")
    put(made, "knee", four, "done")  # the other is under way, and will be its pair
    pairs = found(made)
    assert [(pair.first.id, pair.second.id) for pair in pairs.pairs] == [(later, shadow)]
    assert (pairs.only_first, pairs.only_second, pairs.under_way) == (1, 1, 1)
    assert not paired(made.database, "knee", "candidate", CREATED + timedelta(minutes=1)).pairs


def told(value: float, grade: str, **more: Any) -> dict[str, Any]:
    """A summary with one finding."""
    finding = {
        "finding": "SCT:1",
        "measurements": {"DCM:2": {"value": value, "unit": "mm", "interval": None}},
        "evaluations": {"DCM:3": grade},
    }
    names = {"DCM:2": "Width", "DCM:3": "Grade", "DCM:A": "mild", "DCM:B": "severe", "DCM:9": "too dark"}
    return {"findings": {"Site 1": finding}, "not_evaluable": {}, "names": names, **more}


def compare(pairs: tuple[Pair, ...], *summaries: tuple[dict[str, Any], dict[str, Any]]) -> Comparison:
    by_job: dict[str, dict[str, Any]] = {}
    for pair, (one, two) in zip(pairs, summaries, strict=True):
        by_job |= {pair.first.id: one, pair.second.id: two}
    return compared(pairs, by_job)


def pairs_of(made: Bench, *states: tuple[str, str]) -> tuple[Pair, ...]:
    for number, (first, second) in enumerate(states):
        images = mr_instances(1)
        put(made, "knee", images, first, "too few slices" if first == "unsuitable" else "", minutes=number)
        put(made, "candidate", images, second, minutes=number)
    return found(made).pairs


def test_values_of_the_same_site_and_unit_are_paired(made: Bench) -> None:
    pairs = pairs_of(made, ("done", "done"), ("done", "sending"))
    comparison = compare(pairs, (told(1.0, "DCM:A"), told(1.5, "DCM:A")), (told(2.0, "DCM:A"), told(2.1, "DCM:B")))
    (width,) = comparison.measurements.values()
    assert (width.name, width.unit) == ("Width", "mm")
    assert (width.first, width.second, width.jobs, width.sites) == ([1.0, 2.0], [1.5, 2.1], [0, 1], ["Site 1"] * 2)
    assert comparison.grades["DCM:3"].second == ["DCM:A", "DCM:B"]
    assert comparison.names["DCM:B"] == "severe"
    assert comparison.grades["finding"].first == ["SCT:1", "SCT:1"]
    assert comparison.limits()["DCM:2 mm"].bias == pytest.approx(0.3)
    assert comparison.kappas()["DCM:3"].agreed == 0.5


def test_disagreements_come_first_by_state_then_grade_then_size(made: Bench) -> None:
    pairs = pairs_of(made, ("done", "done"), ("unsuitable", "done"), ("done", "done"))
    same, other = told(1.0, "DCM:A"), told(1.0, "DCM:B")
    none = {**told(1.0, "DCM:A"), "findings": {}, "not_evaluable": {"Site 1": "DCM:9"}}
    comparison = compare(pairs, (told(1.0, "DCM:A"), told(1.5, "DCM:B")), (same, other), (same, none))
    said = [(one.what, one.first, one.second) for one in comparison.disagreements]
    assert said == [
        ("state", "unsuitable: too few slices", "done"),
        ("Site 1: Grade", "mild", "severe"),
        ("Site 1", "found", "too dark"),
        ("Site 1: Width", "1 mm", "1.5 mm"),
    ]
    assert comparison.disagreements[0].first_job == pairs[1].first.id


def test_a_small_difference_of_a_measurement_is_no_disagreement(made: Bench) -> None:
    pairs = pairs_of(made, ("done", "done"), ("done", "done"))
    near, far = (told(10.0, "DCM:A"), told(10.4, "DCM:A")), (told(10.0, "DCM:A"), told(9.4, "DCM:A"))
    assert compare(pairs, near, near).disagreements == ()
    assert [one.second for one in compare(pairs, near, far).disagreements] == ["9.4 mm"]


def test_two_models_are_not_compared_by_what_each_has_a_scale_of_its_own_for(made: Bench) -> None:
    pairs = pairs_of(made, ("done", "done"))
    summaries = {pairs[0].first.id: told(1.0, "DCM:A"), pairs[0].second.id: told(9.0, "DCM:A")}
    assert set(compared(pairs, summaries, {"DCM:2"}).measurements) == {"DCM:2 mm"}  # the same model
    pairs[0].second.weights = "ab" * 32
    assert compared(pairs, summaries, {"DCM:2"}).measurements == {}


def test_two_that_say_the_same_do_not_disagree(made: Bench) -> None:
    pairs = pairs_of(made, ("done", "done"), ("unsuitable", "unsuitable"))
    comparison = compare(pairs, *([(told(1.0, "DCM:A"),) * 2] * 2))
    assert comparison.disagreements == ()


def test_a_result_that_is_no_longer_kept_is_left_out(made: Bench) -> None:
    pairs = pairs_of(made, ("done", "done"))
    assert compared(pairs, {pairs[0].first.id: told(1.0, "DCM:A")}).measurements == {}
