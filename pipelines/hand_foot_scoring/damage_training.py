"""Trains the damage heads on simulated crops, calibrates them, and compares the losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipelines.hand_foot_scoring.checkpoint import Checkpoint
from pipelines.hand_foot_scoring.crops import Crops
from pipelines.hand_foot_scoring.losses import Loss, distribution, grade_loss
from pipelines.hand_foot_scoring.metrics import Agreement, agreement, calibration_error
from pipelines.hand_foot_scoring.network import CLASS_OF, MAXIMUM, SITE_CLASSES, Damage
from pipelines.hand_foot_scoring.scoring import INTERVAL_LEVEL

_Z = 1.6448536269514722  # standard normal quantile at 0.95
STATE_WEIGHT, PLATE_WEIGHT = 0.5, 0.2
FOOT_CLASSES = tuple(index for (part, _), index in CLASS_OF.items() if part == "foot")
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "MCP": ("MCP1", "MCP2", "MCP3", "MCP4", "MCP5"),
    "PIP and IP": ("PIP2", "PIP3", "PIP4", "PIP5", "IP1"),
    "wrist": (
        "MC1B", "MULT", "NAV", "LUN", "RAD", "ULN", "CMC3", "CMC4", "CMC5", "MULTNAV", "CAPNAVLUN", "RADCARP",
    ),
}  # fmt: skip


def family(site: int) -> str:
    """The joint family of a site class."""
    part, name = SITE_CLASSES[site - 1]
    if part == "foot":
        return "foot"
    return next(label for label, names in FAMILIES.items() if name in names)


def targets(crops: Crops) -> dict[str, NDArray[np.float32]]:
    """Grades for each head; -1 where the head does not apply."""
    is_foot = np.isin(crops.sites, FOOT_CLASSES)
    return {
        "hand_erosion": np.where(is_foot, -1, crops.erosion).astype(np.float32),
        "foot_erosion": np.where(is_foot, crops.erosion, -1).astype(np.float32),
        "narrowing": crops.narrowing,
    }


def train_damage(
    crops: Crops,
    loss: Loss,
    seed: int,
    epochs: int,
    batch: int = 128,
    report: Callable[[int, float], None] | None = None,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
) -> Damage:
    """Damage heads trained with one of the losses; with a checkpoint it goes on after the last whole epoch."""
    torch.manual_seed(seed)
    network = Damage(loss).to(device)
    steps = epochs * (len(crops) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=max(steps, 1), pct_start=0.2)
    grades = targets(crops)
    done = 0 if checkpoint is None else checkpoint.resume(network, optimiser, schedule)
    network.train()
    for epoch in range(done, epochs):
        torch.manual_seed(seed * 1000 + epoch)  # of the drop-out: the same whether it was broken off or not
        rng = np.random.default_rng((seed, 7, epoch))
        order = rng.permutation(len(crops))
        running = 0.0
        for start in range(0, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            images = torch.from_numpy(_jittered(crops.floats(rows), rng)).to(device)
            raw = network(images, torch.from_numpy(crops.sites[rows]).to(device))
            value = _batch_loss(raw, crops, grades, rows, loss, device)
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            running += float(value.detach())
        if report is not None:
            report(epoch, running / max(1, len(order) // batch))
        if checkpoint is not None:
            checkpoint.save(epoch + 1, network, optimiser, schedule)
    network.eval()
    return network


def _jittered(images: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A pixel of shift, another contrast, a little noise."""
    dy, dx = rng.integers(-2, 3, 2)
    images = np.roll(images, (int(dy), int(dx)), axis=(2, 3))
    gain = rng.uniform(0.8, 1.25, (len(images), 1, 1, 1)).astype(np.float32)
    noise = rng.standard_normal(images.shape, dtype=np.float32) * np.float32(0.03)
    return np.clip(images * gain + noise, -1, 1)


def _batch_loss(
    raw: Mapping[str, Tensor],
    crops: Crops,
    grades: Mapping[str, NDArray[np.float32]],
    rows: NDArray[np.intp],
    loss: Loss,
    device: str,
) -> Tensor:
    def tensor(array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array[rows]).to(device)

    value = sum(
        (grade_loss(loss, raw[name], tensor(grades[name]), top) for name, top in MAXIMUM.items()), torch.zeros(())
    )
    state = functional.cross_entropy(raw["state"], tensor(crops.states))
    plates = functional.binary_cross_entropy_with_logits(raw["plates"][:, 0], tensor(crops.plates))
    return value + STATE_WEIGHT * state + PLATE_WEIGHT * plates


@torch.inference_mode()
def raw_outputs(network: Damage, crops: Crops, batch: int = 256) -> dict[str, NDArray[np.float32]]:
    """(N, outputs) raw numbers of every head."""
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(crops), batch):
        rows = slice(start, start + batch)
        raw = network(torch.from_numpy(crops.floats(rows)), torch.from_numpy(crops.sites[rows]))
        for name, value in raw.items():
            parts.setdefault(name, []).append(value)
    return {name: torch.cat(values).numpy() for name, values in parts.items()}


# ---------------------------------------------------------------- calibration
@dataclass(frozen=True)
class Calibration:
    """What turns the logits of the heads into probabilities that hold on simulated patients.

    Heads learn from grades spread evenly; patients have mostly undamaged joints. A temperature and one bias per grade
    and head, fitted on simulated patients, take that and over-confidence out.
    """

    temperature: Mapping[str, float]
    bias: Mapping[str, tuple[float, ...]]
    correlation: float  # between the errors of two cells of one patient

    def probabilities(self, head: str, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N, maximum + 1) from (N, maximum + 1) logits."""
        scaled = logits / self.temperature[head] + np.asarray(self.bias[head])
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        weight = np.exp(scaled)
        return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float64)


def calibrate(network: Damage, crops: Crops) -> Calibration:
    """Fit temperature and biases by maximum likelihood, and the correlation of errors, on simulated patients."""
    raw, grades = raw_outputs(network, crops), targets(crops)
    temperature: dict[str, float] = {}
    bias: dict[str, tuple[float, ...]] = {}
    for head, top in MAXIMUM.items():
        kept = grades[head] >= 0
        scale, shift = _fit(torch.from_numpy(raw[head][kept]), torch.from_numpy(grades[head][kept]).long(), top)
        temperature[head], bias[head] = scale, shift
    first = Calibration(temperature, bias, 0.0)
    return Calibration(temperature, bias, _error_correlation(first, raw, grades, crops.patients))


def _fit(logits: Tensor, grade: Tensor, maximum: int) -> tuple[float, tuple[float, ...]]:
    logarithm = torch.zeros((), requires_grad=True)
    shift = torch.zeros(maximum + 1, requires_grad=True)
    optimiser = torch.optim.LBFGS([logarithm, shift], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        # the biases are held back a little: a grade that hardly occurs must not get a bias of minus infinity
        value = functional.cross_entropy(logits / logarithm.exp() + shift, grade) + 1e-4 * (shift**2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    bias = shift.detach() - shift.detach().mean()
    return float(logarithm.detach().exp()), tuple(float(x) for x in bias)


@dataclass(frozen=True)
class PatientSum:
    """Error of one patient's sum and what its cells' spreads say about it."""

    error: float
    squares: float  # sum of the variances of the cells
    spreads: float  # sum of the standard deviations


def patient_sums(
    calibration: Calibration,
    raw: Mapping[str, NDArray[np.float32]],
    grades: Mapping[str, NDArray[np.float32]],
    patients: NDArray[np.int64],
) -> list[PatientSum]:
    """Per patient: expected sum minus true sum over every readable cell."""
    error, variance = np.zeros(len(patients)), np.zeros(len(patients))
    spread = np.zeros(len(patients))
    for head, top in MAXIMUM.items():
        kept = grades[head] >= 0
        p = calibration.probabilities(head, raw[head])
        levels = np.arange(top + 1)
        mean = p @ levels
        var = np.maximum(p @ levels**2 - mean**2, 0)
        error += np.where(kept, mean - grades[head], 0)
        variance += np.where(kept, var, 0)
        spread += np.where(kept, np.sqrt(var), 0)
    return [
        PatientSum(float(error[rows].sum()), float(variance[rows].sum()), float(spread[rows].sum()))
        for rows in (patients == patient for patient in np.unique(patients))
    ]


def _error_correlation(
    calibration: Calibration,
    raw: Mapping[str, NDArray[np.float32]],
    grades: Mapping[str, NDArray[np.float32]],
    patients: NDArray[np.int64],
) -> float:
    """The correlation at which the 90 % intervals hold nine in ten of the sums."""
    sums = patient_sums(calibration, raw, grades, patients)
    needed = [((s.error / _Z) ** 2 - s.squares) / max(s.spreads**2 - s.squares, 1e-9) for s in sums]
    return float(np.clip(np.quantile(needed, INTERVAL_LEVEL), 0.0, 1.0))


# ---------------------------------------------------------------- measuring
def scores(network: Damage, crops: Crops, calibration: Calibration | None = None) -> dict[str, NDArray[np.float64]]:
    """(N, maximum + 1) probabilities of each head."""
    raw = raw_outputs(network, crops)
    if calibration is not None:
        return {head: calibration.probabilities(head, raw[head]) for head in MAXIMUM}
    return {
        head: distribution(network.loss, torch.from_numpy(raw[head]), top).numpy().astype(np.float64)
        for head, top in MAXIMUM.items()
    }


def by_family(probabilities: Mapping[str, NDArray[np.float64]], crops: Crops) -> dict[str, dict[str, Agreement]]:
    """Kind of damage to joint family ("all" among them) to agreement of the expected grade with the truth."""
    grades = targets(crops)
    families = np.array([family(int(site)) for site in crops.sites])
    result: dict[str, dict[str, Agreement]] = {}
    for head, top in MAXIMUM.items():
        kept = grades[head] >= 0
        expected = probabilities[head] @ np.arange(top + 1)
        rows = {"all": kept} | {name: kept & (families == name) for name in dict.fromkeys(families.tolist())}
        result[head] = {
            name: agreement(grades[head][mask].astype(np.float64), expected[mask], top)
            for name, mask in rows.items()
            if mask.any()
        }
    return result


def all_zero(crops: Crops) -> dict[str, dict[str, Agreement]]:
    """The row of a reader who calls every joint undamaged."""
    nothing = {head: np.eye(top + 1)[np.zeros(len(crops), int)] for head, top in MAXIMUM.items()}
    return by_family(nothing, crops)


def calibration_errors(probabilities: Mapping[str, NDArray[np.float64]], crops: Crops) -> dict[str, float]:
    """Expected calibration error of each head."""
    grades = targets(crops)
    errors = {}
    for head in MAXIMUM:
        kept = grades[head] >= 0
        p = probabilities[head][kept]
        errors[head] = calibration_error(p.max(axis=1), p.argmax(axis=1) == grades[head][kept])
    return errors


def state_accuracy(network: Damage, crops: Crops) -> float:
    """Share of crops whose state (readable, implant, covered, no joint) is recognised."""
    return float((raw_outputs(network, crops)["state"].argmax(axis=1) == crops.states).mean())


def plain(table: Mapping[str, Mapping[str, Agreement]]) -> dict[str, dict[str, dict[str, float]]]:
    """The same as numbers for JSON."""
    return {head: {name: asdict(row) for name, row in rows.items()} for head, rows in table.items()}


AGREEMENT_COLUMNS = tuple(field.name for field in fields(Agreement))
