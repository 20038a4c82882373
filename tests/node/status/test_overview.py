"""What the page is made from: whose images a study holds, what was refused, what came back."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database, open_database
from node.database.tables import AuditRow, Base, DecisionRow, InstanceRow, SeriesRow, StudyRow
from node.status.app import build_app
from node.status.overview import (
    DECISIONS_SHOWN,
    FEWEST_TRACES,
    JOBS_SHOWN,
    SERIES_SHOWN,
    TRACES_SHOWN,
    GivenUp,
    Overview,
    StudyView,
)
from node.study.patients import Person
from tests.node.status.conftest import Morning
from tests.postgres import Postgres
from tests.serving import client_of

ANNA, BERT = (Person(who).marked(b"key") for who in ("Anna", "Bert"))


@pytest.fixture
def overview(database: Database, morning: Morning) -> Overview:
    return Overview(database)


def view(overview: Overview, uid: str) -> StudyView:
    study = overview.study(uid)
    assert study is not None
    return study


def of_patient(database: Database, mark: str, *uids: str) -> None:
    with Session(database) as session, session.begin():
        session.execute(update(InstanceRow).where(InstanceRow.sop_instance_uid.in_(uids)).values(patient=mark))


def test_images_of_two_patients_are_kept_apart(
    configuration: Configuration, database: Database, overview: Overview
) -> None:
    assert view(overview, "1.2.3").totals.patients == 1
    of_patient(database, ANNA, "1.2.3.1.0", "1.2.3.1.1")
    assert view(overview, "1.2.3").totals.patients == 1
    of_patient(database, BERT, "1.2.3.1.2")
    assert view(overview, "1.2.3").patients == {"1.2.3.1": {1: 2, 2: 1}}
    with client_of(build_app(configuration, database), accept="text/html") as client:
        page = client.get("/studies/1.2.3").text
    assert "Images of 2 patients came under this Study Instance UID" in page
    assert "patient 1: 2, patient 2: 1" in page


def test_a_series_of_several_studies_leads_to_the_others(
    configuration: Configuration, database: Database, overview: Overview, morning: Morning
) -> None:
    with Session(database) as session, session.begin():
        session.add(
            SeriesRow(
                study_instance_uid="1.2.1",
                series_instance_uid="1.2.3.1",
                first_received=morning.zero,
                last_received=morning.zero,
            )
        )
    assert view(overview, "1.2.3").other_studies == {"1.2.3.1": ("1.2.1",)}
    with client_of(build_app(configuration, database), accept="text/html") as client:
        page = client.get("/studies/1.2.3").text
        assert "is of 1 other study too" in page
        assert 'href="/studies/1.2.1"' in page


def test_of_a_study_of_many_series_a_part_is_shown_and_the_rest_counted(
    configuration: Configuration, database: Database, overview: Overview, morning: Morning
) -> None:
    number, taken = SERIES_SHOWN + 100, "1.2.7.299"
    traces = [
        {"series_instance_uid": f"1.2.7.{n}", "modality": "OT", "matched": False, "clauses": []}
        for n in range(TRACES_SHOWN + 50)
    ]
    with Session(database) as session, session.begin():
        session.add(StudyRow(study_instance_uid="1.2.7", first_received=morning.zero, last_received=morning.at(1e4)))
        session.execute(
            insert(SeriesRow),
            [
                {
                    "study_instance_uid": "1.2.7",
                    "series_instance_uid": f"1.2.7.{n}",
                    "modality": "OT" if n else "MR",
                    "instances": 2,
                    "first_received": morning.at(n),
                    "last_received": morning.at(n),
                }
                for n in range(number)
            ],
        )
        decision = {"route": "knee", "level": "series", "study_instance_uid": "1.2.7", "decided": morning.at(1e4)}
        session.execute(
            insert(DecisionRow),
            [
                {
                    **decision,
                    "series_instance_uid": uid,
                    "matched": uid == taken,
                    "trace": {"why": f"decision about {uid}", "series": []},
                }
                for uid in (f"1.2.7.{n}" for n in range(number))
            ],
        )
        of_all = {"series_instance_uid": None, "level": "study", "route": "whole", "matched": False}
        trace = {"why": "none fits", "series": traces, "unread": False}
        session.execute(insert(DecisionRow), [{**decision, **of_all, "trace": trace}])
        for n in range(JOBS_SHOWN + 10):
            morning.job(session, 100 + n, "1.2.7", "running" if n == 0 else "done", 10 + n)
    study = view(overview, "1.2.7")
    assert (study.totals.series, study.totals.instances, study.totals.modalities) == (number, 2 * number, ("MR", "OT"))
    assert len(study.series) == SERIES_SHOWN
    assert {"1.2.7.0", taken} < {one.series_instance_uid for one in study.series}  # the first, and what a route took
    assert study.state == "running"
    assert {(one.route, one.matched) for one in study.decisions} == {("knee", True), ("knee", False), ("whole", False)}
    with client_of(build_app(configuration, database), accept="text/html") as client:
        page = client.get("/studies/1.2.7").text
        hidden, shown = (client.get(f"/jobs/{of:032x}", follow_redirects=False).status_code for of in (101, 100))
    assert f"{2 * number} instances in {number} series" in page
    assert "And 100 more series." in page
    assert f"And {number + 1 - DECISIONS_SHOWN} more decisions." in page
    assert f"And {len(traces) - FEWEST_TRACES} more series." in page
    assert "And 10 more jobs." in page
    assert (hidden, shown) == (200, 307)  # on a page of its own, on the study's


def test_patients_beyond_those_that_are_told_apart_are_not_counted(overview: Overview, database: Database) -> None:
    many = [Person(str(who)).marked(b"key") for who in range(4)]
    for number, mark in enumerate(many):
        of_patient(database, mark, f"1.2.2.1.{number}")
    assert view(overview, "1.2.2").patients_told == "4"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("node.status.overview.PATIENTS_TOLD_APART", 3)
        assert view(overview, "1.2.2").patients_told == "3 or more"


def test_what_was_not_stored_is_shown_once_for_each_sender_study_and_reason(
    configuration: Configuration, database: Database, overview: Overview, morning: Morning
) -> None:
    detail = {"association": "a", "sop_instance_uid": "1", "status": "0xC002", "reason": "taken"}
    with Session(database) as session, session.begin():
        for second, study in enumerate(("1.2.3", "1.2.3", "1.2.9", None)):
            session.add(
                AuditRow(at=morning.at(second), what="instance not stored", study_instance_uid=study, detail={**detail})
            )
    found, more = overview.not_stored(10)
    shown = [(one.study_instance_uid, one.instances, one.sender) for one in found]
    assert shown == [(None, 1, "dimse MR1"), ("1.2.9", 1, "dimse MR1"), ("1.2.3", 2, "dimse MR1")]
    assert more == 0
    assert [one.instances for one in overview.not_stored(10, "1.2.3")[0]] == [2]
    with client_of(build_app(configuration, database), accept="text/html") as client:
        assert "condyle erase" in client.get("/studies/1.2.3").text


def test_one_sender_of_much_that_is_not_stored_hides_no_other_and_every_number_is_true(
    configuration: Configuration, database: Database, overview: Overview, morning: Morning
) -> None:
    def refused(number: int, who: str, times: int) -> AuditRow:
        detail = {"association": "?", "status": "0xC000", "reason": f"of kind {number}", "first": f"part {number}"}
        what = "instance not stored"
        return AuditRow(at=morning.at(number), what=what, who=who, times=times, counted_as=f"{number}", detail=detail)

    with Session(database) as session, session.begin():
        session.add(refused(0, "dimse MR1 10.0.0.1", 2))
        session.add_all(refused(number, "stow 10.0.0.9", 1000) for number in range(1, 600))
    found, more = overview.not_stored(4)
    assert [(one.sender, one.reason, one.instances) for one in found] == [
        ("stow 10.0.0.9", f"of kind {number}", 1000) for number in (599, 598, 597, 596)
    ]  # the first sender lies further back than is looked at
    assert more == 599 * 1000 + 2 - 4000
    with Session(database) as session, session.begin():
        session.add(refused(600, "dimse MR2 10.0.0.2", 1))
        session.add_all(refused(number, "stow 10.0.0.9", 1000) for number in range(601, 700))
    found, _ = overview.not_stored(4)
    assert [one.sender for one in found] == ["stow 10.0.0.9"] * 3 + ["dimse MR2 10.0.0.2"]


@pytest.mark.postgres
def test_postgresql_groups_and_counts_alike(postgres: Postgres, morning: Morning) -> None:
    database = open_database(postgres.database())
    Base.metadata.create_all(database)
    detail = {"association": "a", "status": "0xC000", "reason": "short", "until": "2026-01-01T00:00:00+00:00"}
    with Session(database) as session, session.begin():
        for times, counted_as in ((1, None), (1, None), (9999, "b")):  # two as earlier versions wrote them
            row = AuditRow(at=morning.zero, what="instance not stored", times=times, detail=detail)
            row.who, row.counted_as = "stow ::1" if counted_as else "", counted_as
            session.add(row)
        came = {"first_received": morning.zero, "last_received": morning.zero}
        session.add(StudyRow(study_instance_uid="1.2.7", **came))
        session.add(SeriesRow(study_instance_uid="1.2.7", series_instance_uid="1.2.7.1", instances=2, **came))
        morning.decision(session, "1.2.7", None, {"key": "Modality", "expected": "MR", "found": "OT", "holds": False})
    overview = Overview(database)
    found, more = overview.not_stored(10)
    assert ([(one.sender, one.instances) for one in found], more) == ([("stow ::1", 9999), ("", 2)], 0)
    assert overview.failing(morning.zero) is None
    study = view(overview, "1.2.7")
    assert (study.totals.series, study.totals.instances, study.totals.decisions) == (1, 2, 1)
    assert len(study.decisions) == 1
    database.dispose()


def test_results_that_came_back_are_told_apart(database: Database, overview: Overview) -> None:
    with Session(database) as session, session.begin():
        session.get_one(InstanceRow, "1.2.3.1.2").made_by_us = True
    assert view(overview, "1.2.3").totals.came_back == 1


def test_rejected_images_are_counted_by_the_reason(database: Database, overview: Overview) -> None:
    with Session(database) as session, session.begin():
        session.get_one(InstanceRow, "1.2.3.1.2").rejected = "113038"
    assert view(overview, "1.2.3").totals.rejected == {"Incorrect Modality Worklist Entry": 1}


def test_images_that_are_not_read_any_more_are_shown_with_their_study_and_counted(
    configuration: Configuration, database: Database, overview: Overview
) -> None:
    assert view(overview, "1.2.3").given_up == ()
    with Session(database) as session, session.begin():
        for number in (1, 2):
            session.get_one(InstanceRow, f"1.2.3.1.{number}").given_up = "it <takes> too long"
    assert view(overview, "1.2.3").given_up == (GivenUp("it <takes> too long", 2, "1.2.3.1.1"),)
    assert view(overview, "1.2.1").given_up == ()
    with client_of(build_app(configuration, database), accept="text/html") as client:
        said = "2 images could not be read, and are not tried any more: it &lt;takes&gt;"
        assert said in client.get("/studies/1.2.3").text
        assert "condyle_images_given_up 2.0" in client.get("/metrics").text


def test_that_an_image_cannot_be_read_is_said_once_for_all_routes(
    configuration: Configuration, database: Database, morning: Morning
) -> None:
    trace = {"matched": False, "why": "1 image cannot be read", "unread": True, "series": []}
    with Session(database) as session, session.begin():
        study = session.get_one(StudyRow, "1.2.1")
        session.add(
            StudyRow(study_instance_uid="1.2.8", first_received=morning.zero, last_received=study.last_received)
        )
        session.add_all(
            DecisionRow(
                route=route,
                level=level,
                study_instance_uid="1.2.8",
                matched=False,
                trace=trace,
                decided=morning.zero,
            )
            for route, level in (("knee", "series"), ("joint", "series"), ("risk", "study"), ("hand", "study"))
        )
        session.add(_given_up("1.2.8", morning))
    with client_of(build_app(configuration, database), accept="text/html") as client:
        page = client.get("/studies/1.2.8").text
        assert page.count("its sequences are nested too deep") == 1
        assert page.count("1 image cannot be read") == 0
        assert "<b>knee, joint, risk, hand</b>" in page
        assert page.count(">not matched<") == 1
        assert "knee, joint, risk, hand: 1 image cannot be read" in client.get("/studies").text


def test_no_time_is_negative_when_images_come_after_the_result(
    configuration: Configuration, database: Database, overview: Overview, morning: Morning
) -> None:
    study = view(overview, "1.2.1")
    assert study.after_last_image_s == study.after_last_image_of_s(study.jobs[0]) == pytest.approx(38.2)
    with Session(database) as session, session.begin():
        session.get_one(StudyRow, "1.2.1").last_received = morning.at(1000)
    study = view(overview, "1.2.1")
    assert study.after_last_image_s is None
    assert all(span.start_s >= 0 and span.seconds >= 0 for span in study.spans)
    with client_of(build_app(configuration, database), accept="text/html") as client:
        assert "after the last image" not in client.get("/studies/1.2.1").text


def test_a_job_that_waits_for_a_worker_again_does_not_run_meanwhile_on_the_timeline(
    database: Database, overview: Overview, morning: Morning
) -> None:
    with Session(database) as session, session.begin():
        morning.received(session, "1.2.9", "MR", 3, 0)
        job = morning.job(session, 9, "1.2.9", "done", 10, updated=morning.at(60))
        morning.events(
            session,
            job,
            *((10, "queued", None), (20, "running", None), (21, "queued", None)),
            *((40, "running", None), (50, "sending", None), (60, "done", None)),
        )
    spans = [(span.phase, span.seconds) for span in view(overview, "1.2.9").spans if span.phase in ("queue", "run")]
    assert spans == [("queue", 10), ("run", 1), ("queue", 19), ("run", 10)]


def test_a_queued_job_is_shown_with_what_is_before_it(
    configuration: Configuration, database: Database, overview: Overview, morning: Morning
) -> None:
    with Session(database) as session, session.begin():
        morning.job(session, 10, "1.2.1", "running", 20)
        job = morning.job(session, 11, "1.2.1", "queued", 30)
    with client_of(build_app(configuration, database), accept="text/html") as client:
        assert "1 job before it, 1 running" in client.get("/").text
        assert "1 job before it, 1 running" in client.get(f"/jobs/{job}", follow_redirects=True).text


def _given_up(study: str, morning: Morning) -> InstanceRow:
    return InstanceRow(
        sop_instance_uid=f"{study}.1.1",
        sop_class_uid="1.2",
        series_instance_uid=f"{study}.1",
        study_instance_uid=study,
        transfer_syntax_uid="1.2",
        path="a",
        size=1,
        association_id="a",
        received=morning.zero,
        given_up="its sequences are nested too deep",
    )
