"""The network: a CNN over the weekly matrix and an ANN over the static data, joined, with a discrete-time hazard head.

Deep-KOA's paper names the two branches and their joint sigmoid and nothing else (Ningrum 2021, doi
10.2147/JMDH.S325179); the layers are ours, and so is the head: yearly hazards of knee osteoarthritis and of death, so
that people who leave or die are used for as long as they were seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.knee_oa_risk.window import YEARS

WEEKS_PER_STEP = 4  # the stem gathers four weeks, the length of a refill
CAUSES = 2  # knee osteoarthritis, death
RECENT_WEEKS = 26  # what the linear part takes for recent


@dataclass(frozen=True)
class Cells:
    """The filled cells of N weekly matrices: (E,) person, row, week and value in 0..1, no cell twice."""

    person: Tensor
    row: Tensor
    week: Tensor
    value: Tensor
    persons: int
    weeks: int


class Step(nn.Sequential):
    """Look at five neighbouring steps and halve their number: (N, C_in, T) -> (N, C_out, T // 2).

    Parameters
    ----------
    inputs, outputs
        Channels, C_in and C_out.
    dropout
        Share of the outputs that training sets to 0.
    """

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__(
            nn.Conv1d(inputs, outputs, kernel_size=5, padding=2),
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Dropout(dropout),
        )


class RecordBranch(nn.Module):
    """The weekly matrix, (N, codes, weeks) in 0..1, as a vector (N, `width`)."""

    def __init__(self, codes: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Conv1d(codes, 32, kernel_size=WEEKS_PER_STEP, stride=WEEKS_PER_STEP)
        self.steps = nn.Sequential(nn.BatchNorm1d(32), nn.ReLU(), Step(32, 48, dropout), Step(48, 64, dropout))
        self.attention = nn.Conv1d(64, 1, kernel_size=1)
        self.gain = nn.Parameter(torch.full((codes,), 2.0))
        self.presence = nn.Linear(codes, 48)
        self.width = 64 + 64 + 32 + 48

    def gathered(self, matrix: Tensor | Cells) -> tuple[Tensor, Tensor, Tensor]:
        """Stem (N, 32, T), sum of each code and its sum over the last `RECENT_WEEKS` (N, codes).

        Records are nearly empty, so the way over the filled cells is the fast one; both give the same numbers.
        """
        if isinstance(matrix, Cells):
            return self._from_cells(matrix)
        padded = functional.pad(matrix, (-matrix.shape[-1] % WEEKS_PER_STEP, 0))  # the newest weeks stay aligned
        return self.stem(padded), matrix.sum(dim=-1), matrix[..., -RECENT_WEEKS:].sum(dim=-1)

    def _from_cells(self, cells: Cells) -> tuple[Tensor, Tensor, Tensor]:
        weeks = cells.weeks + -cells.weeks % WEEKS_PER_STEP
        steps = weeks // WEEKS_PER_STEP
        week = cells.week + weeks - cells.weeks
        kernel = self.stem.weight.permute(1, 2, 0).reshape(-1, self.stem.out_channels)  # (codes * 4, 32)
        taken = kernel[cells.row * WEEKS_PER_STEP + week % WEEKS_PER_STEP] * cells.value[:, None]  # (E, 32)
        flat = taken.new_zeros(cells.persons * steps, self.stem.out_channels)
        flat = flat.index_add(0, cells.person * steps + week // WEEKS_PER_STEP, taken)
        assert self.stem.bias is not None
        stem = (flat + self.stem.bias).view(cells.persons, steps, -1).transpose(1, 2)  # (N, 32, T)
        recent = torch.where(cells.week >= cells.weeks - RECENT_WEEKS, cells.value, 0.0)
        return stem, self._summed(cells, cells.value), self._summed(cells, recent)

    def _summed(self, cells: Cells, value: Tensor) -> Tensor:
        """Sum of `value` (E,) for each person and code, (N, codes)."""
        codes = self.stem.in_channels
        flat = value.new_zeros(cells.persons * codes).index_add(0, cells.person * codes + cells.row, value)
        return flat.view(cells.persons, codes)

    def forward(self, stem: Tensor, total: Tensor) -> Tensor:
        """Stem (N, 32, T) and sums per code (N, codes) -> (N, width)."""
        steps = self.steps(stem)  # (N, 64, T / 4)
        weight = self.attention(steps).softmax(dim=-1)  # (N, 1, T / 4)
        attended = (weight * steps).sum(dim=-1)  # (N, 64)
        peak = steps.amax(dim=-1)  # (N, 64)
        # a lasting condition counts once however often it is coded: a saturating sum per code
        present = torch.tanh(self.gain.abs() * total)  # (N, codes)
        return torch.cat([attended, peak, stem.mean(dim=-1), torch.relu(self.presence(present))], dim=1)


class StaticBranch(nn.Sequential):
    """Static values with their missing flags, (N, S) -> (N, 32)."""

    def __init__(self, values: int, dropout: float) -> None:
        super().__init__(nn.Linear(values, 64), nn.ReLU(), nn.Dropout(dropout), nn.Linear(64, 32), nn.ReLU())


class RiskNetwork(nn.Module):
    """Log hazards per year of follow-up and cause: both branches joined, averaged with a linear hazard model.

    The linear part is there because it errs elsewhere: it is fitted after the deep part, on the same people, and has
    the share `share` in the average of the two.

    Parameters
    ----------
    codes, values
        Rows of the matrix and length of the static vector.
    record, static
        Whether the branch is there; without one it is the ablation of the same name.
    """

    share: Tensor  # of the linear part in the average

    def __init__(
        self, codes: int, values: int, record: bool = True, static: bool = True, dropout: float = 0.15
    ) -> None:
        super().__init__()
        self.record = RecordBranch(codes, dropout) if record else None
        self.static = StaticBranch(values, dropout) if static else None
        width = (self.record.width if self.record else 0) + (32 if static else 0)
        self.joint = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(64, YEARS * CAUSES)
        # the linear part sees each code's presence, count and recent count, and the static values
        self.wide = nn.Parameter(torch.zeros(CAUSES, (3 * codes if record else 0) + (values if static else 0)))
        self.baseline = nn.Parameter(torch.zeros(YEARS, CAUSES))
        self.wide.requires_grad_(False)  # fitted by itself, after the deep part
        self.baseline.requires_grad_(False)
        self.register_buffer("share", torch.zeros(()))  # of the linear part
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, -4.0)  # a few per cent a year: near the truth from the first step

    def forward(self, matrix: Tensor | Cells, static: Tensor) -> Tensor:
        """Matrix (N, codes, weeks) or its cells, (N, S) -> log hazards per year (N, YEARS, CAUSES)."""
        parts, plain = [], []
        if self.record is not None:
            stem, total, recent = self.record.gathered(matrix)
            parts.append(self.record(stem, total))
            plain += _counted(total, recent)
        if self.static is not None:
            parts.append(self.static(static))
            plain.append(static)
        joint = self.joint(torch.cat(parts, dim=1))  # (N, 64)
        deep = self.head(joint).view(-1, YEARS, CAUSES)
        linear = self.linear(torch.cat(plain, dim=1))
        log_hazards: Tensor = torch.lerp(deep, linear, self.share).clamp(-12.0, 3.0)
        return log_hazards

    def plain(self, matrix: Tensor | Cells, static: Tensor) -> Tensor:
        """What the linear part sees, (N, F)."""
        parts = []
        if self.record is not None:
            _, total, recent = self.record.gathered(matrix)
            parts += _counted(total, recent)
        return torch.cat([*parts, *([] if self.static is None else [static])], dim=1)

    def linear(self, plain: Tensor) -> Tensor:
        """Log hazards of the linear part, proportional over the years: (N, F) -> (N, YEARS, CAUSES)."""
        log_hazards: Tensor = self.baseline + (plain @ self.wide.T)[:, None, :]
        return log_hazards


def _counted(total: Tensor, recent: Tensor) -> list[Tensor]:
    """Presence, count and recent count of each code, 3 x (N, codes); a lasting condition counts once."""
    return [torch.tanh(2.0 * total), torch.log1p(total), torch.log1p(recent)]


def negative_log_likelihood(log_hazards: Tensor, exposure: Tensor, event: Tensor) -> Tensor:
    """Mean over people of the negative log likelihood under yearly constant hazards.

    Parameters
    ----------
    log_hazards
        (N, YEARS, CAUSES).
    exposure
        (N, YEARS): which part of each year of follow-up the person was seen at risk, 0..1.
    event
        (N, YEARS, CAUSES): 1 where the year ended with that cause.
    """
    survived = (log_hazards.exp() * exposure[..., None]).sum(dim=(1, 2))
    happened = (log_hazards * event).sum(dim=(1, 2))
    return (survived - happened).mean()


def cumulative_incidence(log_hazards: Tensor) -> Tensor:
    """Risk of knee osteoarthritis by the end of each year, death competing: (N, YEARS, CAUSES) -> (N, YEARS)."""
    hazards = log_hazards.exp()
    both = hazards.sum(dim=2)  # (N, YEARS)
    gone = -torch.expm1(-both)
    alive = torch.exp(-torch.cumsum(both, dim=1) + both)  # at the start of each year
    return torch.cumsum(alive * gone * hazards[..., 0] / both, dim=1)
