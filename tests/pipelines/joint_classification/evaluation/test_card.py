"""The bars of the card."""

from __future__ import annotations

from pipelines.joint_classification.evaluation import card


def test_a_missed_bar_is_told() -> None:
    row = {"auroc": {"gate": 0.9}, "known_refused": {"foreign": 0.03, "uncertain": 0.01}}
    assert [bar.met for bar in card.bars({"gate": row})] == [False, True]
