"""The trained classifier as the pipeline uses it: what it answers, and why it abstains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification import BUNDLE
from pipelines.joint_classification.classes import CLASSES, NAMES

Array = NDArray[np.float64]

# Standard deviations either side that hold 90 % of a Gaussian: rounded, since `scipy.special.ndtri(0.95)` would change
# the intervals of a cine in the report.
SPREAD_90 = 1.645


@dataclass(frozen=True)
class Classification:
    """What network and gate give for N images: one row for each, classes in the order of `CLASSES`."""

    probabilities: Array  # (N, 3), calibrated; rows add to 1
    intervals: Array  # (N, 3, 2): lower and upper end of each probability's 90 % interval
    entropy: Array  # (N,), of `probabilities`, divided by log 3: 0 certain, 1 knows nothing
    reconstruction_error: Array  # (N,), mean square error of the drawing, on the normalised image
    p_value: Array  # (N,), conformal: share of known cases at least as far off; small is foreign
    position: Array  # (N, 2), in the latent map

    def __len__(self) -> int:
        return len(self.entropy)

    def take(self, index: NDArray[np.int64]) -> Classification:
        """The images at `index`, in that order."""
        return Classification(
            self.probabilities[index],
            self.intervals[index],
            self.entropy[index],
            self.reconstruction_error[index],
            self.p_value[index],
            self.position[index],
        )


@dataclass(frozen=True)
class JointVerdict:
    """Whether the three classes may be spoken of at all."""

    determined: bool
    reason: Literal["", "foreign", "uncertain"]  # foreign: not like the known cases; uncertain: like several classes
    sentence: str  # for the radiologist, with the figures behind it; "" where determined


@dataclass(frozen=True)
class Neighbour:
    """A known case near the new one in the latent space."""

    identifier: str  # of the case in the bundle, e.g. "S-0412"
    condition: str  # one of `CLASSES`
    distance: float  # in the latent space, in units of the median distance between known neighbours
    severity: float  # 0..1, as simulated


@dataclass(frozen=True)
class Background:
    """The known cases behind the latent map."""

    positions: Array  # (K, 2)
    conditions: NDArray[np.int64]  # (K,) index into `CLASSES`


@dataclass(frozen=True)
class ClassifierCard:
    """What goes with the weights."""

    dimensions: int
    channels: list[int]
    inputs: str  # of a volume: grey, mask or product; of an image: grey
    trained_on: str
    training: dict[str, Any]  # schedule, seeds and counts
    foreign_p: float  # p-values below this are foreign
    entropy_limit: float  # entropies above this are uncertain
    error_limit: float  # drawing error that 97 % of known cases stay under, for the sentence
    likelihood_ratios: dict[str, list[float]]
    heat_method: str = "Grad-CAM++"
    versions: dict[str, str] = field(default_factory=dict)


class Classifier:
    """A trained network with its calibration, gate and map. Thread-safe once loaded; uses no randomness."""

    def __init__(self, card: ClassifierCard, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        import torch  # at use, not at import: the pipeline's module is looked at by processes that never infer

        from pipelines.joint_classification.calibration import ClassCalibration
        from pipelines.joint_classification.gate import Gate
        from pipelines.joint_classification.latent_map import LatentMap
        from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder

        self.card = card
        self.dimensions: Literal[2, 3] = 2 if card.dimensions == 2 else 3
        self.network = ConvolutionalSupervisedAutoEncoder(self.dimensions, channels=card.channels)
        self.network.load_state_dict(
            {name: torch.from_numpy(value.astype(np.float32)) for name, value in _part(arrays, "network").items()}
        )
        self.network.eval()
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        self.gate = Gate.of(_real(_part(arrays, "gate")))
        self.calibration = ClassCalibration.of(_real(_part(arrays, "calibration")))
        self.map = LatentMap.of(_part(arrays, "map"))
        self.background = Background(self.map.positions, self.map.conditions)
        self.likelihood_ratios = {name: (row[0], row[1], row[2]) for name, row in card.likelihood_ratios.items()}
        self.trained_on = card.trained_on
        self.heat_method = card.heat_method

    def classify(self, images: NDArray[np.float32]) -> Classification:
        """Classify images.

        Parameters
        ----------
        images
            2-D: (N, H, W) grey values in 0..1, any size: resized and normalised here. 3-D: (N, D, H, W) density,
            resized, masked and normalised here.
        """
        return self.judge(np.stack([self._prepared(image) for image in images]))

    def judge(self, prepared: NDArray[np.float32]) -> Classification:
        """`classify` for images (N, 1, ...) that `prepare` has made already."""
        from pipelines.joint_classification.answers import ask
        from pipelines.joint_classification.gate import entropy
        from pipelines.joint_classification.signs import measure

        answers = ask(self.network, prepared)
        probabilities = self.calibration.probabilities(answers.logits)
        return Classification(
            probabilities,
            self.calibration.intervals(probabilities),
            entropy(probabilities),
            answers.error,
            self.gate.p_value(answers.statistics, answers.foreign, measure(prepared)),
            self.map.place(answers.latent),
        )

    def combine(self, classification: Classification, weight: Array) -> Classification:
        """One row for several images of one joint, by votes with (N,) non-negative weights.

        Probabilities are the weighted mean. An interval joins what one image leaves open, less the more images there
        are in effect, with how far the images disagree. The p-value is the weighted median: a few foreign frames in a
        cine do not make it foreign.
        """
        from pipelines.joint_classification.calibration import log_odds, probability
        from pipelines.joint_classification.gate import entropy

        share = np.asarray(weight, np.float64) / np.sum(weight)
        effective = 1.0 / float(np.square(share).sum())
        p = share @ classification.probabilities
        odds = log_odds(classification.probabilities)
        middle = log_odds(p)
        apart = np.sqrt(share @ np.square(odds - share @ odds))
        alone = share @ self.calibration.width(classification.probabilities)
        width = np.sqrt(alone**2 / effective + (SPREAD_90 * apart) ** 2 / effective)
        return Classification(
            p[None],
            np.stack([probability(middle - width), probability(middle + width)], axis=1)[None],
            entropy(p[None]),
            (share @ classification.reconstruction_error)[None],
            _weighted_median(classification.p_value, share)[None],
            (share @ classification.position)[None],
        )

    def verdict(self, classification: Classification) -> JointVerdict:
        """Determined or not, for a classification of one row."""
        (p_value,), (doubt,) = classification.p_value, classification.entropy
        if p_value < self.card.foreign_p:
            error, limit = float(classification.reconstruction_error[0]), self.card.error_limit
            drawn = f"it is drawn again with an error of {error:.2f}, {'over' if error > limit else 'within'} the "
            return JointVerdict(
                False,
                "foreign",
                "Undetermined: not like the cases the model knows (rheumatoid or psoriatic arthritis, healthy). "
                f"{_share(p_value)} of known cases lie as far off (limit {_percent(self.card.foreign_p)}); {drawn}"
                f"{limit:.2f} that 97 % of known cases stay under.",
            )
        if doubt > self.card.entropy_limit:
            order = np.argsort(classification.probabilities[0])[::-1]
            names = [f"{NAMES[CLASSES[c]]} {_percent(classification.probabilities[0, c])}" for c in order]
            return JointVerdict(
                False,
                "uncertain",
                f"Undetermined: like several classes ({', '.join(names)}). Entropy {doubt:.2f}, limit "
                f"{self.card.entropy_limit:.2f}.",
            )
        return JointVerdict(True, "", "")

    def attention(self, image: NDArray[np.float32], condition: int) -> NDArray[np.float32]:
        """Where the network looked for class number `condition`: 0..1, in the shape of `image`, (H, W) or (D, H, W)."""
        import torch

        from pipelines.joint_classification.attention import METHODS, scaled
        from pipelines.joint_classification.prepare import spread_over

        x = torch.from_numpy(self._prepared(image)[None])
        return spread_over(scaled(METHODS[self.heat_method](self.network, x, condition)), image.shape)

    def neighbours(self, image: NDArray[np.float32], number: int = 5) -> tuple[Neighbour, ...]:
        """The known cases nearest to one image, nearest first."""
        from pipelines.joint_classification.answers import ask

        latent = ask(self.network, self._prepared(image)[None]).latent[0]
        nearest, distance = self.map.nearest(latent, number)
        return tuple(
            Neighbour(f"S-{k:04d}", CLASSES[self.map.conditions[k]], float(d), float(self.map.severity[k]))
            for k, d in zip(nearest, distance, strict=True)
        )

    def _prepared(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        from pipelines.joint_classification.prepare import INPUTS, prepare

        return prepare(image, INPUTS[self.card.inputs])[None]

    # ---- bundle
    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that was learned, by name."""
        parts: dict[str, Mapping[str, NDArray[np.generic]]] = {
            "network": {name: value.numpy() for name, value in self.network.state_dict().items()},
            "gate": self.gate.arrays(),
            "calibration": self.calibration.arrays(),
            "map": self.map.arrays(),
        }
        return {f"{part}.{name}": value for part, row in parts.items() for name, value in row.items()}

    def save(self, bundle: Path) -> None:
        """Write weights and card into a bundle folder."""
        from safetensors.numpy import save_file

        bundle.mkdir(parents=True, exist_ok=True)
        small = {name: np.ascontiguousarray(_narrow(value)) for name, value in self.arrays().items()}
        save_file(small, weights_file(bundle, self.dimensions))
        card_file(bundle, self.dimensions).write_text(json.dumps(asdict(self.card), indent=1) + "\n", encoding="utf-8")


def weights_file(bundle: Path, dimensions: int) -> Path:
    """Where the weights of a bundle are."""
    return bundle / f"csae_{dimensions}d.safetensors"


def card_file(bundle: Path, dimensions: int) -> Path:
    """Where their description is."""
    return bundle / f"csae_{dimensions}d.json"


def load(dimensions: Literal[2, 3], bundle: Path = BUNDLE) -> Classifier:
    """The trained classifier for images (2) or volumes (3) in a bundle.

    Raises
    ------
    UnsuitableInput
        If the bundle has none.
    """
    from safetensors.numpy import load_file

    kind = "images" if dimensions == 2 else "volumes"
    try:
        card = ClassifierCard(**json.loads(card_file(bundle, dimensions).read_text(encoding="utf-8")))
        arrays = load_file(weights_file(bundle, dimensions))
    except FileNotFoundError as error:
        raise UnsuitableInput(f"there is no trained model for {kind} here; condyle train makes one") from error
    return Classifier(card, arrays)


def _part(arrays: Mapping[str, NDArray[np.generic]], name: str) -> dict[str, NDArray[np.generic]]:
    mark = f"{name}."
    return {key.removeprefix(mark): value for key, value in arrays.items() if key.startswith(mark)}


def _real(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Array]:
    return {name: np.asarray(value, np.float64) for name, value in arrays.items()}


def _narrow(value: NDArray[np.generic]) -> NDArray[np.generic]:
    return value.astype(np.float32) if value.dtype == np.float64 else value


def _share(p_value: float) -> str:
    return f"{100 * p_value:.1f} %" if p_value >= 0.001 else "Under 0.1 %"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _weighted_median(values: Array, share: Array) -> NDArray[np.float64]:
    order = np.argsort(values, kind="stable")
    return np.asarray(values[order][np.searchsorted(np.cumsum(share[order]), 0.5 - 1e-12)])
