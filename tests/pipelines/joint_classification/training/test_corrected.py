"""Results that readers have judged become ultrasound pictures with their class, cut out of the screen."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_sr.write.encode import EncodingProfile, encode
from pipelines.example import CREATED
from pipelines.joint_classification import JointClassification
from pipelines.joint_classification.codes import CLASS, CLS_HC, CLS_PSA
from pipelines.joint_classification.image_files import read_picture
from pipelines.joint_classification.training.corrected import write_corrected
from pipelines.joint_classification.training.folder import read_folder, read_labels
from pipelines.lab.corrected import CorrectedCase, CorrectedFinding

NAME = f"{CLASS.scheme_designator}:{CLASS.value}"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> CorrectedCase:
    """A joint that the reader says to be another one's."""
    folder = tmp_path_factory.mktemp("judged")
    made = JointClassification.example(folder / "in")
    report, *_ = encode(made.result, EncodingProfile(kinds=("report",)), CREATED, folder / "out")
    findings = made.result.findings  # type: ignore[union-attr]
    code = f"{CLS_PSA.scheme_designator}:{CLS_PSA.value}"
    said = tuple(CorrectedFinding(one.tracking_id, {NAME: code}, frozenset({NAME})) for one in findings)
    images = {image.sop_instance_uid: image.path for image in made.study.instances}
    return CorrectedCase("case", "p1", images, report.path, said)


def test_the_picture_is_that_which_the_network_saw_and_has_the_readers_class(
    case: CorrectedCase, tmp_path: Path
) -> None:
    written = write_corrected(tmp_path, [case])
    rows = read_labels(tmp_path)
    assert (written.layout, written.rows, written.left_out) == ("labels", len(rows), [])
    assert rows
    assert {(row.patient, row.label) for row in rows} == {("p1", "psa")}
    seen = [read_picture(path) for path in case.images.values()]
    for row in rows:
        cut = read_picture(tmp_path / row.file, row.width_mm)
        assert max(np.corrcoef(cut.ravel(), one.ravel())[0, 1] for one in seen) > 0.9
        with Image.open(tmp_path / row.file) as picture:
            assert (picture.mode, picture.info) == ("L", {})


def test_the_training_reads_the_folder(case: CorrectedCase, tmp_path: Path) -> None:
    written = write_corrected(tmp_path, [case])
    cohort = read_folder(tmp_path, 2)
    assert len(cohort.labels) == written.rows


def test_what_has_no_class_or_no_image_is_left_out(case: CorrectedCase, tmp_path: Path) -> None:
    without = CorrectedCase(case.name, case.patient, {}, case.report, case.findings)
    assert any("not stored any more" in sentence for sentence in write_corrected(tmp_path, [without]).left_out)
    unsure = tuple(CorrectedFinding(one.tracking_id, {NAME: "99MSKAI:INDETERMINATE"}) for one in case.findings)
    assert write_corrected(tmp_path, [CorrectedCase("b", "p", case.images, case.report, unsure)]).rows == 0
    assert not list(tmp_path.glob("*.png"))


def test_the_last_reading_of_a_picture_counts(case: CorrectedCase, tmp_path: Path) -> None:
    code = f"{CLS_HC.scheme_designator}:{CLS_HC.value}"
    later = tuple(CorrectedFinding(one.tracking_id, {NAME: code}) for one in case.findings)
    write_corrected(tmp_path, [case, CorrectedCase("b", "p1", case.images, case.report, later)])
    assert {row.label for row in read_labels(tmp_path)} == {"healthy"}
    with (tmp_path / "labels.csv").open() as stream:
        assert next(csv.reader(stream)) == ["file", "patient", "label", "width_mm"]
