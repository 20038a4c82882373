from pathlib import Path

from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.training.cases import simulated
from pipelines.joint_classification.training.page import LOG, write_page


def test_the_page_shows_learning_curves_and_calls_calibration_cases_by_their_name(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("step,learning_rate,loss,seconds\n1,0.1,2.0,1\n2,0.2,1.0,2\n")
    text = write_page(tmp_path, load(2), simulated(2, 5, 12)).read_text()
    assert {path.stem for path in tmp_path.glob("*.png")} == {"learning_curves", "reliability", "confusion"}
    assert "held" not in text  # back, or out: they calibrated it
    assert "figures are better than those of new patients" in text
    assert load(2).trained_on in text


def test_a_training_without_a_log_has_a_page_without_curves(tmp_path: Path) -> None:
    write_page(tmp_path, load(2), simulated(2, 5, 12))
    assert not (tmp_path / "learning_curves.png").exists()
