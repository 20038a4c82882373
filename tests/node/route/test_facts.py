"""What is read from the headers of a series."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, MRImageStorage

from dicom_sr.series import Instance, Series
from node.errors import StorageAway
from node.reading import Readers
from node.route.facts import series_facts, study_facts
from node.study.headers import read_header
from tests.node.route.headers import add_frames, enhanced, header, series


def test_values_of_all_instances_are_there_once(tmp_path: Path) -> None:
    facts = series_facts(
        series(tmp_path, *(header(n, EchoTime=echo) for n in (1, 2) for echo in (10, 20))), ["EchoTime"]
    )
    assert facts.values["EchoTime"] == (10.0, 20.0)


def test_the_series_as_a_whole_is_measured(tmp_path: Path) -> None:
    facts = series_facts(series(tmp_path, *(header(n) for n in range(1, 9))), [])
    assert facts.values["series.instances"] == (8,)
    assert facts.values["series.slices"] == (8,)
    assert facts.values["series.spacing_mm"] == (4.0,)
    assert facts.values["series.thickness_mm"] == (4.0,)  # the header says 3, with a gap of 1: a slice stands for 4
    assert facts.values["series.pixel_mm"] == (0.5,)
    assert facts.values["series.orientation"] == ("sagittal",)


def test_overlapping_slices_are_as_thick_as_the_header_says(tmp_path: Path) -> None:
    facts = series_facts(series(tmp_path, *(header(n, SliceThickness=6) for n in range(1, 9))), [])
    assert facts.values["series.thickness_mm"] == (6.0,)


def test_what_an_enhanced_object_says_frame_by_frame_is_found_under_its_keyword(tmp_path: Path) -> None:
    keys = ["EffectiveEchoTime", "SliceThickness"]
    facts = series_facts(series(tmp_path, enhanced(frames=6, spacing_mm=3.0)), keys)
    assert facts.values["EffectiveEchoTime"] == (10.0, 20.0)
    assert facts.values["SliceThickness"] == (3.0,)
    assert facts.values["series.frames"] == (6,)
    assert facts.values["series.instances"] == (1,)
    assert facts.values["series.spacing_mm"] == (3.0,)


def test_a_derived_plane_or_a_capture_among_slices_does_not_change_where_they_lie(tmp_path: Path) -> None:
    derived = {"ImageType": ["DERIVED", "SECONDARY", "MPR"], "SOPClassUID": MRImageStorage}
    across = header(9, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], **derived)
    slices = [header(n, SOPClassUID=MRImageStorage) for n in range(1, 9)]
    facts = series_facts(series(tmp_path, *slices, across), [])
    assert facts.values["series.orientation"] == ("sagittal",)
    assert facts.values["series.slices"] == (8,)
    alone = series_facts(series(tmp_path, *(header(n, **derived) for n in range(1, 5))), [])
    assert alone.values["series.slices"] == (4,)  # of a series of nothing else it is asked where that lies


def test_an_element_of_a_sequence_is_found_by_its_path(tmp_path: Path) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "72696002", "SCT", "Knee"
    facts = series_facts(
        series(tmp_path, header(AnatomicRegionSequence=Sequence([code]))), ["AnatomicRegionSequence.CodeValue"]
    )
    assert facts.values["AnatomicRegionSequence.CodeValue"] == ("72696002",)


def test_empty_and_missing_elements_have_no_value(tmp_path: Path) -> None:
    facts = series_facts(series(tmp_path, header(BodyPartExamined="")), ["BodyPartExamined", "ProtocolName"])
    assert "BodyPartExamined" not in facts.values
    assert "ProtocolName" not in facts.values


def test_the_association_is_known_where_there_was_one(tmp_path: Path) -> None:
    facts = series_facts(series(tmp_path, header(), calling_ae_title="MR1", peer_address=""), [])
    assert facts.values["association.calling_ae_title"] == ("MR1",)
    assert "association.peer_address" not in facts.values


@pytest.mark.parametrize("where", ["equipment", "contribution"])
def test_results_of_this_software_are_known_by_their_equipment(tmp_path: Path, where: str) -> None:
    item = Dataset()
    item.Manufacturer = "Condyle"
    of = {"Manufacturer": "Condyle"} if where == "equipment" else {"ContributingEquipmentSequence": Sequence([item])}
    assert series_facts(series(tmp_path, header(), header(2, **of)), []).made_by_node
    assert not series_facts(series(tmp_path, header(), header(2, Manufacturer="Another")), []).made_by_node


def test_a_file_that_holds_no_dicom_is_counted_and_costs_the_others_nothing(tmp_path: Path) -> None:
    found = series(tmp_path, header(1), header(2))
    ds = pydicom.dcmread(found.instances[0].path)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(found.instances[0].path)
    content = found.instances[0].path.read_bytes()
    found.instances[0].path.write_bytes(content[:-20] + bytes(20))
    facts = series_facts(found, ["Modality"])
    assert facts.unread == {found.instances[0].sop_instance_uid: "its deflated data set cannot be inflated"}
    assert facts.values["Modality"] == ("MR",)


def test_a_file_that_the_system_does_not_let_be_read_makes_no_facts(tmp_path: Path) -> None:
    found = series(tmp_path, header(1), header(2))
    found.instances[0].path.unlink()
    with pytest.raises(StorageAway, match="cannot be read: No such file or directory"):
        series_facts(found, ["Modality"])


def test_an_element_that_does_not_hold_what_it_should_is_as_good_as_absent(tmp_path: Path) -> None:
    ds = header(SliceThickness=None)
    ds.add_new("EchoTime", "LO", "x")  # written as another VR than the dictionary's, and no number
    ds.add_new("NumberOfFrames", "LO", "many")
    facts = series_facts(series(tmp_path, ds), ["EchoTime", "Modality"])
    assert facts.values["Modality"] == ("MR",)
    assert facts.values["series.frames"] == (1,)


def test_a_study_is_counted_over_its_series(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = series(tmp_path / "a", header(1), header(2)), series(tmp_path / "b", header(1))
    for facts in study_facts([first, second], []):
        assert facts.values["study.instances"] == (3,)
        assert facts.values["study.series"] == (2,)
        assert facts.values["study.modalities"] == ("MR",)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom tells of what it mends
def test_every_file_of_the_odd_and_broken_test_data_is_read_or_counted(shared_data: Path) -> None:
    paths = [p for folder in ("dicom-misc", "malformed") for p in (shared_data / folder).rglob("*") if p.is_file()]
    assert len(paths) > 200
    instances = tuple(Instance(str(number), "", path) for number, path in enumerate(paths))
    facts = [series_facts(Series(i.sop_instance_uid, "1", "", (i,)), ["Modality", "PatientName"]) for i in instances]
    assert sum("Modality" in one.values for one in facts) > 100


def test_what_the_images_show_is_known_in_the_words_of_devices(tmp_path: Path) -> None:
    said = {"BodyPartExamined": "", "SeriesDescription": "Mano dx", "StudyDescription": "RX piede"}
    films = [header(1, BodyPartExamined="EXTREMITY", StudyDescription="RX"), header(2, **said)]
    assert series_facts(series(tmp_path, *films), ["series.body_part"]).values["series.body_part"] == ("foot", "hand")


def test_a_limb_is_one_where_no_more_is_said(tmp_path: Path) -> None:
    film = header(1, BodyPartExamined="EXTREMITY", StudyDescription="RX")
    assert series_facts(series(tmp_path, film), ["series.body_part"]).values["series.body_part"] == ("limb",)


# ---- large and honest
FRAMED: dict[str, object] = {"ImagePositionPatient": None, "ImageOrientationPatient": None}


def with_frames(folder: Path, frames: int, macros: int, objects: int = 1) -> Series:
    shared, orientation = Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    shared.PlaneOrientationSequence = [orientation]
    more = {**FRAMED, "NumberOfFrames": frames, "SharedFunctionalGroupsSequence": [shared]}
    found = series(folder, *(header(1, **more) for _ in range(objects)))
    for one in found.instances:
        add_frames(one.path, frames, macros)
    return found


@pytest.mark.parametrize(("frames", "macros", "objects"), [(10_000, 0, 1), (400, 12, 4)])
def test_a_reader_reads_objects_of_many_frames(tmp_path: Path, frames: int, macros: int, objects: int) -> None:
    asked = ["Modality", "series.slices", "EffectiveEchoTime"]
    with Readers(1) as readers:
        facts = readers.call(series_facts, with_frames(tmp_path, frames, macros, objects), asked)
    assert facts.values["series.slices"] == (frames,)
    assert facts.values["series.frames"] == (frames * objects,)
    assert facts.values["series.orientation"] == ("axial",)
    assert facts.unread == {}


def test_a_reader_reads_a_structure_set_of_300_000_contours(tmp_path: Path) -> None:
    found = series(tmp_path, header(Modality="RTSTRUCT"))
    contours = b"\xfe\xff\x00\xe0\0\0\0\0" * 300_000
    contour_sequence = b"\x06\x30\x40\0SQ\0\0" + len(contours).to_bytes(4, "little") + contours
    item = b"\xfe\xff\x00\xe0" + len(contour_sequence).to_bytes(4, "little") + contour_sequence
    with found.instances[0].path.open("ab") as file:
        file.write(b"\x06\x30\x39\0SQ\0\0" + len(item).to_bytes(4, "little") + item)
    with Readers(1) as readers:
        facts = readers.call(series_facts, found, ["Modality"])
    assert facts.values["Modality"] == ("RTSTRUCT",)


def test_of_functional_groups_what_is_asked_for_is_there_and_nothing_else(tmp_path: Path) -> None:
    (one,) = with_frames(tmp_path, 3, 2).instances
    read = read_header(one.path, ["PerFrameFunctionalGroupsSequence", "ImagePositionPatient"])
    assert read is not None
    frames = read["PerFrameFunctionalGroupsSequence"].value
    assert [[macro.keyword for macro in frame] for frame in frames] == [["PlanePositionSequence"]] * 3
    asked = ["PlanePositionSequence", "PerFrameFunctionalGroupsSequence.PlanePositionSequence.ImagePositionPatient"]
    facts = series_facts(with_frames(tmp_path, 3, 2), asked)
    assert facts.values[asked[0]] == ("1 item",)
    assert facts.values[asked[1]] == (0.0, 1.0, 2.0)
