"""Examples by their number."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.knee_super_resolution.training.corpus import Corpus
from pipelines.knee_super_resolution.training.plan import Plan
from pipelines.knee_super_resolution.training.sampler import Sampler, geometry_of
from pipelines.knee_super_resolution.training.volumes import ThinVolume


def volume(name: str, level: float) -> ThinVolume:
    random = np.random.default_rng(0)
    array = (level + 0.01 * random.random((44, 44, 44))).astype(np.float32)
    return ThinVolume(name, name.split()[0], array, (1.0, 1.0, 1.0))


def test_an_example_depends_on_its_number_alone() -> None:
    plan = Plan(seed=3, depth=40, size=16)
    sampler = Sampler(Corpus(simulated=[volume("a 1", 0.2), volume("b 1", 0.7)]), plan)
    later, first = sampler.example(9), sampler.example(2)
    again = Sampler(Corpus(simulated=[volume("a 1", 0.2), volume("b 1", 0.7)]), plan).example(9)
    assert torch.equal(later.thick, again.thick)
    assert not (first.thick.shape == later.thick.shape and torch.equal(first.thick, later.thick))


def test_every_subject_counts_once_however_many_volumes_it_has() -> None:
    real = [*(volume(f"often {number}", 0.2) for number in range(9)), volume("once 1", 0.8)]
    sampler = Sampler(Corpus(simulated=[volume("s 1", 0.5)], real=real), Plan(depth=40, size=16, real_share=1.0))
    levels = [float(sampler.example(number).thin.mean()) for number in range(60)]
    assert 0.3 < np.mean([level > 0.5 for level in levels]) < 0.7


def test_the_geometry_counts_in_thin_slices() -> None:
    sampler = Sampler(Corpus(simulated=[volume("a 1", 0.2)]), Plan(factor=4.0, depth=40, size=16))
    example = sampler.example(0)
    geometry = geometry_of(example)
    assert geometry.coarse.tolist() == [4.0 * number for number in range(example.thick.shape[1])]
    assert len(geometry.fine) == example.thin.shape[1]
