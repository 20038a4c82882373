"""The exit code of the demo rests on these: what ought to be in the archive and is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
)
from sqlalchemy.orm import Session

from node.database.connection import Database, open_database
from node.database.tables import Base, DecisionRow, JobRow, ObjectRow, OutboxRow, SeriesRow
from node.demo.outcome import SampleOutcome, Sent, is_settled, outcome, progress
from node.demo.result_archive import Stored, in_words
from node.demo.samples import Expected, Sample
from node.demo.scanner import File

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
SOURCE = File(Path("a.dcm"), MRImageStorage, "1.1.1.1", "1.1.1", "1.1", ExplicitVRLittleEndian, "MR", "")
CAPTURE = Stored("1.9.1", SecondaryCaptureImageStorage, "1.9")
REPORT = Stored("1.8.1", Comprehensive3DSRStorage, "1.8")
DERIVED = Stored("1.7.1", MRImageStorage, "1.7")


class Holding:
    """An archive that holds these objects."""

    def __init__(self, *objects: Stored) -> None:
        self.objects = objects

    def stored(self, study_instance_uid: str) -> tuple[Stored, ...]:
        assert study_instance_uid == "1.1"
        return (Stored("1.1.1.1", UID(MRImageStorage), "1.1.1"), *self.objects)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    Base.metadata.create_all(database)
    with Session(database) as session, session.begin():
        session.add(
            SeriesRow(
                series_instance_uid="1.1.1",
                study_instance_uid="1.1",
                modality="MR",
                instances=1,
                routed_instances=1,
                study_routed_instances=1,
                first_received=NOW,
                last_received=NOW,
            )
        )
    yield database
    database.dispose()


def job(database: Database, state: str, lines: str, *made: Stored, reason: str = "") -> None:
    """A job that made these objects, whose lines of the outbox are in the state `lines`."""
    with Session(database) as session, session.begin():
        session.add(
            JobRow(
                id="j",
                route="knee",
                pipeline="knee",
                study_instance_uid="1.1",
                series_instance_uids=["1.1.1"],
                sop_instance_uids=["1.1.1.1"],
                settings={},
                destinations=["archive"],
                state=state,
                reason=reason,
                created=NOW,
                updated=NOW + timedelta(seconds=7),
            )
        )
        session.flush()
        for one in made:
            fields = {"sop_instance_uid": one.sop_instance_uid, "job_id": "j"}
            session.add(
                ObjectRow(
                    **fields,
                    sop_class_uid=one.sop_class_uid,
                    series_instance_uid=one.series_instance_uid,
                    study_instance_uid="1.1",
                    kind="report",
                    path="x",
                    sha256="",
                    size=1,
                )
            )
            session.flush()
            session.add(OutboxRow(**fields, destination="archive", state=lines, not_before=NOW))


def told(database: Database, archive: Holding, *expected: Expected, refused: str = "") -> SampleOutcome:
    sample = Sample("knee", lambda _folder: None, expected)
    return outcome(database, archive, Sent("knee", (SOURCE,), refused, 0.1, sample))


def decided(database: Database, route: str, matched: bool, why: str) -> None:
    with Session(database) as session, session.begin():
        fields = {"route": route, "level": "series", "study_instance_uid": "1.1", "series_instance_uid": "1.1.1"}
        session.add(DecisionRow(**fields, matched=matched, trace={"why": why}, decided=NOW))


KNEE = Expected("knee", derived_series=1)


def test_all_there_is_good(database: Database) -> None:
    job(database, "done", "delivered", CAPTURE, REPORT, DERIVED)
    found = told(database, Holding(CAPTURE, REPORT, DERIVED), KNEE)
    assert found.lacking == ()
    assert found.jobs[0].after_last_image_s == 7
    assert found.returned_in_words == "1 MR series (1 image), 1 capture, 1 report"


def test_what_the_node_calls_delivered_must_be_in_the_archive(database: Database) -> None:
    job(database, "done", "delivered", CAPTURE, REPORT, DERIVED)
    found = told(database, Holding(CAPTURE, DERIVED), KNEE)
    assert found.lacking == ("1 of 3 objects are not in the archive", "0 reports instead of 1")


@pytest.mark.parametrize("state", ["failed", "running", "queued", "sending"])
def test_a_job_that_did_not_end_well_is_told(database: Database, state: str) -> None:
    job(database, state, "waiting")
    assert f"knee {state}: " in told(database, Holding(CAPTURE, REPORT, DERIVED), KNEE).lacking


def test_a_pipeline_that_did_not_run_is_told(database: Database) -> None:
    assert "knee did not run" in told(database, Holding(), KNEE).lacking


def test_a_study_that_no_pipeline_shall_take_must_stay_as_it_was(database: Database) -> None:
    assert told(database, Holding()).good
    assert told(database, Holding(CAPTURE)).lacking == ("nothing should have run",)


def test_one_series_too_many_is_told(database: Database) -> None:
    job(database, "done", "delivered", CAPTURE, REPORT, DERIVED)
    extra = Stored("1.6.1", MRImageStorage, "1.6")
    assert told(database, Holding(CAPTURE, REPORT, DERIVED, extra), KNEE).lacking == ("2 derived series instead of 1",)


def test_what_the_node_refused_is_told(database: Database) -> None:
    assert "not stored: 0xA700" in told(database, Holding(), refused="0xA700").lacking


@pytest.mark.parametrize(("state", "lines", "settled"), [("done", "delivered", True), ("sending", "waiting", False)])
def test_it_is_settled_when_jobs_have_ended_and_nothing_waits(
    database: Database, state: str, lines: str, settled: bool
) -> None:
    job(database, state, lines, CAPTURE)
    assert is_settled(database, [Sent("knee", (SOURCE,), "", 0.1)]) is settled


def test_it_is_not_settled_before_the_node_knows_the_study(database: Database) -> None:
    other = File(Path("b.dcm"), MRImageStorage, "2.1.1.1", "2.1.1", "2.1", ExplicitVRLittleEndian, "MR", "")
    assert not is_settled(database, [Sent("other", (other,), "", 0.1)])


def test_objects_are_told_in_words() -> None:
    two_pages = Stored("1.9.2", SecondaryCaptureImageStorage, "1.9")
    private = Stored("1.5.1", "1.2.3.4", "1.5")
    assert in_words((private, CAPTURE, two_pages, REPORT)) == "2 captures, 1 report, 1 other object"


# ---- why, in one line
def test_what_ran_says_what_its_route_found(database: Database) -> None:
    decided(database, "other", False, "Modality: MR instead of US")
    decided(database, "knee", True, "every clause holds")
    job(database, "done", "delivered")
    assert told(database, Holding()).why == "knee ran: every clause holds"


def test_what_could_not_run_says_its_own_reason(database: Database) -> None:
    decided(database, "knee", True, "every clause holds")
    job(database, "unsuitable", "delivered", reason="a slice is missing")
    assert told(database, Holding()).why == "knee did not run: a slice is missing"


def test_where_nothing_ran_the_route_with_the_fewest_clauses_against_it_is_told(database: Database) -> None:
    decided(database, "hand_scores", False, "Modality: MR instead of DX; series.body_part: head instead of hand")
    decided(database, "knee_risk", False, "series.body_part: head instead of knee")
    why = told(database, Holding()).why
    assert why == "nothing ran: knee risk came nearest, but series.body_part: head instead of knee"


# ---- how far it is
@pytest.mark.parametrize(
    ("state", "lines", "settled", "waiting_for"),
    [
        ("running", "delivered", 0, "knee to run"),
        ("queued", "delivered", 0, "1 queued job"),
        ("sending", "waiting", 0, "1 object to be sent"),
        ("done", "delivered", 1, "the last answers"),
    ],
)
def test_progress_says_what_is_waited_for(
    database: Database, state: str, lines: str, settled: int, waiting_for: str
) -> None:
    job(database, state, lines, CAPTURE)
    now = progress(database, [Sent("knee", (SOURCE,), "", 0.1)])
    assert (now.settled, now.waiting_for) == (settled, waiting_for)


def test_progress_counts_studies_that_nobody_decided_about_and_none_that_was_refused(database: Database) -> None:
    other = File(Path("b.dcm"), MRImageStorage, "2.1.1.1", "2.1.1", "2.1", ExplicitVRLittleEndian, "MR", "")
    now = progress(database, [Sent("one", (SOURCE,), "", 0.1), Sent("other", (other,), "", 0.1)])
    assert (now.settled, now.waiting_for) == (1, "the last image of 1 study")
    assert progress(database, [Sent("other", (other,), "0xA700", 0.1)]).settled == 1
