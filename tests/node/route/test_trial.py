"""A trial of other routes says what `condyle reroute --dry-run` says with them, from records where they suffice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.rejections import decide_again
from node.database.tables import AssociationRow, InstanceRow, SeriesRow, StudyRow
from node.errors import StillArriving
from node.reading import HERE
from node.route.known import Known
from node.route.recorded import recorded_studies
from node.route.reroute import Action, Reroute
from node.route.stored_facts import StoredFacts
from node.route.trial import Comparing, Failed, Kind, Place, Trial, verdicts, with_read
from node.route.trial_reading import TrialReader, read_headers
from tests.node.route.headers import header
from tests.node.route.test_dispatch import NOW, Desk
from tests.node.route.test_facts_reader import NoJobs
from tests.properties import STABLE
from tests.waiting import until

SINCE = NOW - timedelta(days=7)
EXAMPLES = 25  # each reads all headers anew, for comparison
ROUTES: dict[str, dict[str, Any]] = {
    "knee": {"when": {"Modality": "MR", "series.instances": {"min": 2}, "SliceThickness": {"max": 3.5}}},
    "sender": {"when": {"association.calling_ae_title": "MR1", "PatientName": "Secret*"}},
    "named": {"when": {"PatientName": "Secret*"}},
    "whole": {"when": {"study.modalities": "DX"}, "level": "study", "pipeline": "hand_foot_scoring"},
}


def fill(desk: Desk) -> None:
    """Studies whose series vary in what routes ask; values vary within a series too."""
    thick = [header(n, SliceThickness=value) for n, value in ((1, 3.0), (2, 5.0))]
    desk.receive("1.1.1", *thick, study="1.1")
    desk.receive("1.1.2", header(1, Modality="DX", SeriesDescription="Hand, left"), modality="DX", study="1.1")
    desk.receive("1.2.1", header(1, SliceThickness=0.1 + 0.2), header(2), header(3), study="1.2", calling="MR2")
    desk.receive("1.3.1", header(1, Manufacturer="absent", SeriesDescription="absent"), study="1.3")
    desk.receive("1.3.2", header(1, SliceThickness=None), header(2, SliceThickness=None), study="1.3", calling="MR2")
    many = [header(n, SeriesDescription=f"echo {n}", EchoTime=n / 7) for n in range(1, 19)]
    desk.receive("1.4.1", *many, study="1.4")
    ours = header(1, Manufacturer="Condyle")
    desk.receive("1.5.1", ours, study="1.5")
    desk.receive("1.5.2", header(1, Modality="DX", PatientName="Other^Ben"), modality="DX", study="1.5")
    desk.work()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("trial"), **ROUTES)
    fill(made)
    yield made
    made.database.dispose()


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, **ROUTES)
    fill(made)
    yield made
    made.database.dispose()


def configured(desk: Desk, routes: Mapping[str, Mapping[str, Any]]) -> Configuration:
    common = {"pipeline": "knee_super_resolution", "destinations": ["out"]}
    plain = desk.configuration.model_dump(mode="json", exclude_unset=True)
    return Configuration.model_validate(
        {**plain, "routes": {name: {**common, **route} for name, route in routes.items()}}
    )


def tried(desk: Desk, after: Configuration) -> tuple[Trial, dict[Place, Known | Failed]]:
    """The trial once everything that it asks for has been read; what was read."""
    comparing = Comparing(desk.configuration, after)
    read: dict[Place, Known | Failed] = {}
    recorded = with_read(desk.database, recorded_studies(desk.database, SINCE), comparing.keys, read)
    trial = comparing.trial(recorded, read)
    if trial.to_read:
        facts = StoredFacts(desk.configuration.node.data, desk.database, lambda: NOW, HERE)
        read_headers(facts, desk.database, trial.to_read, trial.keys, note=read.__setitem__)
        recorded = with_read(desk.database, recorded_studies(desk.database, SINCE), comparing.keys, read)
        trial = comparing.trial(recorded, read)
    return trial, read


def takes_by_reroute(desk: Desk, configuration: Configuration) -> set[tuple[str, str | None, str]]:
    """Study, series and route of all that `condyle reroute --dry-run` would give a job."""
    again = Reroute(configuration, desk.database, NoJobs(), lambda: NOW, HERE)
    found = set()
    for study in recorded_studies(desk.database, SINCE).studies:
        uid = study.study_instance_uid
        try:
            for one in again.reroute(uid, dry_run=True):
                if one.action is not Action.NO_MATCH:
                    found.add((uid, one.complete.series_instance_uid, one.route))
        except StillArriving:
            continue
    return found


def same_as_reroute(desk: Desk, after: Configuration) -> Trial:
    """The trial; it says what reroute says."""
    trial, _ = tried(desk, after)
    assert not trial.to_read
    before_, after_ = takes_by_reroute(desk, desk.configuration), takes_by_reroute(desk, after)
    places = [(one.study_instance_uid, one.series_instance_uid, one.route) for one in trial.differences]
    kinds = dict(zip(places, (one.kind for one in trial.differences), strict=True))
    assert {place for place in kinds if kinds[place] is Kind.STARTS} == after_ - before_
    assert {place for place in kinds if kinds[place] is Kind.STOPS} == before_ - after_
    return trial


tests: dict[str, list[Any]] = {
    "Modality": ["MR", "DX", ["MR", "CT"], {"not": "MR"}],
    "SliceThickness": [{"max": 3.5}, {"min": 4}, 3, {"present": True}, {"absent": True}, {"max": 0.3}],
    "SeriesDescription": ["absent", {"absent": True}, "*left", "echo 18", {"not": "echo 1"}],
    "EchoTime": [{"min": 2.5}, {"max": 0.5}, {"present": True}],
    "PatientName": ["Secret*", {"present": True}, {"not": "Other*"}],
    "series.instances": [{"min": 2}, 1, {"max": 3}],
    "series.orientation": ["sagittal", "axial"],
    "association.calling_ae_title": ["MR1", "MR?", {"not": "MR1"}],
}
of_study: dict[str, list[Any]] = {
    "study.modalities": ["DX", {"not": "DX"}],
    "study.series": [2, {"max": 1}],
    "study.instances": [{"min": 3}],
}


def whens(keys: Mapping[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    clause = st.sampled_from(sorted(keys)).flatmap(lambda key: st.sampled_from(keys[key]).map(lambda test: {key: test}))
    inner = st.lists(clause, min_size=1, max_size=3)
    group = st.sampled_from(["any_of", "all_of"]).flatmap(lambda name: inner.map(lambda some: {name: some}))
    return st.tuples(clause, st.one_of(clause, group, clause.map(lambda one: {"not": one}))).map(
        lambda two: {**two[0], **two[1]}
    )


series_routes = whens(tests).map(lambda when: {"when": when})
study_routes = whens({**tests, **of_study}).map(
    lambda when: {"when": when, "level": "study", "pipeline": "hand_foot_scoring"}
)


few = settings(STABLE, max_examples=max(EXAMPLES, STABLE.max_examples if STABLE.max_examples > 60 else 0))


@few
@given(st.fixed_dictionaries({}, optional={"knee": series_routes, "new": series_routes, "whole": study_routes}))
def test_a_trial_says_what_reroute_says_whatever_the_routes_ask(desk: Desk, routes: dict[str, Any]) -> None:
    same_as_reroute(desk, configured(desk, routes))


def test_where_the_traces_suffice_no_image_is_read(desk: Desk) -> None:
    knee = {"when": {"Modality": "MR", "SliceThickness": {"max": 2}, "series.instances": {"min": 1}}}
    trial, read = tried(desk, configured(desk, {**ROUTES, "knee": knee}))
    assert not read
    starts = [one for one in trial.differences if one.kind is Kind.STARTS]
    assert not starts
    stops = {one.series_instance_uid: one.why for one in trial.differences if one.kind is Kind.STOPS}
    told = {f"SliceThickness: {both} instead of at most 2" for both in ("3, 5", "5, 3")}  # as they came
    assert set(stops["1.1.1"]) < told


def test_what_no_decision_asked_is_read_and_what_varies_within_a_series_counts_for_all_of_it(desk: Desk) -> None:
    new = {"when": {"SeriesDescription": "echo 18"}}
    trial, read = tried(desk, configured(desk, {**ROUTES, "new": new}))
    assert read
    (difference,) = trial.differences
    assert (difference.series_instance_uid, difference.kind, difference.why) == (
        "1.4.1",
        Kind.STARTS,
        ("the route is new",),
    )
    (count,) = trial.counts
    assert (count.before, count.after, count.judged) == (0, 1, 8)


def test_the_clauses_that_make_the_difference_are_named(desk: Desk) -> None:
    knee = {"when": {"Modality": "DX"}}
    trial = same_as_reroute(desk, configured(desk, {**ROUTES, "knee": knee}))
    starts = {one.series_instance_uid: one.why for one in trial.differences if one.kind is Kind.STARTS}
    assert starts["1.1.2"][0] == "Modality: DX instead of MR"


def test_other_settings_and_destinations_are_other_jobs_of_what_is_taken_all_the_same(desk: Desk) -> None:
    routes = {**ROUTES, "knee": {**ROUTES["knee"], "pipeline": "joint_classification"}}
    trial, read = tried(desk, configured(desk, {**routes, "named": {**ROUTES["named"], "destinations": []}}))
    assert not read, "what a route with the same conditions decided is known, also where a trace hides the values"
    jobs = [one for one in trial.differences if one.kind is Kind.JOB]
    assert {(one.before, one.after) for one in jobs} == {("knee_super_resolution", "joint_classification")}
    (count,) = [count for count in trial.counts if count.change.name == "knee"]
    assert count.before == count.after == count.jobs_differ == len(jobs) > 0
    places = [one for one in trial.differences if one.kind is Kind.PLACE]
    assert places
    assert places[0].why == ("destinations: [out] becomes []",)


def test_the_same_routes_differ_in_nothing(desk: Desk) -> None:
    trial, read = tried(desk, desk.configuration)
    assert not read
    assert not trial.changes
    assert not trial.differences


def test_a_sender_is_asked_of_the_records_as_they_are_now(own_desk: Desk) -> None:
    with Session(own_desk.database) as session, session.begin():
        session.add(AssociationRow(id="again", way="dimse", calling_ae_title="MR9", started=NOW))
        of_series = InstanceRow.series_instance_uid == "1.1.1"
        session.execute(update(InstanceRow).where(of_series).values(association_id="again", received=NOW))
    sender = {"when": {"association.calling_ae_title": "MR9"}}
    trial = same_as_reroute(own_desk, configured(own_desk, {**ROUTES, "sender": sender}))
    starts = {one.series_instance_uid: one.why for one in trial.differences if one.kind is Kind.STARTS}
    assert starts == {"1.1.1": ("association.calling_ae_title: MR9 instead of MR1",)}


def test_what_was_decided_before_images_were_rejected_does_not_count(own_desk: Desk) -> None:
    with Session(own_desk.database) as session, session.begin():
        of_series = InstanceRow.series_instance_uid == "1.1.1"
        thin = session.scalars(InstanceRow.__table__.select().where(of_series)).first()
        session.execute(update(InstanceRow).where(InstanceRow.sop_instance_uid == thin).values(rejected="113001"))
        decide_again(session, "1.1", ["1.1.1"])
    after = configured(own_desk, {**ROUTES, "knee": {"when": {"series.instances": 1}}})
    trial, _ = tried(own_desk, after)
    assert trial.not_judged.arriving == 1, "until it has been decided about anew"
    own_desk.work()
    assert "1.1.1" in {one.series_instance_uid for one in same_as_reroute(own_desk, after).differences}


def test_of_deleted_images_the_traces_still_tell_and_what_they_do_not_is_counted(own_desk: Desk) -> None:
    with Session(own_desk.database) as session, session.begin():
        for row in (InstanceRow, SeriesRow, StudyRow):
            session.execute(delete(row).where(row.study_instance_uid == "1.1"))
    thin = {"when": {"Modality": "MR", "SliceThickness": {"max": 2}, "series.instances": {"min": 1}}}
    trial, read = tried(own_desk, configured(own_desk, {**ROUTES, "knee": thin}))
    assert not read
    assert ("1.1.1", Kind.STOPS) in {(one.series_instance_uid, one.kind) for one in trial.differences}
    trial, read = tried(own_desk, configured(own_desk, {**ROUTES, "new": {"when": {"EchoTime": {"min": 1}}}}))
    assert trial.not_judged.gone == 1
    assert all(study != "1.1" for study, _ in read)


def test_what_cannot_be_read_is_counted_and_asked_for_once(own_desk: Desk) -> None:
    for path in own_desk.folder.rglob("*.dcm"):
        path.unlink()
    trial, read = tried(own_desk, configured(own_desk, {**ROUTES, "new": {"when": {"EchoTime": {"min": 1}}}}))
    assert all(isinstance(one, Failed) for one in read.values())
    assert trial.not_judged.unread is not None
    assert sum(trial.not_judged.unread.values()) == len(read) > 0
    assert not trial.to_read


def test_no_more_is_read_than_allowed(desk: Desk) -> None:
    facts = StoredFacts(desk.configuration.node.data, desk.database, lambda: NOW, HERE)
    read: dict[Place, Known | Failed] = {}
    places = {"1.1": frozenset(["1.1.1", "1.1.2"]), "1.2": frozenset(["1.2.1"])}
    read_headers(facts, desk.database, places, frozenset(["EchoTime"]), note=read.__setitem__, most=1)
    assert [isinstance(one, Failed) for one in read.values()] == [False, True, True]
    assert [one.why for one in read.values() if isinstance(one, Failed)] == [
        "not read: a trial reads no more than 1 series, for 300 s"
    ] * 2


def test_a_thread_reads_for_the_page_and_keeps_what_it_found(desk: Desk) -> None:
    now = [0.0]
    facts = StoredFacts(desk.configuration.node.data, desk.database, lambda: NOW, HERE)
    reader = TrialReader(facts, desk.database, keep_s=60, clock=lambda: now[0])
    keys = frozenset(["EchoTime"])
    assert reader.begin({"1.4": frozenset(["1.4.1"])}, keys)
    until(lambda: not reader.is_busy, "it has read")
    known = reader.found(keys)["1.4", "1.4.1"]
    assert isinstance(known, Known)
    assert len(known.values["EchoTime"]) == 18
    assert not reader.found(frozenset(["Modality"]))
    now[0] = 61
    assert not reader.found(keys)
    reader.stop()
    assert not reader.begin({"1.4": frozenset(["1.4.1"])}, keys)


def test_a_study_that_was_fetched_for_a_request_is_left_aside(own_desk: Desk) -> None:
    with Session(own_desk.database) as session, session.begin():
        session.add(AssociationRow(id="f", way="fetch", started=datetime.now(UTC)))
    own_desk.receive("1.9.1", header(1, StudyInstanceUID="1.9"), study="1.9", calling="f")
    with Session(own_desk.database) as session, session.begin():
        session.execute(update(AssociationRow).where(AssociationRow.id == "f").values(way="fetch"))
        session.execute(update(SeriesRow).where(SeriesRow.study_instance_uid == "1.9").values(last_association_id="f"))
    own_desk.work()
    trial, read = tried(own_desk, configured(own_desk, {"new": {"when": {"EchoTime": {"absent": True}}}}))
    assert all(study != "1.9" for study, _ in read)
    assert all(one.study_instance_uid != "1.9" for one in trial.differences)


def test_verdicts_of_a_route_of_studies_are_about_the_whole(desk: Desk) -> None:
    (route,) = [one for one in desk.dispatcher._in_force[1] if one.name == "whole"]
    studies = {one.study_instance_uid: one for one in recorded_studies(desk.database, SINCE).studies}
    (verdict,) = verdicts(route, studies["1.1"])
    assert (verdict.series_instance_uid, verdict.taken) == (None, ("1.1.1", "1.1.2"))
