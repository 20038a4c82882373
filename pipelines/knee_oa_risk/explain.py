"""What drove a risk: integrated gradients per code and week, summed to groups that a clinician knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.knee_oa_risk.matrix import STATIC_NAMES, PatientRecord
from pipelines.knee_oa_risk.model import Ensemble, horizons
from pipelines.knee_oa_risk.network import Cells
from pipelines.knee_oa_risk.vocabulary import concepts, matrix_codes
from pipelines.knee_oa_risk.window import STATIC, WEEKS

Floats = NDArray[np.float64]

STEPS = 24  # of the path; the sum is then within a few per cent of the risk's difference
STATIC_GROUPS = {
    "bmi": "Body mass index",
    "kl": "Kellgren-Lawrence grade",
    "family": "Family history",
    "old_injury": "Old knee injury",
    "urate": "Laboratory values",
    "crp": "Laboratory values",
    "hba1c": "Laboratory values",
    "visits": "Use of care",
    "codes": "Use of care",
    "observed": "Length of the record",
}


@dataclass(frozen=True)
class Attribution:
    """Shares of the difference between this risk and that of an empty record of the same age and sex."""

    cells: Floats  # (codes, weeks), as parts of a risk of 0..1
    static: Floats  # (S,)
    start: float  # risk of somebody of the same age and sex of whom nothing is recorded
    end: float  # risk of this record, before calibration

    def groups(self) -> list[tuple[str, float]]:
        """Group and contribution, the largest first whatever its sign; they add up to `end` - `start`."""
        total: dict[str, float] = {}
        for code, value in zip(matrix_codes(), self.cells.sum(axis=1), strict=True):
            group = concepts()[code].group
            total[group] = total.get(group, 0.0) + float(value)
        for name, value in zip(STATIC_NAMES, self.static, strict=True):
            group = STATIC_GROUPS.get(name.removesuffix(" missing"), "Age and sex")
            total[group] = total.get(group, 0.0) + float(value)
        return sorted(total.items(), key=lambda item: -abs(item[1]))

    def by_week(self, group: str) -> Floats:
        """Contribution of a group of codes in each week, (weeks,)."""
        rows = [concepts()[code].group == group for code in matrix_codes()]
        weeks: Floats = self.cells[rows].sum(axis=0)
        return weeks

    def leading_codes(self, group: str, count: int = 2) -> list[str]:
        """Names of the codes of a group that contribute most."""
        sums = [(abs(value), code) for code, value in zip(matrix_codes(), self.cells.sum(axis=1), strict=True)]
        mine = sorted(
            (entry for entry in sums if concepts()[entry[1]].group == group and entry[0] > 1e-4), reverse=True
        )
        return [concepts()[code].name for _, code in mine[:count]]


def attribute(ensemble: Ensemble, record: PatientRecord, steps: int = STEPS) -> Attribution:
    """Integrated gradients of the risk at the last horizon (Sundararajan 2017), mean over the members.

    The path leads from an empty record with the same age and sex and every static value missing to this record; the
    sum of all attributions is the difference of the two risks, up to the error of the midpoint rule with `steps`
    points.

    Parameters
    ----------
    ensemble
        Whose risk is explained.
    record
        Of one patient.
    steps
        Points of the path.
    """
    batch, count = record.batch, len(record.batch.row)
    static = torch.from_numpy(batch.static)  # (1, S)
    empty = _empty(static)
    # `steps` people on the way, then one at each end; only filled cells have a gradient that counts
    at = torch.cat([(torch.arange(steps) + 0.5) / steps, torch.tensor([0.0, 1.0])])  # (P,)
    values = (at[:, None] * torch.from_numpy(batch.value)).requires_grad_()  # (P, cells)
    path = (empty + at[:, None] * (static - empty)).requires_grad_()  # (P, S)
    people = Cells(
        person=torch.arange(len(at)).repeat_interleave(count),
        row=torch.from_numpy(batch.row).repeat(len(at)),
        week=torch.from_numpy(batch.week).repeat(len(at)),
        value=values.flatten(),
        persons=len(at),
        weeks=WEEKS,
    )
    risks = torch.stack([horizons(network(people, path))[:, -1] for network in ensemble.networks])  # (M, P)
    by_value, by_static = torch.autograd.grad(risks[:, :steps].sum(), (values, path))
    share = 1.0 / (steps * len(ensemble.networks))
    cells = np.zeros((batch.rows, WEEKS))
    cells[batch.row, batch.week] = (by_value.sum(dim=0) * torch.from_numpy(batch.value)).double().numpy() * share
    static_parts = (by_static.sum(dim=0) * (static - empty)[0]).double().numpy() * share
    start, end = risks[:, steps:].detach().double().mean(dim=0).tolist()
    return Attribution(cells, static_parts, start, end)


def _empty(static: torch.Tensor) -> torch.Tensor:
    """The static vector (1, S) of somebody of the same age and sex of whom nothing else is known."""
    empty = static.clone()
    for number, name in enumerate(STATIC_NAMES):
        if name.endswith(" missing"):
            empty[:, number] = 1.0
        elif name in STATIC or name in ("visits", "codes"):
            empty[:, number] = 0.0  # the typical use of care: both are centred there
        elif name == "observed":
            empty[:, number] = 1.0
    return empty
