"""Draws the examples of a training run, each by its number alone."""

from __future__ import annotations

import math

import numpy as np
import torch

from pipelines.knee_super_resolution.network import Geometry
from pipelines.knee_super_resolution.training.corpus import Corpus
from pipelines.knee_super_resolution.training.patches import Degradation, Example, degrade_batch, patch_transforms
from pipelines.knee_super_resolution.training.plan import Plan
from pipelines.knee_super_resolution.training.volumes import ThinVolume

MIN_DEPTH = 40  # thin slices of a patch, at least


class Sampler:
    """Draws examples, each by its number alone."""

    def __init__(self, corpus: Corpus, plan: Plan) -> None:
        self.plan = plan
        self.transform = patch_transforms(plan.depth, plan.size)
        self.simulated = [{"thin": volume} for volume in corpus.simulated]
        self.real = self._by_subject(corpus.real)

    @staticmethod
    def _by_subject(volumes: list[ThinVolume]) -> list[list[dict[str, ThinVolume]]]:
        """One list per subject, so that four echoes of one knee do not count four times."""
        subjects = sorted({volume.subject for volume in volumes})
        return [[{"thin": one} for one in volumes if one.subject == subject] for subject in subjects]

    def example(self, number: int) -> Example:
        """The example of this number, whatever was drawn before."""
        random = np.random.default_rng([self.plan.seed, number])
        self.transform.set_random_state(seed=int(random.integers(2**31)))
        factors = (self.plan.factor,) if self.plan.factor else ((2, 3, 4, 8) if random.random() < 0.5 else ())
        degradation = Degradation.draw(random, factors, fir_only=self.plan.method == "deepresolve")
        pool = self.simulated
        if self.real and random.random() < self.plan.real_share:
            pool = self.real[int(random.integers(len(self.real)))]
        drawn = self.transform(pool[int(random.integers(len(pool)))])
        thin = torch.as_tensor(np.asarray(drawn["thin"]))[None]
        thin = thin[:, :, : max(MIN_DEPTH, math.ceil(self.plan.thick * degradation.ratio))]
        return degrade_batch(thin, degradation, float(drawn["step_over_pixel"]), random)


def geometry_of(example: Example) -> Geometry:
    """Positions in units of thin slices."""
    return Geometry(
        coarse=example.ratio * np.arange(example.thick.shape[1]),
        fine=np.arange(example.thin.shape[1], dtype=float),
        profile=example.profile,
        anisotropy=example.anisotropy,
    )
