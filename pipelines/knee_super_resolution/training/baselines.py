"""The methods that ours is held against, each from thick slices (C, H, W) to thin slices (F, H, W).

Tricubic and Fourier interpolation, sparse coding with coupled dictionaries, DeepResolve trained per ratio, and
self-super-resolution that learns from the planes of the very volume.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from pipelines.knee_super_resolution.degradation import (
    SliceProfile,
    along_slices,
    coarse_positions,
    forward_matrix,
    fourier_matrix,
    projection_matrix,
    spline_matrix,
)
from pipelines.knee_super_resolution.network import RIDGE, DeepResolve
from pipelines.knee_super_resolution.training.volumes import ThinVolume

Array = NDArray[np.float32]
BUNDLE = Path(__file__).parents[1] / "bundle"


@dataclass(frozen=True)
class Task:
    """Thick slices and where the thin ones are wanted."""

    thick: Array  # (C, H, W), scaled
    factor: int
    count: int  # of thin slices, the first at the first thick one
    profile: SliceProfile
    anisotropy: float  # distance of thick slices over the in-plane pixel

    @property
    def coarse(self) -> NDArray[np.floating[Any]]:
        return float(self.factor) * np.arange(len(self.thick))

    @property
    def fine(self) -> NDArray[np.floating[Any]]:
        return np.arange(self.count, dtype=float)


def tci(task: Task) -> Array:
    """Tricubic: a cubic spline along the slices."""
    return along_slices(spline_matrix(task.coarse, task.fine), task.thick)


def fourier(task: Task) -> Array:
    """The slice-direction spectrum, zero-padded."""
    return along_slices(fourier_matrix(task.coarse, task.fine), task.thick)


# ---- DeepResolve
DEEPRESOLVE_VOXELS = 4_000_000  # of a slab: about 2 GB at work


def deepresolve_weights(factor: int) -> Path:
    return BUNDLE / f"deepresolve_{factor}.safetensors"


def deepresolve(task: Task, slab: int | None = None) -> Array:
    """DeepResolve for this factor, whole slabs of thin slices with the field of view of the network on either side.

    Raises
    ------
    FileNotFoundError
        If it was not trained for this factor.
    """
    network = DeepResolve()
    weights = load_file(deepresolve_weights(task.factor))
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    network = network.to(torch.bfloat16).eval()
    interpolated = torch.from_numpy(tci(task))
    slab = slab or max(24, DEEPRESOLVE_VOXELS // interpolated[0].numel())
    field, out = 20, []
    with torch.no_grad():
        for start in range(0, task.count, slab):
            low, high = max(start - field, 0), min(start + slab + field, task.count)
            part = network(interpolated[None, None, low:high].to(torch.bfloat16))[0, 0].float()
            residual = part - interpolated[low:high].to(torch.bfloat16).float()
            kept = slice(start - low, min(start + slab, task.count) - low)
            out.append(interpolated[low:high][kept] + residual[kept])
    whole: Array = torch.cat(out).numpy()
    return whole


# ---- sparse coding (Yang 2010, in the form of Zeyde 2010: the dictionary predicts what the interpolation lacks)
PATCH = 5
FEATURES = 28  # principal components of the derivative features
ATOMS = 256
SPARSITY = 0.15  # lambda of the lasso, on features of unit norm
SHRINKAGE_STEPS = 12
STRIDE = 2
LEARNED_FROM = 12_000  # patches that the low dictionary is learned from; the high one is fitted to all
FLAT = 0.02  # patches whose derivatives are smaller (scaled intensity) are left as interpolated


@dataclass(frozen=True)
class Dictionary:
    """Coupled dictionaries for one factor."""

    components: Tensor  # (FEATURES, 4 * PATCH * PATCH)
    low: Tensor  # (ATOMS, FEATURES), unit norm
    high: Tensor  # (ATOMS, PATCH * PATCH)


def scsr(task: Task) -> Array:
    """Sparse-coding super-resolution on both planes that contain the slice axis, averaged, then back-projected.

    Back-projection is done to its end by the projection that ours uses too.
    """
    dictionary = load_dictionary(task.factor)
    start = tci(task)
    along_h = np.stack([_scsr_plane(plane, dictionary) for plane in np.moveaxis(start, 2, 0)], axis=2)
    along_w = np.stack([_scsr_plane(plane, dictionary) for plane in np.moveaxis(start, 1, 0)], axis=1)
    return back_projected(task, 0.5 * (along_h + along_w))


def back_projected(task: Task, thin: NDArray[np.floating]) -> Array:
    """The nearest volume that gives back the thick slices."""
    forward = forward_matrix(task.fine, task.coarse, task.profile)
    miss = task.thick - along_slices(forward, thin)
    corrected: Array = (thin + along_slices(projection_matrix(forward, RIDGE), miss)).astype(np.float32)
    return corrected


def _derivatives(planes: Tensor) -> Tensor:
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


def _scsr_plane(plane: Array, dictionary: Dictionary) -> Array:
    image = torch.from_numpy(np.ascontiguousarray(plane))[None]
    features = functional.unfold(_derivatives(image), PATCH, stride=STRIDE)[0].T  # (patches, 4 * PATCH * PATCH)
    active = features.abs().amax(dim=1) > FLAT
    patches = torch.zeros(len(features), PATCH * PATCH)
    if active.any():
        codes, norm = _codes(features[active], dictionary)
        patches[active] = (codes @ dictionary.high) * norm
    shape = image.shape[1:]
    summed = functional.fold(patches.T[None], shape, PATCH, stride=STRIDE)[0, 0]
    weight = functional.fold(torch.ones_like(patches).T[None], shape, PATCH, stride=STRIDE)[0, 0]
    predicted: Array = (image[0] + summed / weight.clamp(min=1)).numpy()
    return predicted


def _codes(features: Tensor, dictionary: Dictionary) -> tuple[Tensor, Tensor]:
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


def train_dictionary(volumes: Sequence[ThinVolume], factor: int, seed: int, patches: int = 60_000) -> Dictionary:
    """Coupled dictionaries from thin volumes: low by scikit-learn's dictionary learning, high by least squares."""
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
    codes, norms = _codes(x, dictionary)
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
    features = functional.unfold(_derivatives(image[None]), PATCH)[0].T
    residual = functional.unfold((truth - image)[None, None], PATCH)[0].T
    active = torch.nonzero(features.abs().amax(dim=1) > FLAT)[:, 0]
    chosen = active[torch.from_numpy(random.permutation(len(active))[:800])]
    return features[chosen], residual[chosen]


def save_dictionary(dictionary: Dictionary, factor: int, folder: Path = BUNDLE) -> None:
    save_file(
        {name: getattr(dictionary, name).half().contiguous() for name in ("components", "low", "high")},
        folder / f"scsr_{factor}.safetensors",
    )


def load_dictionary(factor: int, folder: Path = BUNDLE) -> Dictionary:
    """The dictionaries trained for a factor.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    tensors = load_file(folder / f"scsr_{factor}.safetensors")
    return Dictionary(*(tensors[name].float() for name in ("components", "low", "high")))


# ---- self-super-resolution (in the manner of SMORE: what is thin in the plane teaches what is thick across it)
class PlaneNetwork(nn.Sequential):
    """Residual of a plane that is blurred down its rows: (N, 1, H, W) to (N, 1, H, W)."""

    def __init__(self, channels: int = 32, layers: int = 7) -> None:
        steps: list[nn.Module] = [nn.Conv2d(1, channels, 3, padding=1), nn.ReLU()]
        for _ in range(layers - 2):
            steps += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
        last = nn.Conv2d(channels, 1, 3, padding=1)
        nn.init.zeros_(last.weight)
        super().__init__(*steps, last)

    def forward(self, plane: Tensor) -> Tensor:
        residual: Tensor = super().forward(plane)  # type: ignore[no-untyped-call]
        return plane + residual


def selfsr(task: Task, steps: int = 200, batch: int = 8, size: int = 40, seed: int = 0) -> Array:
    """Train a plane network on the acquired planes, degraded down their rows, and apply it to both reformats.

    Only the volume itself is used: no other image, no shipped weights.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = PlaneNetwork()
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    planes = [task.thick, task.thick.transpose(0, 2, 1)]  # rows down, columns down
    blurred = [_blurred_rows(each, task) for each in planes]
    for _ in range(steps):
        side = int(random.integers(2))
        low, high = _plane_patches(blurred[side], planes[side], batch, size, random)
        loss = functional.l1_loss(network(low), high)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    start = tci(task)
    with torch.no_grad():
        along_h = network(torch.from_numpy(start.transpose(2, 0, 1)[:, None].copy()))[:, 0].numpy().transpose(1, 2, 0)
        along_w = network(torch.from_numpy(start.transpose(1, 0, 2)[:, None].copy()))[:, 0].numpy().transpose(1, 0, 2)
    return back_projected(task, 0.5 * (along_h + along_w))


def _blurred_rows(planes: NDArray[np.floating], task: Task) -> Array:
    """Each plane (N, H, W) degraded down its rows as the slices were across, and interpolated back: (N, h, W)."""
    rows = planes.shape[1]
    coarse = coarse_positions(rows, task.factor)
    forward = forward_matrix(np.arange(rows, dtype=float), coarse, task.profile)
    both = spline_matrix(coarse, np.arange(coarse[-1] + 1)) @ forward
    blurred: Array = np.einsum("fh,nhw->nfw", both.astype(np.float32), planes, optimize=True)
    return blurred


def _plane_patches(
    low: Array, high: NDArray[np.floating], batch: int, size: int, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    rows, columns = min(size, low.shape[1]), min(size, low.shape[2])
    picked: list[tuple[Array, Array]] = []
    for _ in range(batch):
        n = int(random.integers(len(low)))
        h, w = int(random.integers(low.shape[1] - rows + 1)), int(random.integers(low.shape[2] - columns + 1))
        a, b = low[n, h : h + rows, w : w + columns], high[n, h : h + rows, w : w + columns]
        picked.append((a[:, ::-1], b[:, ::-1]) if random.random() < 0.5 else (a, b))
    first, second = (np.stack([pair[side] for pair in picked])[:, None] for side in (0, 1))
    return torch.from_numpy(np.ascontiguousarray(first)), torch.from_numpy(np.ascontiguousarray(second))
