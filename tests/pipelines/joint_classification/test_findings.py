"""The coded finding of the example, and what stands in place of a class where the model abstains."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.sr.coding import Code

from dicom_sr.findings import Finding, ImageReference, Region, Result
from pipelines.joint_classification import codes
from pipelines.joint_classification.classifier import Classification, Classifier, JointVerdict, Neighbour, load
from pipelines.joint_classification.findings import cluster, finding
from pipelines.joint_classification.joints import Joint
from pipelines.joint_classification.opinion import Opinion


@pytest.fixture(scope="module")
def model() -> Classifier:
    return load(2)


@pytest.fixture
def opinion() -> Opinion:
    p = np.array([[0.1, 0.7, 0.2]])
    overall = Classification(
        p, np.stack([p - 0.05, p + 0.05], 2), np.full(1, 0.6), np.ones(1), np.ones(1), np.zeros((1, 2))
    )
    near = tuple(Neighbour(f"S-{n}", "ra" if n < 4 else "psa", 1.0, 0.5) for n in range(5))
    region = Region(ImageReference("1.2"), np.zeros((5, 2)))
    return Opinion(Joint("MCP2", "L", True), "joint", region, overall, JointVerdict(True, "", ""), near, "ra")


def names(found: Finding) -> set[Code]:
    return {measurement.name for measurement in found.measurements}


def test_the_example_is_a_pattern_of_rheumatoid_arthritis_with_its_figures(example_result: Result) -> None:
    (found,) = example_result.findings
    assert found.finding == codes.CLS_RA
    assert found.image_label == "RA 71 %"
    assert {codes.PROB_RA, codes.PROB_PSA, codes.PROB_HC, codes.LR_RA, codes.UNC_ENT} <= names(found)


def test_between_classes_probabilities_stand_but_no_class(opinion: Opinion, model: Classifier) -> None:
    doubtful = replace(opinion, verdict=JointVerdict(False, "uncertain", "Undetermined: like several classes."))
    found = finding(doubtful, model)
    assert found.finding == codes.INDETERMINATE
    assert codes.PROB_RA in names(found)
    assert codes.WHY_LOWCONF in {evaluation.value for evaluation in found.evaluations}


def test_of_what_is_foreign_not_even_probabilities_are_given(opinion: Opinion, model: Classifier) -> None:
    foreign = replace(opinion, verdict=JointVerdict(False, "foreign", "Undetermined: not like the cases."))
    found = finding(foreign, model)
    assert codes.PROB_RA not in names(found)
    assert codes.WHY_OOD in {evaluation.value for evaluation in found.evaluations}


def test_four_of_five_neighbours_make_a_cluster_and_three_do_not(opinion: Opinion) -> None:
    assert cluster(opinion) == codes.CLUSTER_RA
    mixed = replace(opinion, neighbours=(*opinion.neighbours[1:], Neighbour("S-9", "healthy", 1.0, 0.0)))
    assert cluster(mixed) == codes.CLUSTER_MIXED
