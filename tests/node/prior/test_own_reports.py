"""The node's own reports: found again for the patient, and for nobody else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from node.database.jobs import JobState
from node.prior.own_reports import OwnReports
from node.prior.report import LARGEST, Moment, Wanted
from node.reading import HERE
from pipelines.records.record import Identity
from tests.node.prior.earlier import PIPELINE, Site, part10, report, site

WHO = Identity("K4711", "", "Muster", "Erika", date(1960, 2, 29), "F")
DAY_S = 86400


class Keys:
    """Patients by their plain ID, as a test may."""

    def key(self, patient_id: str, issuer: str = "") -> str:
        return f"{issuer}-{patient_id}"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


def wanted(who: Identity = WHO) -> Wanted:
    return Wanted(PIPELINE, "1.9", Moment("20260505", "080000"), who)


def own(here: Site) -> OwnReports:
    return OwnReports(here.folder / "priors", Keys(), here.database, "", HERE)


def test_a_report_that_went_out_is_found_and_read_again(here: Site) -> None:
    ds = report()
    here.reported(ds)
    reports = own(here)
    reports.keep(here.folder / f"{ds.SOPInstanceUID}.dcm", str(ds.SOPInstanceUID), WHO)
    (here.folder / f"{ds.SOPInstanceUID}.dcm").unlink()  # the job's own file may go
    found, mismatches = reports.find(wanted(), [])
    assert found is not None
    assert (found.sop_instance_uid, mismatches) == (ds.SOPInstanceUID, [])
    assert reports.get(str(ds.SOPInstanceUID), WHO) == part10(ds)
    assert reports.get("1.2.3", WHO) is None


def test_a_report_of_a_job_that_failed_is_not_given(here: Site) -> None:
    ds = report()
    here.reported(ds, JobState.FAILED)
    reports = own(here)
    reports.keep(here.folder / f"{ds.SOPInstanceUID}.dcm", str(ds.SOPInstanceUID), WHO)
    assert reports.find(wanted(), []) == (None, [])


def test_a_report_under_the_same_id_of_another_person_is_left_out_and_said(here: Site) -> None:
    ds = report(PatientBirthDate="19710101")
    here.reported(ds)
    reports = own(here)
    reports.keep(here.folder / f"{ds.SOPInstanceUID}.dcm", str(ds.SOPInstanceUID), WHO)
    assert reports.find(wanted(), []) == (None, ["birth date"])


def test_without_a_patient_id_nothing_is_stored(here: Site) -> None:
    ds = report()
    here.reported(ds)
    own(here).keep(
        here.folder / f"{ds.SOPInstanceUID}.dcm", str(ds.SOPInstanceUID), Identity("", "", "", "", None, "U")
    )
    assert not (here.folder / "priors").exists()


def test_old_reports_are_deleted(here: Site) -> None:
    ds = report()
    here.reported(ds)
    reports = own(here)
    reports.keep(here.folder / f"{ds.SOPInstanceUID}.dcm", str(ds.SOPInstanceUID), WHO)
    assert reports.purge(10) == 0
    (stored,) = (here.folder / "priors").glob("*/*.dcm")
    os.utime(stored, (time.time() - 11 * DAY_S,) * 2)
    assert reports.purge(10) == 1
    assert reports.get(str(ds.SOPInstanceUID), WHO) is None


def test_a_file_that_is_too_large_for_a_report_is_not_read(here: Site) -> None:
    ds = report()
    here.reported(ds)
    reports, path = own(here), here.folder / f"{ds.SOPInstanceUID}.dcm"
    reports.keep(path, str(ds.SOPInstanceUID), WHO)
    with path.open("r+b") as file:  # a result that its pipeline goes on writing: the name that is kept is the same file
        file.truncate(LARGEST + 1)
    assert reports.get(str(ds.SOPInstanceUID), WHO) is None
    assert reports.find(wanted(), []) == (None, [])


BEFORE = replace(WHO, patient_id="A1", family_name="Unknown", given_name="")


@pytest.mark.parametrize("elements", [{"PatientID": "A1", "PatientName": "Unknown"}, {"PatientID": "K4711"}])
def test_a_report_under_the_earlier_patient_id_is_found_and_given_out(here: Site, elements: dict[str, str]) -> None:
    ds = report(**elements)
    here.reported(ds)
    reports, who = own(here), BEFORE if "PatientName" in elements else WHO
    reports.keep(here.folder / f"{ds.SOPInstanceUID}.dcm", str(ds.SOPInstanceUID), who)
    found, mismatches = reports.find(wanted(), [], [BEFORE])
    assert found is not None
    assert (found.sop_instance_uid, mismatches) == (ds.SOPInstanceUID, [])
    assert reports.get(str(ds.SOPInstanceUID), WHO, [BEFORE]) == part10(ds)


def test_a_report_under_the_earlier_patient_id_of_another_person_is_left_out_and_said_once(here: Site) -> None:
    ds = report(PatientID="A1", PatientBirthDate="19710101")
    here.reported(ds)
    reports = own(here)
    reports.keep(here.folder / f"{ds.SOPInstanceUID}.dcm", str(ds.SOPInstanceUID), BEFORE)
    assert reports.find(wanted(), [], [BEFORE, replace(BEFORE, family_name="Doe")]) == (None, ["birth date"])


def test_a_report_of_a_corrected_name_is_found_under_the_same_patient_id(here: Site) -> None:
    ds = report(PatientBirthDate="19710101")  # corrected since
    here.reported(ds)
    reports = own(here)
    reports.keep(here.folder / f"{ds.SOPInstanceUID}.dcm", str(ds.SOPInstanceUID), WHO)
    found, mismatches = reports.find(wanted(), [], [replace(WHO, birth_date=date(1971, 1, 1))])
    assert found is not None
    assert mismatches == []
