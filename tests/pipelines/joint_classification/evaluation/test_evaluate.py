"""`condyle evaluate joint_classification`: figures as by hand, parts measured once, and the card they go into."""

from pathlib import Path
from typing import Any

from pipelines.joint_classification import BUNDLE
from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.evaluation import card, evaluate


def test_a_part_is_measured_once_and_the_card_says_what_was_measured(tmp_path: Path) -> None:
    model = load(2)
    said: list[str] = []

    def again() -> dict[str, dict[str, Any]]:
        return evaluate.evaluate(2, model, ["speed"], tmp_path / "kept", None, said.append, 0)

    found = again()
    assert found == again()
    assert len(said) == 1
    path = tmp_path / "README.md"
    path.write_text("# A card\n\nWritten by hand.\n")
    card.write(path, BUNDLE, 2, found)
    card.write(path, BUNDLE, 2, found)
    text = path.read_text()
    assert text.startswith("# A card\n\nWritten by hand.")
    assert text.count("### Speed") == 1
    assert f"{found['speed']['classify_s']:.2f} s" in text
