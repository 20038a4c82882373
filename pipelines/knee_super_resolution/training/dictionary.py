"""Coupled dictionaries of the sparse-coding rival (Yang 2010, in the form of Zeyde 2010): learned, saved, loaded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from pipelines.knee_super_resolution.degradation import (
    SliceProfile,
    along_slices,
    coarse_positions,
    forward_matrix,
    spline_matrix,
)
from pipelines.knee_super_resolution.training.volumes import ThinVolume

# ---- sparse coding (Yang 2010, in the form of Zeyde 2010: the dictionary predicts what the interpolation lacks)
PATCH = 5
FEATURES = 28  # principal components of the derivative features
ATOMS = 256
SPARSITY = 0.15  # lambda of the lasso, on features of unit norm
SHRINKAGE_STEPS = 12
LEARNED_FROM = 12_000  # patches that the low dictionary is learned from; the high one is fitted to all
FLAT = 0.02  # patches whose derivatives are smaller (scaled intensity) are left as interpolated


@dataclass(frozen=True)
class Dictionary:
    """Coupled dictionaries for one factor."""

    components: Tensor  # (FEATURES, 4 * PATCH * PATCH)
    low: Tensor  # (ATOMS, FEATURES), unit norm
    high: Tensor  # (ATOMS, PATCH * PATCH)


def train_dictionary(volumes: Sequence[ThinVolume], factor: int, seed: int, patches: int = 60_000) -> Dictionary:
    """Coupled dictionaries from thin volumes: low by scikit-learn's dictionary learning, high by least squares.

    Parameters
    ----------
    volumes
        To learn from.
    factor
        Thin slices per thick slice.
    seed
        Of patches and first atoms.
    patches
        How many are learned from.
    """
    from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
    from sklearn.exceptions import ConvergenceWarning

    random = np.random.default_rng([seed, factor])
    features: list[Tensor] = []
    residuals: list[Tensor] = []
    while sum(len(each) for each in features) < patches:
        volume = volumes[int(random.integers(len(volumes)))]
        low, high = _pairs(volume, factor, random)
        features.append(low)
        residuals.append(high)
    x, y = torch.cat(features)[:patches], torch.cat(residuals)[:patches]
    components = torch.from_numpy(PCA(FEATURES, random_state=seed).fit(x.numpy()).components_.astype(np.float32))
    reduced = x @ components.T
    norm = reduced.norm(dim=1, keepdim=True).clamp(min=1e-6)
    learner = MiniBatchDictionaryLearning(
        ATOMS, alpha=SPARSITY, batch_size=512, max_iter=2, random_state=seed, fit_algorithm="cd"
    )
    with warnings.catch_warnings():
        # the last digits of a mini-batch's code do not matter to the dictionary
        warnings.simplefilter("ignore", ConvergenceWarning)
        atoms = learner.fit((reduced / norm)[:LEARNED_FROM].double().numpy()).components_.astype(np.float32)
    atoms /= np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-6)
    dictionary = Dictionary(components, torch.from_numpy(atoms), torch.zeros(ATOMS, PATCH * PATCH))
    codes, norms = sparse_codes(x, dictionary)
    weighted = codes * norms  # the residual is in proportion to the contrast
    gram = weighted.T @ weighted
    ridge = 1e-3 * gram.diagonal().mean() * torch.eye(ATOMS)
    return Dictionary(components, dictionary.low, torch.linalg.solve(gram + ridge, weighted.T @ y))


def _pairs(volume: ThinVolume, factor: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Features and residuals of random patches of one degraded plane that has something in it."""
    axis = int(random.choice(volume.thin_axes))
    turned = np.moveaxis(volume.array, axis, 0)
    if random.random() < 0.5:
        turned = turned.transpose(0, 2, 1)
    plane = turned[:, :, int(random.integers(turned.shape[2] // 5, turned.shape[2] - turned.shape[2] // 5))]
    coarse = coarse_positions(len(plane), factor)
    fine = np.arange(coarse[-1] + 1)
    forward = forward_matrix(np.arange(len(plane), dtype=float), coarse, SliceProfile("fir"))
    interpolated = along_slices(spline_matrix(coarse, fine), along_slices(forward, plane[:, :, None]))[:, :, 0]
    truth = torch.from_numpy(np.ascontiguousarray(plane[: len(fine)]))
    image = torch.from_numpy(np.ascontiguousarray(interpolated))
    features = functional.unfold(derivatives(image[None]), PATCH)[0].T
    residual = functional.unfold((truth - image)[None, None], PATCH)[0].T
    active = torch.nonzero(features.abs().amax(dim=1) > FLAT)[:, 0]
    chosen = active[torch.from_numpy(random.permutation(len(active))[:800])]
    return features[chosen], residual[chosen]


def derivatives(planes: Tensor) -> Tensor:
    """First and second derivatives along both directions: (N, H, W) to (N, 4, H, W)."""
    first = torch.tensor([-1.0, 0.0, 1.0])
    second = torch.tensor([1.0, 0.0, -2.0, 0.0, 1.0])
    padded = functional.pad(planes[:, None], (2, 2, 2, 2), mode="replicate")
    out = []
    for kernel in (first, second):
        trim = (5 - len(kernel)) // 2
        down = functional.conv2d(padded, kernel[None, None, :, None])
        across = functional.conv2d(padded, kernel[None, None, None, :])
        out.append(down[:, :, trim : down.shape[2] - trim, 2:-2])
        out.append(across[:, :, 2:-2, trim : across.shape[3] - trim])
    return torch.cat(out, dim=1)


def sparse_codes(features: Tensor, dictionary: Dictionary) -> tuple[Tensor, Tensor]:
    """Lasso codes of features, by accelerated iterative shrinkage, and the norms they were divided by."""
    reduced = features @ dictionary.components.T
    norm = reduced.norm(dim=1, keepdim=True).clamp(min=1e-6)
    target = (reduced / norm) @ dictionary.low.T
    gram = dictionary.low @ dictionary.low.T
    step = 1 / float(torch.linalg.matrix_norm(gram, 2))
    codes = momentum = torch.zeros_like(target)
    speed = 1.0
    for _ in range(SHRINKAGE_STEPS):
        moved = momentum - step * (momentum @ gram - target)
        shrunk = functional.softshrink(moved, step * SPARSITY)
        faster = (1 + (1 + 4 * speed**2) ** 0.5) / 2
        momentum = shrunk + (speed - 1) / faster * (shrunk - codes)
        codes, speed = shrunk, faster
    return codes, norm


def save_dictionary(dictionary: Dictionary, factor: int, folder: Path) -> None:
    """Write the dictionaries of a factor in half precision.

    Parameters
    ----------
    dictionary
        Of pairs of thick and thin patches.
    factor
        That it was trained for; part of the file's name.
    folder
        Where `load_dictionary` will look.
    """
    save_file(
        {name: getattr(dictionary, name).half().contiguous() for name in ("components", "low", "high")},
        folder / f"scsr_{factor}.safetensors",
    )


def load_dictionary(factor: int, folder: Path) -> Dictionary:
    """The dictionaries trained for a factor.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    tensors = load_file(folder / f"scsr_{factor}.safetensors")
    return Dictionary(*(tensors[name].float() for name in ("components", "low", "high")))
