"""The methods that ours is compared with, each from thick slices (C, H, W) to thin slices (F, H, W).

Tricubic and Fourier interpolation, sparse coding with coupled dictionaries, DeepResolve trained per ratio, and
self-super-resolution that learns from the planes of the very volume.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipelines.knee_super_resolution import DEEPRESOLVE_BUNDLE
from pipelines.knee_super_resolution.deepresolve import DeepResolveRestorer, TrainedNetworks, read_networks
from pipelines.knee_super_resolution.degradation import (
    along_slices,
    coarse_positions,
    forward_matrix,
    fourier_matrix,
    projection_matrix,
    spline_matrix,
)
from pipelines.knee_super_resolution.network import RIDGE, Geometry
from pipelines.knee_super_resolution.training.dictionary import (
    FLAT,
    PATCH,
    Dictionary,
    derivatives,
    load_dictionary,
    sparse_codes,
)
from pipelines.knee_super_resolution.training.tasks import Task

Array = NDArray[np.float32]
SCSR = Path(__file__).parent / "scsr"  # its dictionaries are in the repository, but no part of an installed package


def tci(task: Task) -> Array:
    """Tricubic: a cubic spline along the slices."""
    return along_slices(spline_matrix(task.coarse, task.fine), task.thick)


def fourier(task: Task) -> Array:
    """The slice-direction spectrum, zero-padded."""
    return along_slices(fourier_matrix(task.coarse, task.fine), task.thick)


@cache
def _trained(folder: Path) -> TrainedNetworks:
    return read_networks(folder)


def deepresolve(task: Task, bundle: Path = DEEPRESOLVE_BUNDLE) -> Array:
    """DeepResolve for this very factor.

    Parameters
    ----------
    task
        Thick slices, and where thin ones are wanted.
    bundle
        Folder with its weights.

    Raises
    ------
    FileNotFoundError
        If it was not trained for this factor.
    """
    networks = _trained(bundle / "models")
    if task.factor not in networks.ratios:
        raise FileNotFoundError(f"DeepResolve was not trained for {task.factor}")
    geometry = Geometry(task.coarse, task.fine, task.profile, task.anisotropy)
    made = DeepResolveRestorer(networks, torch.device("cpu")).restored(torch.from_numpy(task.thick), geometry)
    thin: Array = made.values[0].numpy()
    return thin


STRIDE = 2


def scsr(task: Task, bundle: Path = SCSR) -> Array:
    """Sparse-coding super-resolution on both planes that contain the slice axis, averaged, then back-projected.

    Back-projection is done to its end by the projection that ours uses too.

    Parameters
    ----------
    task
        Thick slices, and where thin ones are wanted.
    bundle
        Folder with its weights.

    Raises
    ------
    FileNotFoundError
        If there are no dictionaries for this factor.
    """
    dictionary = load_dictionary(task.factor, bundle / "models")
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


def _scsr_plane(plane: Array, dictionary: Dictionary) -> Array:
    image = torch.from_numpy(np.ascontiguousarray(plane))[None]
    features = functional.unfold(derivatives(image), PATCH, stride=STRIDE)[0].T  # (patches, 4 * PATCH * PATCH)
    active = features.abs().amax(dim=1) > FLAT
    patches = torch.zeros(len(features), PATCH * PATCH)
    if active.any():
        codes, norm = sparse_codes(features[active], dictionary)
        patches[active] = (codes @ dictionary.high) * norm
    shape = image.shape[1:]
    summed = functional.fold(patches.T[None], shape, PATCH, stride=STRIDE)[0, 0]
    weight = functional.fold(torch.ones_like(patches).T[None], shape, PATCH, stride=STRIDE)[0, 0]
    predicted: Array = (image[0] + summed / weight.clamp(min=1)).numpy()
    return predicted


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
        """Planes (N, 1, H, W) blurred down their rows, to sharper ones of the same shape."""
        residual: Tensor = super().forward(plane)  # type: ignore[no-untyped-call]
        return plane + residual


def selfsr(task: Task, steps: int = 200, batch: int = 8, size: int = 40, seed: int = 0) -> Array:
    """Train a plane network on the acquired planes, degraded down their rows, and apply it to both reformats.

    Only the volume itself is used: no other image, no shipped weights.

    Parameters
    ----------
    task
        Thick slices, and where thin ones are wanted.
    steps, batch, size
        Steps of the training, patches of a step, and pixels of a patch.
    seed
        Of first weights and patches.
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
