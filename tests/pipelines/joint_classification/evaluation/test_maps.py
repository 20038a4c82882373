"""Maps of attention are measured for every method, and only one that shows the network may be shown."""

from typing import Any

import pytest

from pipelines.joint_classification import attention
from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.evaluation.maps import _shown, maps


def test_every_method_is_measured_against_chance_and_forgetful_networks() -> None:
    row = maps(2, load(2), number=2)
    assert set(row["methods"]) == set(attention.METHODS)
    assert row["cases"] == 2
    assert 0 < row["chance"] < 1
    for figures in row["methods"].values():
        assert 0 <= figures["pointing"] <= 1
        assert set(figures["randomised"]) == {"classifier", "classifier and last stage", "everything"}


@pytest.mark.parametrize(
    ("forgotten", "other", "shown"), [(0.2, 0.3, "sharp"), (0.9, 0.3, "sound"), (0.2, 0.8, "sound")]
)
def test_the_best_pointing_method_is_shown_unless_its_map_stays_alike(
    forgotten: float, other: float, shown: str
) -> None:
    def figures(pointing: float, forgotten: float, other: float) -> dict[str, Any]:
        return {
            "pointing": pointing,
            "iou": 0.1,
            "similarity_other_class": other,
            "randomised": {"everything": forgotten},
        }

    rows = {"sharp": figures(0.9, forgotten, other), "sound": figures(0.6, 0.1, 0.1)}
    assert _shown(rows) == shown


def test_no_method_is_shown_if_none_changes() -> None:
    alike = {"pointing": 1.0, "iou": 1.0, "similarity_other_class": 0.9, "randomised": {"everything": 0.9}}
    assert _shown({"alike": alike}) == ""
