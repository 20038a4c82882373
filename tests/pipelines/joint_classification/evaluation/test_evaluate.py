"""`condyle evaluate joint_classification`: figures as by hand, parts measured once, and the card they go into."""

import json

import numpy as np
import pytest
import torch

from pipelines.joint_classification.evaluation import card, evaluate, rivals
from pipelines.joint_classification.model import BUNDLE, load
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder
from pipelines.joint_classification.training.cohort import SIZE_2D, SIZE_3D, Cohort


def test_figures_of_a_small_table_are_as_by_hand():
    p = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.7, 0.2], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.2, 0.2, 0.6]])
    labels = np.array([0, 0, 1, 1, 2, 2])
    row = evaluate.figures(p, labels)
    assert row["auroc_healthy"] == 1.0
    assert row["auroc_ra"] == 1.0  # 0.7 and 0.4 over all others
    assert row["accuracy"] == pytest.approx(5 / 6)
    assert row["recall"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert row["precision"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    # probability at least a half: healthy said of 3, rightly of 2; half a case added to every cell
    assert row["lr_healthy"] == pytest.approx((2.5 / 3) / (1.5 / 5))
    assert row["brier"] == pytest.approx(np.square(p - np.eye(3)[labels]).sum(1).mean())


def test_intervals_are_over_patients_not_over_scans(monkeypatch):
    monkeypatch.setattr(evaluate, "BOOTSTRAPS", 40)
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(3, size=40), 10)
    p = np.repeat(rng.dirichlet((1, 1, 1), 40), 10, axis=0)

    def width(patients):
        low, high = evaluate.figures(p, labels, patients)["interval"]["accuracy"]
        return high - low

    assert width(np.repeat(np.arange(40), 10)) > 2 * width(np.arange(400))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_rivals_are_of_the_size_of_the_encoder(dimensions):
    def size(network):
        return sum(parameter.numel() for parameter in network.parameters())

    own = size(ConvolutionalSupervisedAutoEncoder(dimensions).encoder)
    assert 0.5 * own < size(rivals.resnet(dimensions)) < 1.5 * own
    assert 0.4 * own < size(rivals.densenet(dimensions)) < 1.5 * own


@pytest.mark.parametrize(("dimensions", "shape"), [(2, SIZE_2D), (3, SIZE_3D)])
def test_the_rivals_take_what_the_auto_encoder_takes(dimensions, shape):
    for make in (rivals.resnet, rivals.densenet):
        with torch.inference_mode():
            assert make(dimensions).eval()(torch.zeros(1, 1, *shape)).shape == (1, 3)


def test_age_and_sex_alone_find_an_age_gap_and_nothing_else():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=600)
    ages = np.where(labels == 0, 30.0, 60.0) + rng.normal(0, 8, 600)
    none = np.zeros((600, 1, 2, 2), np.float32)
    made = Cohort(none, labels, np.arange(600), ages, rng.integers(2, size=600) * 1.0, ages, none[:, 0] > 0)
    predict, _ = evaluate._methods(2)["age and sex"]
    row = evaluate.figures(predict(made.take(np.arange(400)), made.take(np.arange(400, 600)), 0), labels[400:])
    assert row["auroc_healthy"] > 0.95
    assert row["auroc_ra"] < 0.85


def test_a_part_is_measured_once_and_the_card_says_what_was_measured(tmp_path):
    model = load(2)
    said = []

    def again():
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


def test_the_gate_is_measured_on_every_kind_of_unknown(monkeypatch):
    monkeypatch.setitem(evaluate.PATIENTS, 2, 16)
    row = evaluate.gate(2, load(2), each=2)
    kinds = {one["kind"]: one for one in row["kinds"]}
    assert kinds["noise"]["auroc"]["gate"] > 0.99
    assert kinds["noise"]["refused"] == 1.0
    assert {"gout", "osteoarthritis"} <= set(kinds)
    text = "\n".join(card._gate(json.loads(json.dumps(row))))
    assert "| gout | 2 |" in text


def test_a_missed_bar_is_told():
    row = {"auroc": {"gate": 0.9}, "known_refused": {"foreign": 0.03, "uncertain": 0.01}}
    assert [bar.met for bar in card.bars({"gate": row})] == [False, True]
