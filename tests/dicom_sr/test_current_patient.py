"""A header comes to name whom the patient is now, and keeps what the messages do not say."""

from __future__ import annotations

from pydicom.dataset import Dataset

from dicom_sr.current_patient import CurrentPatient


def header(**elements: str) -> Dataset:
    ds = Dataset()
    said = {"PatientID": "OLD", "IssuerOfPatientID": "H", "PatientName": "Muster^Erika^A=漢字"}
    for keyword, value in {**said, "PatientBirthDate": "19600229", "PatientSex": "F", **elements}.items():
        setattr(ds, keyword, value)
    return ds


def test_a_merged_patient_keeps_the_earlier_patient_id_among_the_others() -> None:
    ds = header(OtherPatientIDs="OLDEST", PatientBirthTime="120000")
    assert CurrentPatient("NEW", "H", "Beispiel^Erika", "19600228", "O").put_on(ds)
    assert (ds.PatientID, ds.IssuerOfPatientID, str(ds.PatientName)) == ("NEW", "H", "Beispiel^Erika")
    assert (ds.PatientBirthDate, ds.PatientSex) == ("19600228", "O")
    assert "OtherPatientIDs" not in ds
    assert "PatientBirthTime" not in ds  # of another day
    (other,) = ds.OtherPatientIDsSequence
    assert (other.PatientID, other.IssuerOfPatientID, other.TypeOfPatientID) == ("OLD", "H", "TEXT")
    assert CurrentPatient("OLD", "H").put_on(ds)  # merged the other way round
    assert [item.PatientID for item in ds.OtherPatientIDsSequence] == ["NEW"]


def test_nothing_is_changed_where_the_header_says_so_already() -> None:
    ds = header(IssuerOfPatientID="")
    before = ds.to_json()
    assert not CurrentPatient("OLD", "H", "MUSTER^ERIKA", "19600229", "F").put_on(ds)
    assert not CurrentPatient("OLD").put_on(ds)
    assert ds.to_json() == before
