"""A study of radiographs in, a result out, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from dicom_sr.codes import CONDYLE
from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Finding, Result
from dicom_sr.phantoms import Person, study_header, write_radiograph
from dicom_sr.profile import EncodingProfile
from dicom_sr.series import Study, read_studies
from dicom_sr.words import capital
from dicom_sr.write.encode import encode
from pipelines.hand_foot_scoring import READING_ORDER, HandFootScoring, HandFootScoringSettings, codes, prior
from pipelines.hand_foot_scoring.network import Damage
from pipelines.hand_foot_scoring.reading import saliency
from pipelines.hand_foot_scoring.scoring import Cell, Reason
from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.films import Film, view_film
from pipelines.hand_foot_scoring.simulation.processing import jpeg
from pipelines.hand_foot_scoring.simulation.sample import LIMBS, film_of, stored
from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.svh_sites import SVH_SITES

SHAPE = (1100, 900)


@dataclass(frozen=True)
class Written:
    """A simulated study on disk and the truth of its films."""

    study: Study
    truth: dict[tuple[str, str], Film]


def write(
    folder: Path,
    films_: list[tuple[Part, Side, Film]],
    said: dict[int, tuple[str, str]] | None = None,
    person: Person | None = None,
    name: str = "one",
) -> Study:
    """Films as DX; `said` overrides body part and side in the header of a film."""
    header = study_header(person or Person(), name, "SIMULATED hands and feet")
    paths = []
    for number, (part, side, made) in enumerate(films_, start=1):
        body_part, laterality = (said or {}).get(number, (part.upper(), side))
        if body_part not in ("HAND", "FOOT"):
            path = write_radiograph(folder, header, stored(made), "HAND", laterality, number, made.pixel_mm)
            path = changed(path, BodyPartExamined=body_part, SeriesDescription="SIMULATED", AnatomicRegionSequence=[])
        else:
            path = write_radiograph(folder, header, stored(made), body_part, laterality, number, made.pixel_mm)
        paths.append(path)
    (study,) = read_studies(paths)
    return study


def changed(path: Path, **elements: object) -> Path:
    ds = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    ds.save_as(path)
    return path


@pytest.fixture(scope="module")
def pipeline(networks: None) -> Iterator[HandFootScoring]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made = HandFootScoring(HandFootScoringSettings())
    made.load()
    yield made
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Both hands and both feet of one patient."""
    made: list[tuple[Part, Side, Film]] = [
        (part, side, film_of(part, side, seed)) for seed, (part, side) in enumerate(LIMBS, start=31)
    ]
    study = write(tmp_path_factory.mktemp("four"), made)
    return Written(study, {(part, side): picture for part, side, picture in made})


@pytest.fixture(scope="module")
def result(pipeline: HandFootScoring, four: Written) -> Result:
    pipeline.check(four.study)
    return pipeline.run(four.study)


def test_four_films_are_one_reading_with_a_finding_per_site(result: Result) -> None:
    told = [f.tracking_id for f in result.findings] + [n.tracking_id for n in result.not_evaluable]
    joints = [name for name in told if not name.endswith(("sum", "total"))]
    assert len(joints) == len(set(joints)) == 56
    assert {f.tracking_id for f in result.findings if f.finding == codes.SVH_SUM} == {
        "SvH R hand sum",
        "SvH L hand sum",
        "SvH R foot sum",
        "SvH L foot sum",
        "SvH total",
    }
    assert len(result.findings) >= 50
    assert result.model.trained_on.startswith("trained on simulated")
    assert {panel.laterality for page in result.pages for panel in page.panels if hasattr(panel, "laterality")} == {
        "L",
        "R",
    }


def test_the_total_is_the_sum_of_the_sites_and_its_interval_holds_it(result: Result) -> None:
    joints = [f for f in result.findings if f.finding == codes.SVH_JOINT]
    expected = sum(m.value for f in joints for m in f.measurements)
    (whole,) = [f for f in result.findings if f.tracking_id == "SvH total"]
    total = next(m for m in whole.measurements if m.name == codes.SVH_TOTAL)
    assert total.value == pytest.approx(expected, abs=0.5)  # every site is rounded to two decimals
    assert total.interval is not None
    assert total.interval[0] <= total.value <= total.interval[1]


def test_squares_lie_on_the_joints_of_their_picture(result: Result, four: Written) -> None:
    distances = []
    for finding in result.findings:
        if finding.finding != codes.SVH_JOINT or finding.region is None or finding.site is None:
            continue
        _, side, name, *_ = finding.tracking_id.split()
        site = next(s for s in SVH_SITES if s.modifier == finding.site.modifier)
        truth = four.truth[site.limb, side].sites[name]
        centre = finding.region.outline[:4].mean(axis=0) - 0.5  # the upper left pixel's centre is at (0.5, 0.5)
        distances.append(float(np.hypot(*(centre - truth))) / 850)
        np.testing.assert_array_equal(finding.region.outline[0], finding.region.outline[-1])
    assert np.median(distances) < 0.02
    assert np.mean(np.array(distances) < 0.04) > 0.9


def test_the_report_can_be_read_back_as_a_prior(result: Result, tmp_path: Path) -> None:
    objects = encode(result, EncodingProfile(), datetime(2026, 11, 22, 12), tmp_path / "objects")
    report = next(o for o in objects if o.kind == "report")
    (earlier,) = read_studies([report.path])
    cells = prior.read(earlier.instances[0])
    told = {
        (f.tracking_id, m.name.value): m.value
        for f in result.findings
        if f.finding == codes.SVH_JOINT
        for m in f.measurements
    }
    assert len(cells) == len(told)
    cell = Cell("R", "hand", "MCP2", "erosion")
    assert getattr(cells[cell], "expected") == pytest.approx(told["SvH R MCP2", "SVH-ERO"], abs=0.01)  # noqa: B009


RUINED = ("MCP2", "MCP3", "MCP4", "MCP5", "PIP2", "PIP3")


@dataclass(frozen=True)
class Compared:
    """A hand that was read with an earlier report beside it."""

    result: Result
    before: Result  # what the earlier report tells


@pytest.fixture(scope="module")
def compared(pipeline: HandFootScoring, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """A hand with six ruined joints; it was well before, but for a PIP4 of which its report tells 4 and 4."""
    folder = tmp_path_factory.mktemp("compared")
    healthy = write(folder / "before", [("hand", "R", film_of("hand", "R", 51, severity=0.0))], name="before")
    first = pipeline.run(healthy)
    before = replace(
        first, findings=tuple(_said(f, 4.0) if f.tracking_id == "SvH R PIP4" else f for f in first.findings)
    )
    objects = encode(before, EncodingProfile(), datetime(2025, 11, 22, 12), folder)
    (report,) = read_studies([next(o.path for o in objects if o.kind == "report")])
    ruined = Disease(dict.fromkeys(RUINED, 3), dict.fromkeys(RUINED, 3))
    study = write(folder / "now", [("hand", "R", film_of("hand", "R", 51, disease=ruined))], name="now")
    return Compared(pipeline.run(Study(study.study_instance_uid, (*study.series, *report.series))), before)


def _said(finding: Finding, number: float) -> Finding:
    return replace(finding, measurements=tuple(replace(m, value=number) for m in finding.measurements))


def value(finding: Finding, name: str) -> float:
    return next(m.value for m in finding.measurements if m.name.value == name)


def test_the_change_of_each_site_is_what_the_two_readings_differ_by(compared: Compared) -> None:
    now, before = (
        {f.tracking_id: f for f in reading.findings if f.finding == codes.SVH_JOINT}
        for reading in (compared.result, compared.before)
    )
    for name in ("SvH R MCP2", "SvH R PIP4", "SvH R PIP3"):
        for score, change in (("SVH-ERO", "SVH-ERO-CHANGE"), ("SVH-JSN", "SVH-JSN-CHANGE")):
            difference = value(now[name], score) - value(before[name], score)
            assert value(now[name], change) == pytest.approx(difference, abs=0.011)  # two decimals each
    assert value(now["SvH R PIP4"], "SVH-ERO-CHANGE") < -2
    course = {name: [e.value.value for e in f.evaluations] for name, f in now.items() if f.evaluations}
    assert course.pop("SvH R PIP4") == ["SVH-REPAIRED"]
    assert {tuple(values) for values in course.values()} == {("SVH-WORSE",)}
    assert {f"SvH R {name}" for name in RUINED} <= course.keys()


def test_the_change_of_the_total_is_held_against_the_smallest_detectable_difference(compared: Compared) -> None:
    result = compared.result
    (change,) = [f for f in result.findings if f.tracking_id == "SvH change"]
    joints = [f for f in result.findings if f.finding == codes.SVH_JOINT]
    each = [m.value for f in joints for m in f.measurements if m.name.value in ("SVH-ERO-CHANGE", "SVH-JSN-CHANGE")]
    assert len(each) >= 29  # nearly every one of the 31 cells of a hand was scored both times
    assert value(change, "SVH-DELTA") == pytest.approx(sum(each), abs=0.3)  # each is rounded to two decimals
    assert value(change, "SVH-DELTA") > 5
    assert [e.value.value for e in change.evaluations] == ["SVH-CHANGED"]
    assert ("reading order", READING_ORDER[True]) in result.parameters
    assert ("reading order", READING_ORDER[False]) in compared.before.parameters
    assert all(series.modality == "DX" for series in result.evidence)


def test_progression_and_impossible_repair_are_told_and_make_key_objects(compared: Compared, tmp_path: Path) -> None:
    result = compared.result
    (line,) = [line for line in result.conclusion if "cannot be" in line]
    assert "R PIP4 erosion" in line
    assert "MCP" not in line
    progression, repair = (flag.reason for flag in result.flags)
    assert progression.startswith("Progression: ")
    assert progression.endswith(".")
    assert {f"{name} narrowing" for name in RUINED} <= set(progression[13:-1].split(", "))
    assert "PIP4 erosion" in repair
    objects = encode(result, EncodingProfile(), datetime(2026, 11, 22, 12), tmp_path)
    notes = [pydicom.dcmread(o.path) for o in objects if o.kind == "key_objects"]
    film = result.evidence[0].instances[0].sop_instance_uid
    assert notes
    for note in notes:
        pointed = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
        assert [item.ReferencedSOPInstanceUID for item in pointed] == [film]


def test_header_and_picture_that_disagree_stop_the_limb_and_are_shown(
    pipeline: HandFootScoring, tmp_path: Path
) -> None:
    study = write(tmp_path, [("hand", "R", film_of("hand", "R", 61))], said={1: ("HAND", "L")})
    result = pipeline.run(study)
    assert not [f for f in result.findings if f.finding == codes.SVH_JOINT]
    assert {n.reason.value for n in result.not_evaluable} == {"WHY-LATERALITY"}
    assert any("left" in flag.reason and "right" in flag.reason for flag in result.flags)


def test_an_unnamed_body_part_and_side_are_taken_from_the_picture(pipeline: HandFootScoring, tmp_path: Path) -> None:
    study = write(tmp_path, [("hand", "L", film_of("hand", "L", 62))], said={1: ("EXTREMITY", "")})
    result = pipeline.run(study)
    sites = {f.site.laterality for f in result.findings if f.site is not None and f.finding == codes.SVH_JOINT}
    assert sites == {"L"}


def test_another_body_part_is_refused_by_its_header(pipeline: HandFootScoring, tmp_path: Path) -> None:
    study = write(tmp_path, [("hand", "L", film_of("hand", "L", 63))], said={1: ("CHEST", "L")})
    with pytest.raises(UnsuitableInput, match="CHEST"):
        pipeline.check(study)


def test_a_child_is_refused_by_the_age_in_the_header(pipeline: HandFootScoring, tmp_path: Path) -> None:
    study = write(tmp_path, [("hand", "L", film_of("hand", "L", 64))])
    changed(study.instances[0].path, PatientAge="009Y")
    (study,) = read_studies([study.instances[0].path])
    with pytest.raises(UnsuitableInput, match="9 years old"):
        pipeline.check(study)


def test_open_growth_plates_are_refused_where_the_header_says_nothing(
    pipeline: HandFootScoring, tmp_path: Path
) -> None:
    study = write(tmp_path, [("hand", "L", film_of("hand", "L", 65, severity=0.0, age=9.0))])
    pipeline.check(study)
    with pytest.raises(UnsuitableInput, match="growth plates"):
        pipeline.run(study)


def test_what_lies_beside_a_limb_and_is_not_read_is_said_in_the_report_and_flagged(
    pipeline: HandFootScoring, tmp_path: Path
) -> None:
    hand = film_of("hand", "L", 4)
    other = view_film("hand", "lateral", (1100, 700), np.random.default_rng(5))
    both = replace(hand, image=np.concatenate((hand.image, other.image), axis=1))
    result = pipeline.run(write(tmp_path, [("hand", "L", both)]))
    said = "The picture shows more than the left hand: what looks like a lateral view of a hand beside it was not read."
    assert said in result.limits
    assert [flag.reason for flag in result.flags].count(said) == 1


def test_a_picture_without_a_limb_is_refused(pipeline: HandFootScoring, tmp_path: Path) -> None:
    empty = replace(film_of("hand", "L", 66), image=np.tile(np.linspace(0, 1, 900, dtype=np.float32), (1100, 1)))
    study = write(tmp_path, [("hand", "L", empty)])
    with pytest.raises(UnsuitableInput, match="neither a hand nor a foot"):
        pipeline.run(study)


def test_a_limb_that_is_too_small_is_refused(pipeline: HandFootScoring, tmp_path: Path) -> None:
    made = film_of("hand", "L", 67)
    small = replace(made, image=np.ascontiguousarray(made.image[::4, ::4]), pixel_mm=made.pixel_mm * 4)
    study = write(tmp_path, [("hand", "L", small)])
    with pytest.raises(UnsuitableInput, match=r"too small on the picture: \d+ pixels .*, at least 380 are needed$"):
        pipeline.run(study)


def test_a_picture_that_was_compressed_too_heavily_is_refused(pipeline: HandFootScoring, tmp_path: Path) -> None:
    made = film_of("hand", "L", 68, shape=(560, 460))
    study = write(tmp_path, [("hand", "L", replace(made, image=jpeg(made.image, 5)))])
    with pytest.raises(UnsuitableInput, match="compressed too heavily"):
        pipeline.run(study)


def test_beside_a_good_picture_a_noisy_one_of_another_limb_is_not_scored_and_the_report_says_why(
    pipeline: HandFootScoring, tmp_path: Path
) -> None:
    right, left = (film_of("hand", side, 69, shape=(600, 490)) for side in ("R", "L"))
    grain = 0.2 * np.random.default_rng(0).standard_normal(left.image.shape, np.float32)
    study = write(tmp_path, [("hand", "R", right), ("hand", "L", replace(left, image=left.image + grain))])
    result = pipeline.run(study)
    scored = {f.site.laterality for f in result.findings if f.site is not None and f.finding == codes.SVH_JOINT}
    assert scored == {"R"}
    unread = [one for one in result.not_evaluable if one.site is not None and one.site.laterality == "L"]
    assert len(unread) == len({one.tracking_id for one in unread}) > 20
    assert {(one.reason.value, one.sentence) for one in unread} == {("WHY-QUALITY", f"{capital(Reason.NOISE.value)}.")}
    assert f"{capital(Reason.NOISE.value)}." in {flag.reason for flag in result.flags}
    assert any(capital(Reason.NOISE.value) in str(page) for page in result.pages)


def test_a_study_without_radiographs_is_refused(pipeline: HandFootScoring) -> None:
    with pytest.raises(UnsuitableInput, match="radiograph"):
        pipeline.check(Study("1.2.3", ()))


def test_attention_is_that_of_the_trained_weights(pipeline: HandFootScoring) -> None:
    """Random weights show something else: the parameter-randomisation check of Adebayo et al. 2018."""
    from pipelines.hand_foot_scoring.simulation.crops import simulated as simulated_crops

    made = simulated_crops(5, 2, even=1, oddities=0, children=0)
    assert pipeline._reader is not None
    trained = pipeline._reader.trained.damage
    torch.manual_seed(0)
    random = Damage(trained.loss).eval()
    alike = []
    for row in np.flatnonzero((made.erosion >= 3) & (made.sites <= 10))[:8]:
        crop, site = made.floats(slice(row, row + 1))[0, 0], int(made.sites[row])
        a, b = (saliency(network, crop, site, "hand_erosion") for network in (trained, random))
        assert a.shape == (64, 64)
        assert a.max() == pytest.approx(1.0)
        alike.append(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    assert len(alike) >= 4
    assert np.mean(alike) < 0.5


def test_heatmaps_are_of_damaged_joints_and_lie_on_them(pipeline: HandFootScoring, tmp_path: Path) -> None:
    study = write(tmp_path, [("hand", "R", film_of("hand", "R", 71, severity=1.5))])
    result = pipeline.run(study)
    assert result.heatmaps
    for heat in result.heatmaps:
        assert heat.array.shape == SHAPE
        assert heat.array.max() == pytest.approx(1.0, abs=0.2)
        finding = next(f for f in result.findings if heat.label.startswith(f.tracking_id + " "))
        assert finding.region is not None
        rows, columns = np.nonzero(heat.array > 0.5)
        centre = finding.region.outline[:4].mean(axis=0)
        assert np.hypot(columns.mean() - centre[0], rows.mean() - centre[1]) < 120  # a crop is about 106 pixels wide


def test_every_code_of_a_result_comes_from_the_tables(result: Result) -> None:
    private = {row.value for row in CONDYLE.rows}
    for finding in result.findings:
        assert finding.finding.value in private
        for measurement in finding.measurements:
            assert measurement.name.value in private
