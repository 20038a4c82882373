"""The trained ensemble: loading and saving its bundle, risks with intervals, and a site's recalibration."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pipelines.bundle_configs import UnusableBundle
from pipelines.knee_oa_risk import BUNDLE, DESCRIPTION, SIMULATED, WEIGHTS
from pipelines.knee_oa_risk.matrix import STATIC_NAMES, Batch
from pipelines.knee_oa_risk.network import Cells, RiskNetwork, cumulative_incidence
from pipelines.knee_oa_risk.odds import expit, logit
from pipelines.knee_oa_risk.vocabulary import matrix_codes
from pipelines.knee_oa_risk.window import HORIZONS, WEEKS

Floats = NDArray[np.float64]

SIMULATED_LIMIT = "The model was trained on a simulated population; its risks say nothing about real patients."
LEVEL = 0.9  # nominal coverage of the intervals


@dataclass(frozen=True)
class RiskCalibration:
    """logit(calibrated risk) = intercept + slope * logit(risk), per horizon."""

    intercept: tuple[float, ...] = (0.0,) * len(HORIZONS)
    slope: tuple[float, ...] = (1.0,) * len(HORIZONS)
    source: str = ""  # what it was fitted on, for the report

    def apply(self, risk: Floats) -> Floats:
        """Calibrated risks, (..., H) -> (..., H); a later horizon is never below an earlier one."""
        out = expit(np.asarray(self.intercept) + np.asarray(self.slope) * logit(risk))
        return np.maximum.accumulate(out, axis=-1)

    @classmethod
    def read(cls, path: Path) -> RiskCalibration:
        """The calibration that `write` wrote.

        Raises
        ------
        ValueError
            If the file holds none.
        """
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            return cls(tuple(row["intercept"]), tuple(row["slope"]), row["source"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path}: should be what condyle train --recalibrate wrote") from None

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class EnsembleDescription:
    """What goes with the weights."""

    codes: int
    values: int
    members: int
    seed: int
    persons: int
    vocabulary: str
    calibration: RiskCalibration
    interval_scale: tuple[float, ...]  # conformal factor on the spread of the ensemble, per horizon
    interval_floor: float  # spread, in logits, that is added in quadrature
    peers: list[dict[str, Any]] = field(default_factory=list)  # risks of people of one age band and sex
    trained_on: str = SIMULATED
    people: str = "simulated "  # what stands before women, men or people where peers are named
    limit: str = SIMULATED_LIMIT
    intervals: str = "split conformal prediction against the known risk"
    measured: list[dict[str, Any]] = field(default_factory=list)  # on people held out, where records were trained on
    data_sha256: str = ""  # of the files of those records


@dataclass(frozen=True)
class Risk:
    """Risks of N people at each horizon, (N, H), with their 90 % intervals."""

    value: Floats
    lower: Floats
    upper: Floats


class Ensemble:
    """Several networks of one shape, trained from different seeds."""

    def __init__(self, networks: list[RiskNetwork], card: EnsembleDescription) -> None:
        self.networks = [network.eval() for network in networks]
        self.description = card

    @classmethod
    def load(cls, bundle: Path = BUNDLE) -> Ensemble:
        """The ensemble in a bundle folder.

        Raises
        ------
        UnusableBundle
            If a file is missing or damaged, or it was trained with another vocabulary than this version has.
        """
        try:
            row = json.loads((bundle / DESCRIPTION).read_text(encoding="utf-8"))
            calibration = RiskCalibration(**{key: _tuple(value) for key, value in row.pop("calibration").items()})
            card = EnsembleDescription(calibration=calibration, interval_scale=tuple(row.pop("interval_scale")), **row)
        except OSError as error:
            raise UnusableBundle(f"{bundle / DESCRIPTION}: cannot be read: {error.strerror}") from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UnusableBundle(f"{bundle / DESCRIPTION}: does not describe a model of this version") from error
        if (card.codes, card.values) != (len(matrix_codes()), len(STATIC_NAMES)):
            raise UnusableBundle(
                f"{bundle}: trained on {card.codes} codes and {card.values} values, this version has "
                f"{len(matrix_codes())} and {len(STATIC_NAMES)}; train it again"
            )
        networks = []
        try:
            weights = load_file(bundle / WEIGHTS)
            for number in range(card.members):
                network = RiskNetwork(card.codes, card.values)
                mark = f"{number}."
                network.load_state_dict({k.removeprefix(mark): v for k, v in weights.items() if k.startswith(mark)})
                networks.append(network)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise UnusableBundle(f"{bundle / WEIGHTS}: does not hold the weights of these networks: {error}") from error
        return cls(networks, card)

    def save(self, bundle: Path) -> None:
        """Write weights and card into a bundle folder."""
        bundle.mkdir(parents=True, exist_ok=True)
        weights = {
            f"{number}.{key}": value.contiguous()
            for number, network in enumerate(self.networks)
            for key, value in network.state_dict().items()
        }
        save_file(weights, bundle / WEIGHTS)
        (bundle / WEIGHTS).chmod(0o644)  # save_file leaves it to its owner
        (bundle / DESCRIPTION).write_text(json.dumps(asdict(self.description), indent=1) + "\n", encoding="utf-8")

    def members_risk(self, batch: Batch, chunk: int = 1024) -> Floats:
        """Uncalibrated risk of each member, (M, N, H)."""
        out = np.zeros((len(self.networks), len(batch), len(HORIZONS)))
        for first in range(0, len(batch), chunk):
            persons = np.arange(first, min(first + chunk, len(batch)))
            matrix = cells(batch, persons)
            static = torch.from_numpy(batch.static[persons])
            with torch.inference_mode():
                for number, network in enumerate(self.networks):
                    out[number, persons] = horizons(network(matrix, static)).double().numpy()
        return out

    def risk(self, batch: Batch, site: RiskCalibration | None = None) -> Risk:
        """Calibrated risks with intervals; `site` is a site's own recalibration on top."""
        value, spread = self.centre(self.members_risk(batch))
        half = np.asarray(self.description.interval_scale) * np.sqrt(spread**2 + self.description.interval_floor**2)
        ends = [expit(logit(value) + sign * half) for sign in (0, -1, 1)]
        if site is not None:
            ends = [site.apply(end) for end in ends]
        return Risk(*ends)

    def centre(self, members: Floats) -> tuple[Floats, Floats]:
        """Calibrated risk of the ensemble and the spread of its members in logits: (M, N, H) -> 2 x (N, H)."""
        logits = logit(members)
        return self.description.calibration.apply(expit(logits.mean(axis=0))), logits.std(axis=0)


def cells(batch: Batch, persons: NDArray[np.int64]) -> Cells:
    """The filled cells of `persons` as tensors."""
    number, where = batch.cells(persons)
    return Cells(
        torch.from_numpy(number),
        torch.from_numpy(batch.row[where]),
        torch.from_numpy(batch.week[where]),
        torch.from_numpy(batch.value[where]),
        persons=len(persons),
        weeks=WEEKS,
    )


def horizons(log_hazards: torch.Tensor) -> torch.Tensor:
    """(N, YEARS, CAUSES) -> risk at each horizon (N, H)."""
    return cumulative_incidence(log_hazards)[:, [year - 1 for year in HORIZONS]]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
