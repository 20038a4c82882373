"""How the joints of a limb lie to each other: a point distribution model, fitted robustly to what the network saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.sites import SITES, Part

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """Turn, scale and shift: model mm of a mean adult to pixels."""

    scale: float
    angle: float
    shift: tuple[float, float]

    def apply(self, points: Points) -> Points:
        """Pixels (N, 2) of (N, 2) points in model mm."""
        c, s = self.scale * np.cos(self.angle), self.scale * np.sin(self.angle)
        return np.asarray(points @ np.array([[c, s], [-s, c]]) + np.asarray(self.shift))

    def invert(self, points: Points) -> Points:
        """Model mm (N, 2) of (N, 2) points in pixels."""
        c, s = np.cos(self.angle) / self.scale, np.sin(self.angle) / self.scale
        return np.asarray((points - np.asarray(self.shift)) @ np.array([[c, -s], [s, c]]))


@dataclass(frozen=True)
class ShapeModel:
    """Mean arrangement of the sites of a part and the modes in which it varies; mm of a mean adult."""

    part: Part
    mean: Points  # (S, 2)
    modes: Points  # (M, 2 S), orthonormal
    spread: Points  # (M,) standard deviation along each mode
    rest: float  # mm, spread of a coordinate that the modes leave unexplained

    def shape(self, weights: Points) -> Points:
        """Sites (S, 2) for the mode weights (M,)."""
        return np.asarray(self.mean + (weights @ self.modes).reshape(-1, 2))

    def weights(self, points: Points, trust: Points, noise: float) -> Points:
        """The mode weights that best explain where the sites were seen.

        Parameters
        ----------
        points
            (S, 2) sites in model mm.
        trust
            (S,) weight of each.
        noise
            Standard deviation of a coordinate, mm.

        Returns
        -------
        Points
            (M,) weights, within three standard deviations.
        """
        w = np.repeat(trust, 2) / noise**2
        modes = self.modes
        system = (modes * w) @ modes.T + np.diag(1 / self.spread**2)
        found = np.linalg.solve(system, (modes * w) @ (points - self.mean).ravel())
        return np.asarray(np.clip(found, -3 * self.spread, 3 * self.spread))


def align(source: Points, target: Points, trust: Points) -> Similarity:
    """The similarity, without mirror, that carries one arrangement onto another with least weighted squared distance.

    Parameters
    ----------
    source
        (S, 2) points.
    target
        (S, 2) points.
    trust
        (S,) weight of each pair.
    """
    total = trust.sum()
    middle_s, middle_t = (trust @ source) / total, (trust @ target) / total
    a, b = source - middle_s, target - middle_t
    power = float((trust @ (a**2)).sum())
    real = float(trust @ (a * b).sum(axis=1))
    imaginary = float(trust @ (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]))
    scale, angle = float(np.hypot(real, imaginary) / max(power, 1e-9)), float(np.arctan2(imaginary, real))
    shift = middle_t - Similarity(scale, angle, (0.0, 0.0)).apply(middle_s[None])[0]
    return Similarity(max(scale, 1e-9), angle, (float(shift[0]), float(shift[1])))


def load_shapes(path: str | Path) -> dict[Part, ShapeModel]:
    """The shape models of hand and foot in one file."""
    with np.load(path) as stored:
        return {part: _read_model(part, stored) for part in SITES}


def _read_model(part: Part, stored: Mapping[str, Points]) -> ShapeModel:
    mean, modes, spread = (stored[f"{part}.{key}"].astype(np.float64) for key in ("mean", "modes", "spread"))
    return ShapeModel(part, mean, modes, spread, float(stored[f"{part}.rest"]))


@dataclass(frozen=True)
class Candidates:
    """Where the network may have seen each site: up to K peaks of its class map."""

    points: Points  # (S, K, 2) pixels
    scores: Points  # (S, K) 0..1, 0 where there is no peak


@dataclass(frozen=True)
class Fit:
    """An arrangement that the candidates support."""

    sites: Points  # (S, 2) pixels, where the model puts every site
    similarity: Similarity
    support: Points  # (S,) 0..1: how well a candidate confirms the site
    quality: float  # mean support
    strain: float  # root mean square of the mode weights in standard deviations: an unlikely pose is strained


TOLERANCE_MM = 9.0  # distance at which a candidate still speaks for the first, rigid guess
NARROW_MM = 3.5  # and at the end, for the deformed shape
MAX_TURN = np.radians(75)
LEAST_SPAN_MM = 18  # between two sites whose peaks propose where the limb lies


def fit(model: ShapeModel, candidates: Candidates, rng: np.random.Generator, tries: int = 240) -> Fit | None:
    """The arrangement with the most support.

    Pairs of peaks propose a similarity. The best proposal is then deformed along the modes, while candidates far from
    it lose their weight.

    Parameters
    ----------
    model
        Of hand or foot.
    candidates
        Peaks of the class maps.
    rng
        Draws the pairs.
    tries
        Number of pairs.

    Returns
    -------
    Fit or None
        None if fewer than four sites were seen at all.
    """
    first, score = candidates.points[:, 0], candidates.scores[:, 0]
    seen = np.flatnonzero(score > 0.05)
    if seen.size < 4:
        return None
    chance = score[seen] / score[seen].sum()
    drawn = np.array([rng.choice(seen, 2, replace=False, p=chance) for _ in range(tries)])
    spans = model.mean[drawn[:, 0]] - model.mean[drawn[:, 1]]
    pairs = drawn[np.hypot(spans[:, 0], spans[:, 1]) >= LEAST_SPAN_MM]
    scale, angle, shift = _proposals(model.mean[pairs], first[pairs])
    upright = np.abs(angle) <= MAX_TURN
    if not upright.any():
        return None
    scale, angle, shift = scale[upright], angle[upright], shift[upright]
    sites = _turned(model.mean, scale, angle) + shift[:, None]
    voices = _voices(sites, candidates, (scale * TOLERANCE_MM)[:, None, None])
    best = int(voices.max(axis=-1).sum(axis=-1).argmax())
    x, y = shift[best]
    return _refine(model, candidates, Similarity(float(scale[best]), float(angle[best]), (float(x), float(y))))


def _proposals(source: Points, target: Points) -> tuple[Points, Points, Points]:
    """Scales (N,), angles (N,) and shifts (N, 2) that carry each pair of points (N, 2, 2) onto its target."""
    middle_s, middle_t = source.mean(axis=1, keepdims=True), target.mean(axis=1, keepdims=True)
    a, b = source - middle_s, target - middle_t
    real = (a * b).sum(axis=-1).sum(axis=-1)
    imaginary = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(axis=-1)
    power = (a**2).sum(axis=1).sum(axis=-1)
    scale, angle = np.hypot(real, imaginary) / power, np.arctan2(imaginary, real)
    return np.maximum(scale, 1e-9), angle, (middle_t - _turned(middle_s, scale, angle))[:, 0]


def _turned(points: Points, scale: Points, angle: Points) -> Points:
    """Points (S, 2), or (N, S, 2), turned and scaled by each of N proposals, (N, S, 2)."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.asarray(points @ np.stack([c, s, -s, c], axis=-1).reshape(-1, 2, 2))


def _voices(sites: Points, candidates: Candidates, reach: float | Points) -> Points:
    """How much each candidate (..., S, K) speaks for each site (..., S, 2)."""
    squared = ((candidates.points - sites[..., None, :]) ** 2).sum(axis=-1) / reach**2
    return np.asarray(candidates.scores / (1 + squared) ** 2)


def _support(sites: Points, candidates: Candidates, reach: float) -> tuple[NDArray[np.intp], Points]:
    """Index (S,) of the candidate that supports each site most, and (S,) how much."""
    voice = _voices(sites, candidates, reach)
    index = voice.argmax(axis=1)
    return index, np.asarray(voice[np.arange(len(index)), index])


def _refine(model: ShapeModel, candidates: Candidates, similarity: Similarity) -> Fit:
    weights = np.zeros(len(model.spread))
    reaches = np.geomspace(TOLERANCE_MM, NARROW_MM, 10)
    for reach in reaches:
        sites = similarity.apply(model.shape(weights))
        index, voice = _support(sites, candidates, similarity.scale * reach)
        chosen = candidates.points[np.arange(len(index)), index]
        trust = voice + 1e-4
        similarity = align(model.shape(weights), chosen, trust)
        weights = model.weights(similarity.invert(chosen), trust, noise=max(1.5, model.rest))
    sites = similarity.apply(model.shape(weights))
    _, voice = _support(sites, candidates, similarity.scale * NARROW_MM)
    strain = float(np.sqrt(np.mean((weights / model.spread) ** 2)))
    return Fit(sites, similarity, voice, float(voice.mean()), strain)
