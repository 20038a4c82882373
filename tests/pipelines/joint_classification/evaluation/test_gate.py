"""The gate against everything that is none of the three classes."""

from __future__ import annotations

import json

import pytest

from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.evaluation import card
from pipelines.joint_classification.evaluation.gate import gate
from pipelines.joint_classification.evaluation.patients import PATIENTS


def test_the_gate_is_measured_on_every_kind_of_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PATIENTS, 2, 16)
    row = gate(2, load(2), each=2)
    kinds = {one["kind"]: one for one in row["kinds"]}
    assert kinds["noise"]["auroc"]["gate"] > 0.99
    assert kinds["noise"]["refused"] == 1.0
    assert {"gout", "osteoarthritis"} <= set(kinds)
    text = "\n".join(card._gate(json.loads(json.dumps(row))))
    assert "| gout | 2 |" in text
