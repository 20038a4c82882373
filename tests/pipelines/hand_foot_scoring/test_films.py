"""What the header of a film says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, GrayscaleSoftcopyPresentationStateStorage

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference
from dicom_sr.series import read_studies
from pipelines.hand_foot_scoring import films, findings, pages
from pipelines.hand_foot_scoring.example import _MadeUpReader
from pipelines.hand_foot_scoring.reading import PictureReading
from pipelines.hand_foot_scoring.sights import Sight
from pipelines.hand_foot_scoring.sites import Part, Side
from tests.factories import radiograph_study


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_an_age_is_read_from_age_or_dates() -> None:
    ds = Dataset()
    assert films.read_header(ds).age_years is None
    ds.PatientBirthDate, ds.StudyDate = "20150601", "20261122"
    assert films.read_header(ds).age_years == pytest.approx(11.05, abs=0.1)
    ds.PatientAge = "018M"
    assert films.read_header(ds).age_years == 1.5
    del ds.PatientAge
    ds.PatientBirthDate = "2015.06.01"
    assert films.read_header(ds).age_years == pytest.approx(11.05, abs=0.1)


@pytest.mark.parametrize("age", ["12Y", "012Y", "12y "])
def test_an_age_is_read_however_many_digits_it_has(age: str) -> None:
    ds = Dataset()
    ds.add_new("PatientAge", "LO", age)
    assert films.read_header(ds).age_years == 12


def test_what_shows_nothing_in_a_series_of_films_is_no_film(tmp_path: Path) -> None:
    film = radiograph_study(tmp_path).instances[0].path
    ds = pydicom.dcmread(film)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{ds.SOPInstanceUID}.1")
    ds.Modality, ds.InstanceNumber = "PR", 0
    for keyword in ("Rows", "Columns", "PixelData"):
        del ds[keyword]
    ds.save_as(tmp_path / "state.dcm", enforce_file_format=True)
    (study,) = read_studies([film, tmp_path / "state.dcm"])
    assert [instance.path for instance, _ in films.candidates(study)] == [film]
    series, aside = films.radiographs(study)
    assert [len(one.instances) for one in series] == [1]
    assert [one.sentence for one in aside] == ["Left aside: 1 image (0), an object without pixels."]


def film(**texts: str) -> films.Header:
    ds = Dataset()
    for keyword, text in texts.items():
        setattr(ds, keyword, text)
    return films.read_header(ds)


@pytest.mark.parametrize(
    ("texts", "part", "side"),
    [
        ({"BodyPartExamined": "LEFT HAND"}, "hand", "L"),
        ({"BodyPartExamined": "HAND_R"}, "hand", "R"),
        ({"BodyPartExamined": "FINGERS", "Laterality": "R"}, "hand", "R"),
        ({"BodyPartExamined": "EXTREMITY", "SeriesDescription": "Vorfuß li"}, "foot", "L"),
        ({"BodyPartExamined": "HAND", "SeriesDescription": "FEET"}, "", ""),  # contradicts itself
        ({"BodyPartExamined": "CHEST", "SeriesDescription": "Hand"}, "", ""),
        ({"BodyPartExamined": "QX7"}, "", ""),  # no word of ours
        ({"BodyPartExamined": "EXTREMITY", "StudyDescription": "Roentgen Thorax; Rheumaserie"}, "", ""),
        ({"StudyDescription": "Roentgen Thorax; Rheumaserie"}, "", ""),
    ],
)
def test_words_say_what_a_film_shows_or_leave_it_to_the_picture(texts: dict[str, str], part: str, side: str) -> None:
    header = film(**texts)
    assert (header.part, header.side) == (part, side)
    assert films.refusal(header) is None


def test_a_film_of_another_part_is_refused_by_its_words() -> None:
    assert films.refusal(film(BodyPartExamined="TORACE")) == "the header says TORACE, not a hand or a foot"
    assert films.refusal(film(SeriesDescription="Knie ap")) == "the header says knee, not a hand or a foot"


NOTHING = PictureReading((), Sight("other", "", 0.9), inverted=False)


class Blind:
    """A reader that finds nothing: what is asked here is which films it is given."""

    def read(self, grey: np.ndarray) -> PictureReading:
        return NOTHING


def test_a_film_that_cannot_be_decoded_costs_the_others_nothing_and_is_named(tmp_path: Path) -> None:
    whole, cut = (radiograph_study(tmp_path / side, side=side).instances[0].path for side in "LR")
    ds = pydicom.dcmread(cut)
    ds.StudyInstanceUID = pydicom.dcmread(whole).StudyInstanceUID
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{ds.SOPInstanceUID}.1")
    ds.PixelData = ds.PixelData[:100]
    ds.save_as(cut, enforce_file_format=True)
    (study,) = read_studies([whole, cut])
    read, unread = films.read(study, Blind())  # type: ignore[arg-type]
    assert len(read) == 1
    assert [one.sentence[:56] for one in unread] == ["Left aside: 1 image (1), a film that cannot be read: the"]
    (alone,) = read_studies([cut])
    with pytest.raises(UnsuitableInput, match="cannot be decoded"):
        films.read(alone, Blind())  # type: ignore[arg-type]


def test_a_film_without_rows_is_a_film_and_is_refused_by_that_name(tmp_path: Path) -> None:
    path = radiograph_study(tmp_path).instances[0].path
    ds = pydicom.dcmread(path)
    del ds.Rows
    ds.save_as(path, enforce_file_format=True)
    (study,) = read_studies([path])
    films.check(study)
    with pytest.raises(UnsuitableInput, match=f"^image {ds.SOPInstanceUID} has no Rows$"):
        films.read(study, Blind())  # type: ignore[arg-type]


def two_films(folder: Path) -> tuple[Path, Path]:
    """Two films of one study."""
    one, other = (radiograph_study(folder / side, side=side).instances[0].path for side in "LR")
    ds = pydicom.dcmread(other)
    ds.StudyInstanceUID = pydicom.dcmread(one).StudyInstanceUID
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{ds.SOPInstanceUID}.1")
    ds.save_as(other, enforce_file_format=True)
    return one, other


def test_a_film_that_the_storage_does_not_give_now_is_not_left_aside(tmp_path: Path) -> None:
    paths = two_films(tmp_path)
    (study,) = read_studies(paths)
    assert len([header for _, header in films.candidates(study)]) == 2  # the headers are read while all is there
    paths[1].unlink()
    with pytest.raises(UnsuitableInput) as raised:
        films.read(study, Blind())  # type: ignore[arg-type]
    assert isinstance(raised.value.__cause__, FileNotFoundError)


class Short:
    """A reader for whose second film there is no room in memory."""

    films = 0

    def read(self, grey: np.ndarray) -> PictureReading:
        self.films += 1
        if self.films > 1:
            raise UnsuitableInput("the pixels cannot be decoded") from MemoryError()
        return NOTHING


def test_a_film_for_which_memory_was_short_is_not_left_aside(tmp_path: Path) -> None:
    (study,) = read_studies(two_films(tmp_path))
    with pytest.raises(UnsuitableInput) as raised:
        films.read(study, Short())  # type: ignore[arg-type]
    assert isinstance(raised.value.__cause__, MemoryError)


def test_a_film_that_its_header_rules_out_is_named(tmp_path: Path) -> None:
    paths = two_films(tmp_path)
    ds = pydicom.dcmread(paths[1])
    ds.BodyPartExamined, ds.InstanceNumber = "CHEST", 2
    ds.SeriesDescription = ds.ProtocolName = ""
    ds.pop("AnatomicRegionSequence", None)
    ds.save_as(paths[1], enforce_file_format=True)
    (study,) = read_studies(paths)
    read, others = films.read(study, Blind())  # type: ignore[arg-type]
    assert len(read) == 1
    (aside,) = others
    assert aside.sentence == (
        "Left aside: 1 image (2), a film that is not scored: the header says CHEST, not a hand or a foot."
    )


class Damaged:
    """A reader whose second film is damaged."""

    films = 0

    def read(self, grey: np.ndarray) -> PictureReading:
        self.films += 1
        if self.films > 1:
            raise UnsuitableInput("the image cannot be read: its file is damaged or cut off")
        return NOTHING


def test_that_a_film_cannot_be_read_is_said_once(tmp_path: Path) -> None:
    (study,) = read_studies(two_films(tmp_path))
    _, (aside,) = films.read(study, Damaged())  # type: ignore[arg-type]
    assert aside.reason == "a film that cannot be read: its file is damaged or cut off"


@pytest.mark.parametrize(
    ("born", "made", "years"),
    [
        ("20101123", "20261122", 15),
        ("20101122", "20261122", 16),
        ("20080229", "20240228", 15),
        ("20080229", "20240229", 16),
        ("20080229", "20250228", 16),
        ("20261122", "20261122", 0),
        ("201103", "20261122", 15),  # the day is not known
        ("00000000", "20261122", None),
        ("20261322", "20261122", None),
        ("20110601", "00000000", None),
        ("", "20261122", None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_years_are_completed_ones_and_what_is_no_date_gives_none(born: str, made: str, years: int | None) -> None:
    header = film(PatientBirthDate=born, StudyDate=made)
    assert header.age_years == years
    assert not header.born_later
    assert (films.refusal(header) is None) == (years is None or years >= 16)


def test_another_date_stands_in_for_that_of_the_study() -> None:
    assert film(PatientBirthDate="20110601", StudyDate="", AcquisitionDate="20261122").age_years == 15


@pytest.mark.parametrize(("age", "said"), [("015Y", "15 years"), ("191M", "15 years"), ("001Y", "1 year")])
def test_a_child_is_never_said_to_be_as_old_as_the_score_asks_for(age: str, said: str) -> None:
    assert films.refusal(film(PatientAge=age)) == (
        f"the patient is {said} old: the score is defined for grown joints, here from 16 years on"
    )
    assert films.refusal(film(PatientBirthDate="20110401", StudyDate="20261122")) == (
        "the patient is 15 years old: the score is defined for grown joints, here from 16 years on"
    )


def made_up(part: Part, side: Side, header: films.Header, view_confidence: float = 1.0) -> films.Film:
    """A film of a limb that no network has seen."""
    read = _MadeUpReader([(part, side)], 1.0).read(np.zeros((300, 240), np.float32))
    (limb,) = read.limbs
    limb = replace(limb, limb=replace(limb.limb, view_confidence=view_confidence))
    return films.Film(ImageReference("1.2"), np.zeros((300, 240), np.float32), None, header, (limb,), read.sight)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"ViewPosition": "LL"}, "the header says a lateral view, the picture shows a posteroanterior view of a hand"),
        (
            {"SeriesDescription": "Hand schräg"},
            "the header says an oblique view, the picture shows a posteroanterior view of a hand",
        ),
        ({"ViewPosition": "PA"}, None),
        ({"ViewPosition": "AP", "SeriesDescription": "Hand lateral"}, None),
        ({"SeriesDescription": "Hand pa/lat"}, None),
    ],
)
def test_a_limb_whose_header_says_another_view_is_not_counted(texts: dict[str, str], said: str | None) -> None:
    limbs, _ = films.choose([made_up("hand", "L", film(**texts))])
    assert limbs[0].contradictions == ((said,) if said else ())
    assert bool(films.readings(limbs)) == (said is None)
    flags = [flag.reason for flag in pages.flags(limbs, None)]
    assert flags == ([said[0].upper() + said[1:] + "."] if said else [])
    (missing, *_) = findings.findings(limbs, films.readings(limbs), 0.1)[1]
    if said:
        assert missing.reason.value == "WHY-OVERLAP"


def test_a_view_in_doubt_on_the_picture_stays_the_reason() -> None:
    limbs, _ = films.choose([made_up("foot", "R", film(ViewPosition="LL"), view_confidence=0.5)])
    assert limbs[0].reading.other_view
    assert limbs[0].contradictions == ()


def test_a_film_that_its_header_calls_lateral_gives_way_to_another_of_the_limb() -> None:
    lateral, other = (made_up("hand", "L", film(ViewPosition=view)) for view in ("LAT", "PA"))
    for order in ([lateral, other], [other, lateral]):
        (chosen,), _ = films.choose(order)
        assert chosen.film is other


def test_a_limb_that_one_picture_shows_twice_is_not_said_to_be_on_two_pictures() -> None:
    once = made_up("hand", "L", film())
    (chosen,), remarks = films.choose([replace(once, limbs=once.limbs * 2)])
    assert remarks == ("A picture shows a left hand twice; the better readable one counts.",)
    (chosen,), remarks = films.choose([once, replace(once)])
    assert chosen.film is once
    assert remarks == ("More than one picture shows a left hand; the better readable one counts.",)


@pytest.mark.parametrize(
    ("sides", "unread", "said"),
    [
        ("L", 1, "more than the left hand: what looks like a lateral view of a hand beside it was not read."),
        (
            "LR",
            1,
            "the left hand and the right hand: what looks like a lateral view of a hand beside them was not read",
        ),
        ("L", 2, "what looks like a lateral view of a hand and something else beside it were not read."),
        ("L", 0, ""),
    ],
)
def test_what_was_not_read_beside_limbs_is_said_in_a_sentence(sides: str, unread: int, said: str) -> None:
    limbs = tuple(limb for side in sides for limb in made_up("hand", "L" if side == "L" else "R", film()).limbs)
    sights = (Sight("hand", "lateral", 0.9), Sight("other", "", 0.9))
    one = replace(made_up("hand", "L", film()), limbs=limbs, unread=sights[:unread])
    assert said in one.more
    assert bool(one.more) == bool(said)


def test_a_birth_after_the_study_leaves_the_age_open_and_is_remarked() -> None:
    header = film(PatientBirthDate="20300101", StudyDate="20261122", PatientName="Secret^Name", PatientID="4711")
    assert header.age_years is None
    assert films.refusal(header) is None
    _, remarks = films.choose([made_up("hand", "L", header)])
    assert remarks == (films.BORN_LATER,)


def test_no_message_names_the_patient() -> None:
    who = {"PatientName": "Secret^Name", "PatientID": "4711"}
    for texts in ({"ViewPosition": "LL"}, {"Laterality": "R"}, {"BodyPartExamined": "FOOT"}, {"PatientAge": "009Y"}):
        header = film(**who, **texts)
        (limb,), remarks = films.choose([made_up("hand", "L", header)])
        told = " ".join([*remarks, *limb.contradictions, films.refusal(header) or ""])
        assert told
        assert "Secret" not in told
        assert "4711" not in told
