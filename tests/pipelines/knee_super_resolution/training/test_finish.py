"""What is done with a trained network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.bundle_configs import read_metadata
from pipelines.knee_super_resolution.deepresolve import DeepResolve
from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training.corpus import Corpus, digest_of
from pipelines.knee_super_resolution.training.finish import Finish
from pipelines.knee_super_resolution.training.plan import Plan
from pipelines.knee_super_resolution.training.volumes import ThinVolume
from pipelines.lab.checkpoint import OtherTraining

torch.set_num_threads(1)


def corpus(seed: int) -> Corpus:
    array = simulate_clutter(seed, (44, 44, 44), 80)
    return Corpus([ThinVolume(f"clutter {seed}", f"clutter {seed}", array, (1.0, 1.0, 1.0))])


def finish(factor: float, learned_from: Corpus, folder: Path) -> Finish:
    plan = Plan("deepresolve", factor, steps=1, depth=40, size=12)
    made = Finish(plan, learned_from, folder, folder / "training")
    made.begin()
    return made


def test_networks_for_several_ratios_come_together_in_one_bundle(tmp_path: Path) -> None:
    for factor in (2.0, 3.0):
        finish(factor, corpus(1), tmp_path)(DeepResolve())
    trainings = read_metadata(tmp_path)["training"]
    assert set(trainings) == {"deepresolve_2", "deepresolve_3"}
    assert {each["data_sha256"] for each in trainings.values()} == {digest_of(corpus(1))}
    assert all("none were held back" in each["judged_on"] for each in trainings.values())


def test_a_network_that_learned_from_other_data_does_not_join_them(tmp_path: Path) -> None:
    finish(2.0, corpus(1), tmp_path)(DeepResolve())
    with pytest.raises(OtherTraining, match="deepresolve_2 was trained on other data; name another folder"):
        finish(3.0, corpus(2), tmp_path)
