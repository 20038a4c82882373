"""The trained classifier as the pipeline uses it: what it answers, and why it abstains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from pipelines.bundle_configs import UnusableBundle, parser, read_config, read_metadata, trained_on
from pipelines.joint_classification.classes import CLASSES, NAMES
from pipelines.joint_classification.kinds import BUNDLE, CALIBRATION, GATE, KINDS, MAP, Dimensions

if TYPE_CHECKING:
    from pipelines.joint_classification.answers import NetworkAnswers
    from pipelines.joint_classification.calibration import ClassCalibration
    from pipelines.joint_classification.gate import Gate
    from pipelines.joint_classification.inferer import AnswerInferer
    from pipelines.joint_classification.latent_map import LatentMap
    from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder

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
    """What goes with the weights, from metadata and inference config of the bundle."""

    dimensions: Dimensions
    channels: list[int]
    inputs: str  # of a volume: grey, mask or product; of an image: grey
    trained_on: str
    training: dict[str, Any]  # schedule, seeds and counts
    foreign_p: float  # p-values below this are foreign
    entropy_limit: float  # entropies above this are uncertain
    error_limit: float  # drawing error that 97 % of known cases stay under, for the sentence
    likelihood_ratios: dict[str, list[float]]
    heat_method: str = "Grad-CAM++"

    # plain values under `judgement` of the inference config
    JUDGEMENT = ("foreign_p", "entropy_limit", "error_limit", "likelihood_ratios", "heat_method")

    @property
    def judgement(self) -> dict[str, Any]:
        """The values that the inference config has."""
        return {name: getattr(self, name) for name in self.JUDGEMENT}


class Classifier:
    """A trained network with its calibration, gate and map. Thread-safe once loaded; uses no randomness.

    Parameters
    ----------
    card
        Its limits, and what it was trained on.
    network
        Trained; put into evaluation mode, its weights frozen.
    gate, calibration, latent_map
        Fitted to it.
    inferer
        How it is asked.
    """

    def __init__(
        self,
        card: ClassifierCard,
        network: ConvolutionalSupervisedAutoEncoder,
        gate: Gate,
        calibration: ClassCalibration,
        latent_map: LatentMap,
        inferer: AnswerInferer,
    ) -> None:
        self.card = card
        self.dimensions = card.dimensions
        self.network = network.eval()
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        self.gate, self.calibration, self.map, self.inferer = gate, calibration, latent_map, inferer
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
        return self.judged(self.inferer.ask(prepared, self.network), prepared)

    def judged(self, answers: NetworkAnswers, prepared: NDArray[np.float32]) -> Classification:
        """What the network's answers to prepared images (N, 1, ...) mean."""
        from pipelines.joint_classification.gate import entropy
        from pipelines.joint_classification.signs import measure

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

    def take_remarks(self) -> tuple[str, ...]:
        """What had to be done otherwise since the last call, for the report."""
        remarks = tuple(self.inferer.remarks)
        self.inferer.remarks.clear()
        return remarks

    def attention(self, image: NDArray[np.float32], condition: int) -> NDArray[np.float32]:
        """Where the network looked for class number `condition`: 0..1, in the shape of `image`, (H, W) or (D, H, W)."""
        import torch

        from pipelines.joint_classification.attention import METHODS, scaled
        from pipelines.joint_classification.prepare import spread_over

        x = torch.from_numpy(self._prepared(image)[None]).to(next(self.network.parameters()).device)
        return spread_over(scaled(METHODS[self.heat_method](self.network, x, condition)), image.shape)

    def neighbours(self, image: NDArray[np.float32], number: int = 5) -> tuple[Neighbour, ...]:
        """The known cases nearest to one image, nearest first."""
        latent = self.inferer.ask(self._prepared(image)[None], self.network).latent[0]
        nearest, distance = self.map.nearest(latent, number)
        return tuple(
            Neighbour(f"S-{k:04d}", CLASSES[self.map.conditions[k]], float(d), float(self.map.severity[k]))
            for k, d in zip(nearest, distance, strict=True)
        )

    def _prepared(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        from pipelines.joint_classification.prepare import INPUTS, prepare

        return prepare(image, INPUTS[self.card.inputs])[None]


def load(dimensions: Dimensions, bundle: Path = BUNDLE, device: str = "cpu") -> Classifier:
    """The trained classifier for images (2) or volumes (3) in a folder of bundles.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    bundle
        The folder, with one bundle for each network.
    device
        Where it computes; see `pipelines.device`.

    Raises
    ------
    UnsuitableInput
        If the folder has no such bundle.
    UnusableBundle
        If the bundle is not whole, or calls what the shipped one does not.
    UnusableDevice
        If the device is not there.
    """
    from safetensors.numpy import load_file

    from pipelines.device import resolved
    from pipelines.joint_classification.calibration import ClassCalibration
    from pipelines.joint_classification.gate import Gate
    from pipelines.joint_classification.latent_map import LatentMap

    folder = bundle / KINDS[dimensions]
    if not folder.is_dir():
        kind = "images" if dimensions == 2 else "volumes"
        raise UnsuitableInput(f"{bundle}: there is no trained model for {kind} here; condyle train makes one")
    card = read_card(dimensions, bundle)
    where = resolved(device)
    config = parser(folder, BUNDLE / KINDS[dimensions], device=str(where))
    try:
        calibration, gate, latent_map = (load_file(folder / name) for name in (CALIBRATION, GATE, MAP))
        network = config.get_parsed_content("network").to(where)
    except FileNotFoundError as error:
        raise UnusableBundle(f"{folder}: {error}") from error
    return Classifier(
        card,
        network,
        Gate.of(_real(gate)),
        ClassCalibration.of(_real(calibration)),
        LatentMap.of(latent_map),
        config.get_parsed_content("inferer"),
    )


def read_card(dimensions: Dimensions, bundle: Path = BUNDLE) -> ClassifierCard:
    """What a bundle says of its network, for images (2) or volumes (3), without building it.

    Raises
    ------
    UnusableBundle
        If the bundle does not say so.
    """
    folder = bundle / KINDS[dimensions]
    config, metadata = read_config(folder, BUNDLE / KINDS[dimensions]), read_metadata(folder)
    try:
        judgement = config["judgement"]
        return ClassifierCard(
            dimensions,
            list(config["network_def"]["channels"]),
            str(config["inputs"]),
            trained_on(folder),
            dict(metadata["training"]),
            **{name: judgement[name] for name in ClassifierCard.JUDGEMENT},
        )
    except KeyError as error:
        raise UnusableBundle(f"{folder}: its configs lack {error.args[0]}; train the bundle again") from None


def _real(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Array]:
    return {name: np.asarray(value, np.float64) for name, value in arrays.items()}


def _share(p_value: float) -> str:
    return f"{100 * p_value:.1f} %" if p_value >= 0.001 else "Under 0.1 %"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _weighted_median(values: Array, share: Array) -> NDArray[np.float64]:
    order = np.argsort(values, kind="stable")
    return np.asarray(values[order][np.searchsorted(np.cumsum(share[order]), 0.5 - 1e-12)])
