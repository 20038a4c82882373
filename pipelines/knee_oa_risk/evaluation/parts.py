"""Parts of the simulated register, and measurements that are stored for the next time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_oa_risk.matrix import Batch
from pipelines.knee_oa_risk.model import Ensemble, EnsembleDescription, RiskCalibration
from pipelines.knee_oa_risk.network import RiskNetwork
from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.population import Population
from pipelines.knee_oa_risk.training import measures
from pipelines.knee_oa_risk.window import GAP, HORIZONS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """People with their matrices, and what each horizon knows of them."""

    batch: Batch
    people: Population

    @classmethod
    def of(cls, people: Population, with_leaks: bool = False, gap_weeks: int = GAP) -> Part:
        """Simulated people with their matrices.

        Parameters
        ----------
        people
            Simulated people.
        with_leaks
            Whether to keep the codes that follow the disease.
        gap_weeks
            Of wash-out.
        """
        return cls(from_population(people, with_leaks, gap_weeks), people)

    def known(self, horizon: int) -> tuple[NDArray[np.bool_], Floats]:
        """Case flag (N,) and censoring weight (N,) at a horizon in years."""
        weight, case = measures.censoring_weights(self.people.time, self.people.status, horizon)
        return case, weight

    @property
    def pair(self) -> tuple[Batch, Population]:
        """Matrices and people, as the baselines take them."""
        return self.batch, self.people


@dataclass(frozen=True)
class MeasurementCache:
    """What was measured of the rivals, kept in a folder: they do not change when the model does."""

    folder: Path | None
    mark: str  # sizes, epochs and seeds that it rests on

    def get(self, name: str, measure: Callable[[], Any]) -> Any:
        """The outcome of `measure`, a list that JSON can hold, measured once per `mark`."""
        if self.folder is None:
            return measure()
        path = self.folder / f"{hashlib.sha256(f'{self.mark}|{name}'.encode()).hexdigest()[:16]}.json"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(measure()), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))


def lone_risk(network: RiskNetwork, batch: Batch) -> Floats:
    """Uncalibrated risks (N, H) of one network that belongs to no ensemble."""
    card = EnsembleDescription(
        batch.rows, batch.static.shape[1], 1, 0, 0, "", RiskCalibration(), (1.0,) * len(HORIZONS), 0.1
    )
    alone: Floats = Ensemble([network], card).members_risk(batch)[0]
    return alone
