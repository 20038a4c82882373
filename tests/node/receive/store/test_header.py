"""The bounded reader of headers, beside pydicom and under attack."""

from __future__ import annotations

import os
import struct
import time
import warnings
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_sr.read.headers import made_by_us
from node.receive.status import NotStored, Status
from node.receive.store.header import (
    INFLATED_AT_FIRST,
    MAXIMUM_DEPTH,
    PIECE,
    FileBytes,
    ends_early,
    is_uid,
    read_header,
)
from node.receive.store.part10 import read_meta
from node.study.headers import PATIENT, identity_in
from node.study.headers import read_header as whole_header
from tests.node.receive.harness import data_set, mr, part10

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
UNDEFINED = 0xFFFFFFFF


def encoded(ds: Dataset, syntax: UID) -> bytes:
    ds.file_meta.TransferSyntaxUID = syntax
    return data_set(ds)


def rich() -> Dataset:
    """Sequences, private elements and undefined lengths before the elements that are wanted."""
    inner = Dataset()
    inner.ReferencedSOPClassUID, inner.ReferencedSOPInstanceUID = "1.2", "1.2.3"
    outer = Dataset()
    outer.StudyInstanceUID = "9.9.9"  # not the one that is wanted: it is inside a sequence
    outer.ReferencedInstanceSequence = [inner, inner]
    ds = mr(NumberOfSeriesRelatedInstances=24)
    ds.ReferencedStudySequence = [outer, outer]
    ds["ReferencedStudySequence"].is_undefined_length = True
    ds.ReferencedImageSequence = [inner]
    block = ds.private_block(0x0009, "CONDYLE TEST", create=True)
    block.add_new(0x01, "OB", bytes(1000))
    block.add_new(0x02, "SQ", [inner])
    return ds


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_it_finds_what_pydicom_finds(syntax: UID) -> None:
    ds = rich()
    header = read_header(encoded(ds, syntax), syntax, whole=True)
    assert header is not None
    assert header.sop_class_uid == ds.SOPClassUID
    assert header.sop_instance_uid == ds.SOPInstanceUID
    assert header.study_instance_uid == ds.StudyInstanceUID
    assert header.series_instance_uid == ds.SeriesInstanceUID
    assert (header.modality, header.expected) == ("MR", 24)


@pytest.mark.parametrize("syntax", SYNTAXES[:3])
def test_every_beginning_is_either_enough_or_asks_for_more(syntax: UID) -> None:
    content = encoded(rich(), syntax)
    whole = read_header(content, syntax, whole=True)
    answers = [read_header(content[:length], syntax, whole=False) for length in range(0, len(content), 7)]
    assert answers[0] is None
    assert set(answers) == {None, whole}
    assert answers == sorted(answers, key=lambda answer: answer is not None)  # once enough, always enough


def test_it_agrees_with_pydicom_on_every_shared_file(shared_data: Path) -> None:
    compared = 0
    for path in sorted((shared_data / "dicom-misc").rglob("*")):
        if not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                meta = read_meta(file)
            content = path.read_bytes()[meta.length :]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ds = pydicom.dcmread(path, force=True, stop_before_pixels=True)
                wanted = (str(ds.get("StudyInstanceUID", "")), str(ds.get("SeriesInstanceUID", "")))
                instance = str(ds.get("SOPInstanceUID", ""))
        except (NotStored, EOFError, ValueError):
            continue
        try:
            header = read_header(content, meta.transfer_syntax_uid, whole=True)
        except NotStored:
            assert not all(is_uid(uid) for uid in wanted), path
            continue
        assert header is not None
        assert (header.study_instance_uid, header.series_instance_uid) == wanted, path
        assert header.sop_instance_uid == instance, path
        compared += 1
    assert compared > 150


def test_implicit_elements_under_an_explicit_syntax_are_read() -> None:
    ds = mr()
    header = read_header(encoded(ds, ImplicitVRLittleEndian), ExplicitVRLittleEndian, whole=True)
    assert header is not None
    assert header.series_instance_uid == ds.SeriesInstanceUID


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [None, "", "1.2.x", "1" * 65, "../1"])
def test_an_instance_that_belongs_nowhere_is_refused(keyword: str, value: str | None) -> None:
    ds = mr()
    delattr(ds, keyword)
    if value is not None:
        with pydicom.config.disable_value_validation():
            setattr(ds, keyword, value)
    with pydicom.config.disable_value_validation(), pytest.raises(NotStored) as caught:
        read_header(data_set(ds), ExplicitVRLittleEndian, whole=True)
    assert caught.value.status == Status.NO_SERIES


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(bytes(2**20), id="zeros"),
        pytest.param(b"\xff" * 2**20, id="ones"),
        pytest.param(b"GIF89a" * 200_000, id="a picture"),
        pytest.param(struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, UNDEFINED) * 80_000, id="sequences without items"),
        pytest.param(
            (struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, UNDEFINED) + struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED))
            * 50_000,
            id="nested sequences",
        ),
        pytest.param(
            struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, UNDEFINED) + struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 500_000,
            id="half a million items",
        ),
        pytest.param(struct.pack("<HH2sHL", 8, 5, b"UN", 0, 2**31) + bytes(2**20), id="a length that lies"),
    ],
)
def test_hostile_data_costs_little_and_is_refused(content: bytes) -> None:
    began = time.process_time()
    with pytest.raises(NotStored) as caught:
        read_header(content, ExplicitVRLittleEndian, whole=True)
    assert caught.value.status in (Status.CANNOT_UNDERSTAND, Status.NO_SERIES)
    assert time.process_time() - began < 5  # half a second as a rule; a reader without limits takes minutes


def test_a_deflate_bomb_is_inflated_no_further_than_the_limit() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = struct.pack("<HH2sHL", 8, 5, b"UN", 0, 2**30)
    bomb = deflate.compress(start + bytes(256 * 2**20)) + deflate.flush()
    assert len(bomb) < 300_000
    with pytest.raises(NotStored):
        read_header(bomb, DeflatedExplicitVRLittleEndian, whole=True)


def test_a_deflated_header_beyond_the_first_look_is_found() -> None:
    ds = mr()
    block = ds.private_block(0x0009, "CONDYLE TEST", create=True)
    block.add_new(0x01, "OB", bytes(range(256)) * (INFLATED_AT_FIRST // 128))
    header = read_header(encoded(ds, DeflatedExplicitVRLittleEndian), DeflatedExplicitVRLittleEndian, whole=True)
    assert header is not None
    assert header.series_instance_uid == ds.SeriesInstanceUID


def test_sequences_as_deep_as_real_ones_are_read() -> None:
    ds = mr()
    level = Dataset()
    level.StudyID = "x"
    for _ in range(MAXIMUM_DEPTH - 1):
        outer = Dataset()
        outer.ReferencedStudySequence = [level]
        outer["ReferencedStudySequence"].is_undefined_length = True
        level = outer
    ds.ReferencedStudySequence = [level]
    ds["ReferencedStudySequence"].is_undefined_length = True
    header = read_header(data_set(ds), ExplicitVRLittleEndian, whole=True)
    assert header is not None


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("1.2.840", True),
        ("1.2.08", True),
        ("", False),
        ("1" * 65, False),
        ("1.2\n", False),
        ("1/2", False),
        (".", False),
        ("..", False),
        ("1..2.", True),
        ("٣", False),
    ],
)
def test_a_uid_is_digits_and_dots(text: str, good: bool) -> None:
    assert is_uid(text) is good


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_it_says_whose_the_instance_is(syntax: UID) -> None:
    ds = rich()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID, ds.IssuerOfPatientID = "Müller^Anna Maria=x", " 47-11 ", "HOSPITAL"
    ds.PatientBirthDate, ds.PatientSex = "19600229", "F"
    header = read_header(encoded(ds, syntax), syntax, whole=True)
    assert header is not None
    assert header.patient == identity_in(ds)
    assert header.patient.family_name == "Müller"
    assert "Anna" not in repr(header.patient)


@pytest.mark.parametrize(
    ("charset", "name", "patient_id"),
    [
        ("ISO_IR 192", "Мюллер^Ю", "Ю1"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎", "J1"),
        (["ISO 2022 IR 6", "ISO 2022 IR 87"], "山田^太郎", "J1"),
        (["", "ISO 2022 IR 149"], "홍^길동", "K1"),
        (["ISO_IR 100", "ISO 2022 IR 58"], "Müller^Anna", "ü1"),
        ("GB18030", "王^小东", "东1"),
        (None, "Muster^Erika", ["A", "B"]),
        (None, "Muster^Erika\\Other^Name", "A"),
    ],
)
def test_it_reads_the_patient_as_the_whole_header_does(
    tmp_path: Path, charset: str | list[str] | None, name: str, patient_id: str | list[str]
) -> None:
    ds = mr(PatientName=name, PatientID=patient_id)
    if charset is not None:
        ds.SpecificCharacterSet = charset
    path = tmp_path / "one.dcm"
    path.write_bytes(part10(ds))
    whole = whole_header(path, PATIENT)
    assert whole is not None
    who = identity_in(whole)
    header = read_header(data_set(ds), ExplicitVRLittleEndian, whole=True)
    assert header is not None
    assert header.patient == who
    assert who.patient_id == (patient_id if isinstance(patient_id, str) else "A\\B")
    assert [who.family_name, who.given_name] == name.split("=")[0].split("\\")[0].split("^")


@pytest.mark.parametrize("charset", [b"rot13", b"ISO_IR 192\\rot13", b"\xff\\", b"utf_16", b"idna "])
def test_a_character_set_that_is_none_costs_at_most_the_name(tmp_path: Path, charset: bytes) -> None:
    charset += b" " * (len(charset) % 2)
    path = tmp_path / "one.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = mr(PatientName="M^\x1bX", SpecificCharacterSet="X" * len(charset))
        path.write_bytes(part10(ds).replace(b"X" * len(charset), charset, 1))
        header = read_header(data_set(ds).replace(b"X" * len(charset), charset, 1), ExplicitVRLittleEndian, whole=True)
        whole = whole_header(path, PATIENT)
        assert header is not None
        assert whole is not None
        assert header.patient == identity_in(whole)
    assert header.study_instance_uid == ds.StudyInstanceUID


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize(
    ("manufacturer", "equipment", "ours"),
    [
        ("Condyle", [], True),
        ("MAKER", ["Condyle"], True),
        ("MAKER", ["Other", "Condyle"], True),
        ("MAKER", ["Condyle Systems", "Not Condyle"], False),
        ("Condyle demo", [], False),
    ],
)
def test_it_knows_a_result_of_this_software_as_the_whole_header_does(
    syntax: UID, undefined: bool, manufacturer: str, equipment: list[str], ours: bool
) -> None:
    ds = rich()
    ds.Manufacturer = manufacturer
    items = []
    for name in equipment:
        item = Dataset()
        item.Manufacturer, item.StationName, item.InstitutionName = name, "Condyle", "Condyle"
        item.is_undefined_length_sequence_item = undefined
        items.append(item)
    ds.ContributingEquipmentSequence = items
    ds["ContributingEquipmentSequence"].is_undefined_length = undefined
    header = read_header(encoded(ds, syntax), syntax, whole=True)
    assert header is not None
    assert header.made_by_us == made_by_us(ds) == ours
    assert header.series_instance_uid == ds.SeriesInstanceUID


@pytest.mark.parametrize("syntax", SYNTAXES[:3])
def test_a_file_of_others_is_read_a_piece_at_a_time_and_may_be_cut_meanwhile(tmp_path: Path, syntax: UID) -> None:
    ds = rich()
    ds.add_new(0x7FE10010, "OW", bytes(4 * PIECE))
    content = encoded(ds, syntax)
    path = tmp_path / "a"
    path.write_bytes(b"before" + content)
    with path.open("rb") as file:
        data = FileBytes(file.fileno(), len(b"before"))
        assert (len(data), data[:9], data[PIECE:-1]) == (len(content), content[:9], content[PIECE:-1])
        for end in (len(content), len(content) - 1, 3 * PIECE, 400):
            os.truncate(path, len(b"before") + end)
            assert ends_early(FileBytes(file.fileno(), len(b"before")), syntax) is ends_early(content[:end], syntax)
        again = FileBytes(file.fileno(), len(b"before"))
        os.truncate(path, 0)
        assert all(ends_early(of, syntax) for of in (data, again))
