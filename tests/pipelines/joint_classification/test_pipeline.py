"""The pipeline on ultrasound: what it takes and says, when it abstains, and that words on the screen do not count."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RawDataStorage,
    RLELossless,
)

from dicom_sr.codes import private
from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Result
from dicom_sr.profile import EncodingProfile
from dicom_sr.series import Study, read_studies
from dicom_sr.write.encode import encode_what_can_be
from node.demo.samples import write_abdomen, write_cine, write_finger
from pipelines.joint_classification import JointClassification, JointClassificationSettings, codes, ultrasound
from pipelines.joint_classification.simulation import unknown_ultrasound
from pipelines.joint_classification.simulation.sample import demo_cine
from pipelines.joint_classification.simulation.screen import show
from pipelines.joint_classification.simulation.unknown_ultrasound import UnknownKind

CLASSES = {codes.CLS_RA, codes.CLS_PSA, codes.CLS_HC}


@pytest.fixture(scope="module")
def pipeline() -> JointClassification:
    made = JointClassification(JointClassificationSettings())
    made.load()
    torch.set_num_threads(1)
    return made


@pytest.fixture(scope="module")
def quick() -> JointClassification:
    """Without heat, which takes most of the time."""
    return JointClassification(JointClassificationSettings(heatmaps=False))


@pytest.fixture(scope="module")
def cine() -> tuple[np.ndarray, tuple[int, int, int, int]]:
    return demo_cine(frames=4)


def study_of(path: Path) -> Study:
    return read_studies([path])[0]


def probabilities(result: Result) -> dict[str, float]:
    numbers = result.findings[0].measurements
    return {m.name.value: m.value for m in numbers if m.name.value.startswith("PROB-")}


def changed(path: Path, change: Callable[[Dataset], None]) -> Study:
    ds = pydicom.dcmread(path)
    change(ds)
    ds.save_as(path)
    return study_of(path)


# ---- what is said
def test_a_cine_of_a_diseased_joint_is_classified_with_keyed_frames_and_heat_on_them(
    pipeline: JointClassification, tmp_path: Path
) -> None:
    write_finger(tmp_path)
    study = study_of(tmp_path / "US.dcm")
    pipeline.check(study)
    result = pipeline.run(study)
    (finding,) = result.findings
    assert finding.finding == codes.CLS_RA
    assert finding.tracking_id == "Joint classification L MCP2"
    assert finding.site is not None
    assert finding.region is not None
    assert finding.site.laterality == "L"
    assert finding.site.modifier == private("SITE-MCP2")
    said = probabilities(result)
    assert said["PROB-RA"] > 0.6
    assert sum(said.values()) == pytest.approx(1.0)
    for measurement in finding.measurements:
        if measurement.interval is not None:
            low, high = measurement.interval
            assert low <= measurement.value <= high
    names = {measurement.name.value for measurement in finding.measurements}
    assert {"UNC-ENT", "OOD", "RECON-ERR", "LAT-1", "LAT-2", "LR-RA"} <= names
    frames = [flag.image.frame_number for flag in result.flags]
    assert len(frames) == len(set(frames)) == 3
    (heat,) = result.heatmaps
    assert heat.image.frame_number == frames[0]
    assert heat.array.shape == (360, 440)
    assert heat.array.max() > heat.threshold  # else the binary segmentation is empty
    assert finding.region.image.frame_number == frames[0]
    assert any("not a lesion" in line for line in result.limits)
    assert any("Doppler" in line for line in result.limits)


@pytest.mark.parametrize("kind", ["noise", "muscle", "vessel", "inverted"])
def test_what_is_no_finger_joint_is_undetermined_and_no_class_is_named(
    pipeline: JointClassification, tmp_path: Path, kind: UnknownKind
) -> None:
    image = unknown_ultrasound.simulate_unknown(np.random.default_rng(5), kind, 0).image
    shown = show(image, size=(360, 440), pixel_mm=0.07)
    write_cine(tmp_path / "us.dcm", shown.pixels[None], shown.box, shown.pixel_mm)
    result = pipeline.run(study_of(tmp_path / "us.dcm"))
    (finding,) = result.findings
    assert finding.finding == codes.INDETERMINATE
    reasons = {evaluation.name: evaluation.value for evaluation in finding.evaluations}
    assert reasons[codes.WHY] == codes.WHY_OOD
    assert reasons[codes.CLUSTER] == codes.CLUSTER_NONE
    assert not probabilities(result)
    assert not result.heatmaps
    assert "undetermined" in result.conclusion[0]


def test_frames_that_show_something_else_have_no_vote(
    quick: JointClassification, tmp_path: Path, cine: tuple[np.ndarray, tuple[int, int, int, int]]
) -> None:
    frames, box = (cine[0].copy(), cine[1])
    left, top, right, bottom = box
    frames[1, top : bottom + 1, left : right + 1] = np.random.default_rng(0).integers(
        0, 255, (bottom + 1 - top, right + 1 - left, 1)
    )
    write_cine(tmp_path / "us.dcm", frames, box, 0.07)
    result = quick.run(study_of(tmp_path / "us.dcm"))
    assert result.findings[0].finding == codes.CLS_RA
    assert 2 not in [flag.image.frame_number for flag in result.flags]
    assert "3 with a vote" in dict(result.parameters)["Joint classification L MCP2"]


def test_a_joint_that_lies_the_other_way_round_is_read_mirrored(
    pipeline: JointClassification, tmp_path: Path, cine: tuple[np.ndarray, tuple[int, int, int, int]]
) -> None:
    frames, (left, top, right, bottom) = cine
    turned = frames.copy()
    turned[:, top : bottom + 1, left : right + 1] = frames[:, top : bottom + 1, left : right + 1][:, :, ::-1]
    answers = []
    for name, pixels in (("plain", frames), ("turned", turned)):
        write_cine(tmp_path / f"{name}.dcm", pixels, (left, top, right, bottom), 0.07)
        answers.append(pipeline.run(study_of(tmp_path / f"{name}.dcm")))
    plain, mirrored = answers
    assert probabilities(mirrored) == pytest.approx(probabilities(plain), abs=0.05)
    assert any("read mirrored" in line for line in mirrored.limits)
    assert not any("read mirrored" in line for line in plain.limits)
    heats = [answer.heatmaps[0].array[top:bottom, left:right] for answer in answers]
    assert np.corrcoef(heats[0].ravel(), heats[1][:, ::-1].ravel())[0, 1] > 0.9


# ---- words on the screen
WORDS = ("PSORIATIC", "HEALTHY", "DOE JANE 1961")


def test_what_is_written_on_the_screen_cannot_change_the_answer(
    quick: JointClassification, tmp_path: Path, cine: tuple[np.ndarray, tuple[int, int, int, int]]
) -> None:
    frames, box = cine
    answers = []
    for number, words in enumerate(("", *WORDS)):
        written = []
        for frame in frames:
            image = Image.fromarray(frame)
            draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
            draw.text((box[0], 344), words, fill=(255, 255, 255), font=font)  # under the picture
            draw.text((box[0] + 60, 280), words, fill=(255, 255, 255), font=font)  # in the shadow of the bone
            draw.text((box[0] + 30, box[1] + 32), words[:12], fill=(255, 255, 255), font=font)  # over the tissue
            written.append(np.asarray(image))
        path = tmp_path / f"{number}.dcm"
        write_cine(path, np.stack(written), box, 0.07)
        answers.append(quick.run(study_of(path)))
    plain = answers[0]
    for answer in answers[1:]:
        assert answer.findings[0].finding == plain.findings[0].finding == codes.CLS_RA
        for name, value in probabilities(answer).items():
            assert value == pytest.approx(probabilities(plain)[name], abs=0.05)


# ---- codings
def _jpeg(ds: Dataset) -> None:
    coded = []
    for frame in ds.pixel_array.reshape(-1, ds.Rows, ds.Columns, 3):
        stream = BytesIO()
        Image.fromarray(frame).save(stream, "JPEG", quality=90)  # YCbCr 4:2:0, as scanners write it
        coded.append(stream.getvalue())
    ds.PixelData = encapsulate(coded)
    ds["PixelData"].VR = "OB"
    ds.PhotometricInterpretation, ds.LossyImageCompression = "YBR_FULL_422", "01"
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds["PixelData"].is_undefined_length = True


def _palette(ds: Dataset) -> None:
    rgb = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns, 3)
    indexed = [Image.fromarray(frame).quantize(256) for frame in rgb[:1]]
    colours = np.array((indexed[0].getpalette() or []) + [0] * 768, np.uint16)[:768].reshape(256, 3) * 257
    ds.PixelData = np.stack([np.asarray(Image.fromarray(f).quantize(palette=indexed[0])) for f in rgb]).tobytes()
    ds.PhotometricInterpretation, ds.SamplesPerPixel = "PALETTE COLOR", 1
    del ds.PlanarConfiguration
    for name, column in zip(("Red", "Green", "Blue"), colours.T, strict=True):
        ds.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        setattr(ds, f"{name}PaletteColorLookupTableData", column.astype("<u2").tobytes())


def _grey(ds: Dataset) -> None:
    grey = (ds.pixel_array @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    ds.PixelData, ds.PhotometricInterpretation, ds.SamplesPerPixel = grey.tobytes(), "MONOCHROME2", 1
    del ds.PlanarConfiguration


CODINGS: dict[str, Callable[[Dataset], None]] = {
    "YBR JPEG": _jpeg,
    "palette": _palette,
    "grey": _grey,
    "RLE": lambda ds: ds.compress(RLELossless, generate_instance_uid=False),
    "JPEG 2000": lambda ds: ds.compress(JPEG2000Lossless, generate_instance_uid=False),
}


@pytest.mark.parametrize("coding", CODINGS)
def test_the_same_picture_in_another_coding_gives_the_same_answer(
    quick: JointClassification, tmp_path: Path, coding: Any
) -> None:
    frames, box = demo_cine(frames=1, doppler=False)
    answers = []
    for name, change in (("plain", lambda ds: None), (coding, CODINGS[coding])):
        path = tmp_path / f"{name}.dcm"
        write_cine(path, frames, box, 0.07)
        answers.append(quick.run(changed(path, change)))
    plain, other = (probabilities(answer) for answer in answers)
    assert other == pytest.approx(plain, abs=0.05)
    assert len(plain) == 3


# ---- what is refused
def _set(**values: object) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        for keyword, value in values.items():
            setattr(ds, keyword, value)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set(BodyPartExamined="LIVER", SeriesDescription="SIMULATED"), "the header says LIVER"),
        (_set(ImageType=["ORIGINAL", "PRIMARY", "CARDIOLOGY"]), "CARDIOLOGY"),
        (_set(Modality="CT", PixelSpacing=[0.5, 0.5]), "not HR-pQCT"),
        (_set(Modality="XA"), "needs one series of modality US or CT"),
    ],
)
def test_a_header_that_says_something_else_is_refused_before_any_pixel_is_read(
    pipeline: JointClassification,
    tmp_path: Path,
    cine: tuple[np.ndarray, tuple[int, int, int, int]],
    change: Any,
    reason: str,
) -> None:
    write_cine(tmp_path / "us.dcm", cine[0][:1], cine[1], 0.07)
    with pytest.raises(UnsuitableInput, match=reason):
        pipeline.check(changed(tmp_path / "us.dcm", change))


def test_the_abdomen_of_the_demo_is_refused(pipeline: JointClassification, tmp_path: Path) -> None:
    write_abdomen(tmp_path)
    with pytest.raises(UnsuitableInput, match="ABDOMEN"):
        pipeline.check(study_of(tmp_path / "US.dcm"))


def test_an_image_that_cannot_be_read_is_named_beside_one_that_can(
    quick: JointClassification, tmp_path: Path, cine: tuple[np.ndarray, tuple[int, int, int, int]]
) -> None:
    frames, box = cine
    write_cine(tmp_path / "1.dcm", frames, box, 0.07)
    write_cine(tmp_path / "2.dcm", np.zeros_like(frames[:1]), box, 0.07)
    changed(tmp_path / "2.dcm", _set(SOPInstanceUID="2.25.99", InstanceNumber="2"))
    result = quick.run(read_studies(tmp_path.glob("*.dcm"))[0])
    assert len(result.findings) == 1
    (missing,) = result.not_evaluable
    assert "No ultrasound picture was found" in missing.sentence
    assert len(result.pages) == 2  # one for all images, one for the joint


def test_an_image_that_the_storage_does_not_give_now_is_not_left_aside(
    quick: JointClassification, tmp_path: Path, cine: tuple[np.ndarray, tuple[int, int, int, int]]
) -> None:
    frames, box = cine
    write_cine(tmp_path / "1.dcm", frames[:1], box, 0.07)
    write_cine(tmp_path / "2.dcm", frames[:1], box, 0.07)
    changed(tmp_path / "2.dcm", _set(SOPInstanceUID="2.25.99", InstanceNumber="2"))
    (study,) = read_studies(tmp_path.glob("*.dcm"))
    assert len(study.series[0].headers) == 2  # read while all is there
    (tmp_path / "2.dcm").unlink()
    with pytest.raises(UnsuitableInput) as raised:
        quick.run(study)
    assert isinstance(raised.value.__cause__, FileNotFoundError)


@pytest.mark.shared_data
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_every_real_ultrasound_file_is_undetermined_or_unsuitable_with_a_reason(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is of a finger joint: elbow, infant hips, hearts, a fetus, a lymph node."""
    monkeypatch.setattr(ultrasound, "FRAMES", 2)  # of each cine: enough here, and quicker
    pipeline = JointClassification(JointClassificationSettings(field_width_mm=38.0))
    reasons: list[str] = []
    undetermined = 0
    for path in sorted((shared_data / "us").rglob("*.dcm")):
        study = study_of(path)
        try:
            pipeline.check(study)
            result = pipeline.run(study)
        except UnsuitableInput as error:
            reasons.append(str(error))
        else:
            assert [finding.finding for finding in result.findings] == [codes.INDETERMINATE]
            assert "ndetermined: " in result.conclusion[0]
            undetermined += 1
    assert undetermined == 6
    assert len(reasons) == 9
    expected = "made as (CARDIOLOGY|OBSTETRICAL|TEE)|mm wide|says elbow"  # the elbow is a codo in its study's name
    assert all(re.search(expected, reason) for reason in reasons)


def test_a_presentation_state_in_the_series_is_left_aside(quick: JointClassification, tmp_path: Path) -> None:
    write_finger(tmp_path)
    ds = pydicom.dcmread(tmp_path / "US.dcm")
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{ds.SOPInstanceUID}.1")
    ds.Modality, ds.InstanceNumber = "PR", 0
    for keyword in ("Rows", "Columns", "PixelData", "NumberOfFrames"):
        del ds[keyword]
    ds.save_as(tmp_path / "PR.dcm", enforce_file_format=True)
    (study,) = read_studies([tmp_path / "US.dcm", tmp_path / "PR.dcm"])
    quick.check(study)
    result = quick.run(study)
    assert len(result.instances) == 1
    assert [aside.reason for aside in result.left_aside] == ["an object without pixels"]
    assert result.not_evaluable == ()


def test_a_series_without_an_image_is_refused_and_says_so(tmp_path: Path) -> None:
    write_finger(tmp_path)
    study = changed(tmp_path / "US.dcm", _set(SOPClassUID=RawDataStorage, Rows=None))
    pipeline = JointClassification(JointClassificationSettings())
    with pytest.raises(UnsuitableInput, match=r"^the series holds no images$"):
        pipeline.check(study)
    with pytest.raises(UnsuitableInput, match=r"^the series holds no images$"):
        pipeline.run(study)


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_an_image_that_lacks_its_size_is_named_and_costs_the_others_no_object(
    quick: JointClassification,
    tmp_path: Path,
    cine: tuple[np.ndarray, tuple[int, int, int, int]],
    keyword: str,
) -> None:
    frames, box = cine
    write_cine(tmp_path / "1.dcm", frames[:1], box, 0.07)
    write_cine(tmp_path / "2.dcm", frames[:1], box, 0.07)
    changed(tmp_path / "2.dcm", _set(SOPInstanceUID="2.25.99", InstanceNumber="2", **{keyword: None}))
    (study,) = read_studies(tmp_path.glob("*.dcm"))
    quick.check(study)
    result = quick.run(study)
    assert [item.sentence for item in result.not_evaluable] == [
        f"{keyword} of image 2.25.99 does not hold a whole number."
    ]
    written = encode_what_can_be(result, EncodingProfile(), datetime(2026, 11, 22, tzinfo=UTC), tmp_path / "objects")
    assert written.left_out == ()
    assert "presentation_state" in {one.kind for one in written.objects}
