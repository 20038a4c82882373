"""What is measured of a trained network."""

from __future__ import annotations

import pytest
import torch

from pipelines.knee_super_resolution.network import ThinSliceNet
from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training.corpus import Corpus
from pipelines.knee_super_resolution.training.description import arithmetic_tflop, facts
from pipelines.knee_super_resolution.training.plan import Plan
from pipelines.knee_super_resolution.training.volumes import ThinVolume

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus([ThinVolume("clutter 1", "clutter 1", simulate_clutter(1, (44, 44, 44), 80), (1.0, 1.0, 1.0))])


def test_twice_as_many_steps_are_twice_the_arithmetic(corpus: Corpus) -> None:
    plan = Plan(depth=40, size=16, channels=8, blocks=1)
    network = ThinSliceNet(8, 1)
    once, twice = (arithmetic_tflop(network, corpus, plan, steps, draws=4) for steps in (100, 200))
    assert twice == pytest.approx(2 * once)
    assert once > 0


def test_the_facts_of_a_training_tell_its_plan_and_its_gain_but_not_the_machine(corpus: Corpus) -> None:
    plan = Plan(factor=2.0, depth=40, size=16, channels=8, blocks=1)
    found = facts(ThinSliceNet(8, 1).eval(), plan, corpus, 7)
    assert found["plan"]["factor"] == 2.0
    assert {"device", "threads"} & set(found["plan"]) == set()
    assert set(found["validation_gain_db"]) == {"2"}
    assert found["stopped_at"] == 7
