from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_sr.errors import EncodingError
from dicom_sr.findings import NotRun, Result
from dicom_sr.lawful import unlawful
from dicom_sr.read.headers import PATIENT, STUDY, plain
from dicom_sr.series import Study
from dicom_sr.write.derived_series import COPIED
from dicom_sr.write.encode import EncodingProfile, encode, encode_what_can_be
from dicom_sr.write.equipment import EQUIPMENT
from tests.dicom_sr import validators
from tests.dicom_sr.conftest import CREATED, Encode
from tests.factories import (
    as_written,
    changed,
    joint_result,
    knee_result,
    knee_study,
    radiograph_study,
    record_result,
)
from tests.properties import STABLE

# pydicom tells of what it reads
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning")]

EVIL = "<b>x</b>\u202e\u2066\x07\u200b"
KEPT_AS_KEYS = {"StudyInstanceUID", "LongitudinalTemporalInformationModified"}
TEXTS = tuple(
    keyword
    for keyword in dict.fromkeys((*PATIENT, *STUDY, *EQUIPMENT, *COPIED, "FrameOfReferenceUID", "SeriesNumber"))
    if keyword not in KEPT_AS_KEYS and dictionary_VR(keyword) not in ("SQ", "US", "FD", "FL")
)
# values that no VR allows, as hostile or careless senders write them
HOSTILE = {
    "PatientName": f"Doe{EVIL}^J=A\\B=C=D=E^^^^^^^",
    "PatientID": f"P{EVIL}\\2",
    "IssuerOfPatientID": f"I\\{EVIL}",
    "PatientBirthDate": "18X",
    "PatientSex": "Q" * 23,
    "PatientAge": "old",
    "PatientWeight": "0.12345678901234567890",
    "PatientComments": f"one\r\ntwo{EVIL}",
    "OtherPatientIDs": f"fits\\{EVIL}",
    "AccessionNumber": "A" * 500,
    "StudyID": f"\\{EVIL}",
    "StudyDate": "notadate",
    "StudyTime": "99:99",
    "StudyDescription": "X" * 9000,
    "ReferringPhysicianName": "R\\S=T=U=V",
    "Manufacturer": f"M{EVIL}\\",
    "InstitutionName": EVIL,
    "BodyPartExamined": "FINGER\\<b>",
    "ProtocolName": f"finger {EVIL}",
    "RescaleType": "HU\x07" * 50,
    "WindowCenter": "2000.1234567890123456",
    "WindowWidth": "1000",
    "WindowCenterWidthExplanation": f"bone{EVIL}",
    "FrameOfReferenceUID": "none",
    "SeriesNumber": "-99999999999",
}


def with_texts(study: Study, texts: dict[str, str]) -> Study:
    def change(_: int, ds: Dataset) -> Dataset:
        ds.SpecificCharacterSet = "ISO_IR 192"
        for keyword, text in texts.items():
            as_written(ds, keyword, text)
        return ds

    return changed(study, change)


def elements(ds: Dataset) -> Iterator[DataElement]:
    for element in ds:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)


def wrong(ds: Dataset) -> list[str]:
    """What pydicom's strict validation says of every element, and which have too many values or odd characters."""
    found = []
    for element in elements(ds):
        if element.VR in ("SQ", "OB", "OW") or element.is_empty:
            continue
        values = list(element.value) if element.VM > 1 else [element.value]
        try:
            for value in values:
                DataElement(element.tag, element.VR, str(value) if element.VR == "PN" else value, RAISE)
        except (ValueError, TypeError) as error:
            found.append(f"{element.keyword}: {error}")
        most = dictionary_VM(element.tag).split("-")[-1]
        if most.isdigit() and int(most) < element.VM:
            found.append(f"{element.keyword} has {element.VM} values")
        text = str(element.value) if element.VR in ("LO", "LT", "PN", "SH", "ST", "UC", "UT") else ""
        if set(text) & {*map(chr, range(9)), *map(chr, range(14, 32)), "\x7f", "\u202e", "\u2066"}:
            found.append(f"{element.keyword} has control characters")
        if element.VR == "PN" and any(group.count("^") > 4 for value in values for group in str(value).split("=")):
            found.append(f"{element.keyword} has too many components")
    return found


bad = st.one_of(
    st.text(st.sampled_from("aA1 ^=\\\x07\x1b\n\t\u202eé漢.-+:_"), max_size=90),
    st.sampled_from(
        ["9" * 20, "nan", "1e400", "20261332", "2026.01.02", "12:30:61", "\\\\\\", "=====", " ", EVIL * 800]
    ),
    st.sampled_from(list(HOSTILE.values())),
)


@settings(STABLE, max_examples=6)
@given(st.lists(bad, min_size=7, max_size=7))
def test_whatever_the_source_holds_every_object_is_valid(
    tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    texts = dict(zip(TEXTS, cycle(values), strict=False))
    folder = tmp_path_factory.mktemp("whatever")
    study = knee_study(folder / "in", (4, 12, 10))
    result = replace(knee_result(study), evidence=with_texts(study, texts).series)
    for one in encode(result, EncodingProfile(), CREATED, folder / "out"):
        assert wrong(pydicom.dcmread(one.path)) == [], one.kind


@settings(STABLE, max_examples=40)
@given(st.dictionaries(st.sampled_from(TEXTS), bad, min_size=1))
def test_what_is_copied_is_valid_and_is_copied_again_as_it_is(texts: dict[str, str]) -> None:
    source = Dataset()
    source.SpecificCharacterSet = "ISO_IR 192"
    for keyword, text in texts.items():
        as_written(source, keyword, text)
    copy = plain(source)
    assert wrong(copy) == []
    assert plain(copy) == copy
    assert unlawful(copy, TEXTS) == ()


characters = st.characters(
    exclude_categories=("Cc", "Cs", "Zl", "Zp"),
    exclude_characters="\\^= \u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
)
lawful_values = {
    "PatientID": st.text(characters, min_size=1, max_size=64),
    "IssuerOfPatientID": st.text(characters, min_size=1, max_size=64),
    "AccessionNumber": st.text(characters, min_size=1, max_size=16),
    "PatientName": st.lists(
        st.lists(st.text(characters, min_size=1, max_size=12), min_size=1, max_size=5).map("^".join),
        min_size=1,
        max_size=3,
    ).map("=".join),
    "PatientComments": st.text(characters, min_size=1).map(lambda text: f"{text}\\\r\n\t{text}"),
    "StudyDate": st.dates().map(lambda day: f"{day.year:04}{day:%m%d}"),
    "StudyTime": st.times().map(lambda time: f"{time:%H%M%S.%f}"),
    "PatientSex": st.sampled_from("MFO"),
    "PatientAge": st.from_regex(r"\A[0-9]{3}[DWMY]\Z"),
    "PatientWeight": st.floats(1, 999).map(lambda weight: f"{weight:.6f}"),
}


@settings(STABLE, max_examples=20)
@given(st.fixed_dictionaries(lawful_values))
def test_what_is_lawful_stays_byte_for_byte(texts: dict[str, str]) -> None:
    source = Dataset()
    source.SpecificCharacterSet = "ISO_IR 192"
    for keyword, text in texts.items():
        as_written(source, keyword, text)
    copy = plain(source)
    assert {keyword: str(copy[keyword].value) for keyword in texts} == texts
    assert unlawful(source, texts) == ()


@pytest.mark.parametrize(
    ("keyword", "written", "kept"),
    [
        ("PatientName", "Doe\x07^J\nK=A=B=C", "Doe^J K=A=B"),
        ("PatientName", "A^B^C^D^E^F^G", "A^B^C^D^E"),
        ("PatientName", "X" * 70, "X" * 64),
        ("StudyDescription", "a\tb\x07c\x1b[2J", "a bc[2J"),
        ("StudyDescription", "one\\two", "one"),
        ("AccessionNumber", "A1\\A2", "A1"),  # two orders: the first
        ("AccessionNumber", "A" * 17, None),  # the first half of a number is another number
        ("OtherPatientIDs", "fits\\ba\x07d", "fits"),
        ("StudyDate", "2026.01.02", "20260102"),
        ("StudyDate", "20260230", None),
        ("StudyTime", "10:20:30", "102030"),
        ("StudyTime", "99:99", None),
        ("PatientAge", "45y", "045Y"),
        ("PatientSex", "m", "M"),
        ("PatientSex", "weiblich, unbekannt", None),
        ("PatientWeight", "70.123456789012311", "70.1234567890123"),
        ("PatientComments", "one\r\ntwo\x07", "one\r\ntwo"),
        ("SmokingStatus", "\x07", None),
    ],
)
def test_each_kind_of_value_is_mended_in_its_way(keyword: str, written: str, kept: str | None) -> None:
    source = Dataset()
    as_written(source, keyword, written)
    copy = plain(source)
    assert (str(copy[keyword].value) if keyword in copy else None) == kept
    assert unlawful(source, (keyword,)) == (keyword,)


@pytest.mark.parametrize("written", ["P\x07", "P\\2", "P" * 65])
def test_an_id_that_has_to_be_changed_is_nobody_elses(written: str) -> None:
    source = Dataset()
    as_written(source, "PatientID", written)
    found = str(plain(source).PatientID)
    assert found[0] + found[-9] == "P_"
    assert len(found) <= 64
    other = Dataset()
    as_written(other, "PatientID", f"{written}0")
    assert str(plain(other).PatientID) != found


def test_a_value_under_another_vr_gets_the_elements_own() -> None:
    source = Dataset()
    source.add_new("PatientID", "LT", "P1")
    source.add_new("StudyDescription", "LT", "one\\two")
    source.add_new("PatientAge", "OB", b"\0\1")
    copy = plain(source)
    assert (copy["PatientID"].VR, copy.PatientID) == ("LO", "P1")
    assert (copy["StudyDescription"].VR, copy.StudyDescription) == ("LO", "one")
    assert "PatientAge" not in copy


def test_a_code_that_is_none_is_not_copied() -> None:
    source, good, cut = Dataset(), Dataset(), Dataset()
    good.CodeValue, good.CodingSchemeDesignator, good.CodeMeaning = "1", "99A", "One"
    as_written(cut, "CodeValue", "1" * 20)
    cut.CodingSchemeDesignator, cut.CodeMeaning = "99A", "Another"
    source.ProcedureCodeSequence = [cut, good]
    assert [item.CodeMeaning for item in plain(source).ProcedureCodeSequence] == ["One"]
    assert unlawful(source, ("ProcedureCodeSequence",)) == ("ProcedureCodeSequence",)
    source.ProcedureCodeSequence = [cut]
    assert "ProcedureCodeSequence" not in plain(source)


@pytest.mark.validators
def test_dciodvfy_finds_nothing_in_objects_of_a_hostile_source(tmp_path: Path) -> None:
    study = with_texts(radiograph_study(tmp_path / "in"), HOSTILE)
    written = encode_what_can_be(joint_result(study), EncodingProfile(), CREATED, tmp_path / "out")
    assert {"PatientID", "StudyDate", "Manufacturer", "ProtocolName"} <= {*written.mended} <= {*HOSTILE}
    assert written.left_out == ()
    assert "presentation_state" in {one.kind for one in written.objects}
    for one in written.objects:
        assert validators.dciodvfy(one.path)[0] == [], one.kind


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_nothing_refers_to_an_image_by_what_is_no_uid(tmp_path: Path, keyword: str) -> None:
    result = joint_result(radiograph_study(tmp_path / "in"))
    setattr(result.evidence[0].headers[0], keyword, "1.2.x")
    with pytest.raises(EncodingError, match=f"a {keyword} that is no UID"):
        encode(result, EncodingProfile(), CREATED, tmp_path / "out")


def test_what_a_pipeline_quotes_is_lawful_too(tmp_path: Path, encoded: Encode) -> None:
    result = replace(joint_result(radiograph_study(tmp_path / "in")), title=f"Hand{EVIL}", conclusion=("a\x07\u202eb",))
    objects = encoded(result)
    assert [problem for group in objects.values() for ds in group for problem in wrong(ds)] == []


REMARK = (
    "PatientID of the source is not valid DICOM and changed here: "
    "an archive may file this result under another patient."
)


@pytest.mark.parametrize("what", ["images", "record", "not run"])
def test_a_changed_patient_id_is_said_in_the_report(tmp_path: Path, encoded: Encode, what: str) -> None:
    study = with_texts(radiograph_study(tmp_path / "in"), {"PatientID": "P\x07"})
    result: Result | NotRun = record_result(study) if what == "record" else joint_result(study)
    if what == "not run":
        result = NotRun(result.model, result.title, study.series, "no.")
    profile = EncodingProfile(kinds=("report",), not_run_reports=True)
    for ds in encoded(result, profile=profile)["report"]:
        assert REMARK in [str(element.value) for element in elements(ds) if element.keyword == "TextValue"]


def test_a_usual_patient_is_said_nothing_of(tmp_path: Path, encoded: Encode) -> None:
    (ds, *_) = encoded(joint_result(radiograph_study(tmp_path / "in")), "report")["report"]
    assert not any("file this result" in str(element.value) for element in elements(ds))
