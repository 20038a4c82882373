"""How much simulated crops look like real ones: frequencies, grey values and gradients of healthy joints.

Nothing is fitted here. Pictures that are for measuring only are measured, and what is said of them is a distance.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import wasserstein_distance

from pipelines.hand_foot_scoring.crops import CROP, field_mm, normalised
from pipelines.hand_foot_scoring.gate import FAMILIES, family
from pipelines.hand_foot_scoring.simulation.crops import MARGIN, packed, simulated_crop
from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.layers import lie
from pipelines.hand_foot_scoring.simulation.marked import MarkedPicture, Use, marked
from pipelines.hand_foot_scoring.simulation.painted import canvases, crops_of, painted_film
from pipelines.hand_foot_scoring.simulation.trabeculae import trabeculae
from pipelines.hand_foot_scoring.sites import CLASS_OF, SITES
from pipelines.hand_foot_scoring.training.style import styled
from pipelines.hand_foot_scoring.windows import Pyramid, Window

Crops = NDArray[np.float32]
BANDS = 12  # of spatial frequency, up to one cycle in two pixels
DISEASES = ("arthritis", "gout", "growth plates", "osteoarthritis")
SAMPLE = 4000  # grey values of each kind that are compared


@dataclass(frozen=True)
class Looks:
    """Statistics of crops of one family of joints."""

    count: int
    power_db: NDArray[np.float64]  # (BANDS,) mean logarithm of the power in each band of frequency
    grey: NDArray[np.float64]  # (SAMPLE,) grey values of normalised crops, sorted
    gradient: NDArray[np.float64]  # (SAMPLE,) logarithm to 10 of gradient magnitudes, sorted


def looks(crops: Crops) -> Looks:
    """Statistics of normalised crops (N, 64, 64)."""
    window = np.outer(np.hanning(CROP), np.hanning(CROP))
    spectrum = np.abs(np.fft.fft2(crops * window, axes=(1, 2))) ** 2
    frequency = np.hypot(np.fft.fftfreq(CROP)[:, None], np.fft.fftfreq(CROP)[None, :])
    band = np.minimum((frequency / 0.5 * BANDS).astype(int), BANDS)
    power = [10 * np.log10(spectrum[:, band == k].mean(axis=1) + 1e-9).mean() for k in range(BANDS)]
    dy, dx = np.diff(crops, axis=1)[:, :, :-1], np.diff(crops, axis=2)[:, :-1, :]
    steps = np.log10(np.hypot(dy, dx) + 1e-3)
    return Looks(len(crops), np.array(power), _sample(crops), _sample(steps))


def _sample(values: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.quantile(values, np.linspace(0, 1, SAMPLE)), np.float64)


def distances(first: Looks, second: Looks) -> dict[str, float]:
    """How far apart two kinds of crops are.

    Returns
    -------
    dict
        ``spectrum_db``: root mean square difference over the bands of frequency, dB. ``grey`` and ``gradient``: earth
        mover's distance of grey values (-1..1) and of the logarithms to 10 of gradient magnitudes.
    """
    return {
        "spectrum_db": float(np.sqrt(((first.power_db - second.power_db) ** 2).mean())),
        "grey": float(wasserstein_distance(first.grey, second.grey)),
        "gradient": float(wasserstein_distance(first.gradient, second.gradient)),
    }


Sorted = dict[str, list[Crops]]


def real_crops(films: Path, use: Use) -> Sorted:
    """Crops of healthy adult joints of the marked pictures below a folder, by family.

    Parameters
    ----------
    films
        Folder of the pictures.
    use
        Pictures that may be trained on, or those that are for measuring.
    """
    found: Sorted = {name: [] for name in FAMILIES}
    for marks in marked(use):
        sites = {site: point for site, point in marks.sites.items() if site in SITES[marks.part]}
        if marks.view not in ("pa", "dp") or len(sites) < 4 or _diseased(marks):
            continue
        picture = marks.read(films)
        if picture is not None:
            for site, crop in _cut(picture, marks, sites):
                found[family(CLASS_OF[marks.part, site])].append(crop)
    return found


def _diseased(marks: MarkedPicture) -> bool:
    finding = marks.finding.replace("no arthritis", "")
    return any(disease in finding for disease in DISEASES)


def _cut(picture: Crops, marks: MarkedPicture, sites: Mapping[str, tuple[float, float]]) -> Iterator[tuple[str, Crops]]:
    mirror = np.array([-1.0 if marks.side == "R" else 1.0, 1.0])
    angle, scale = lie(marks.part, {site: (x * mirror[0], y) for site, (x, y) in sites.items()})
    pyramid = Pyramid.of(picture / np.float32(255))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for site, point in sites.items():
        linear = np.diag(mirror) @ (field_mm(site) * scale / CROP * turn)
        window = Window(np.column_stack((linear, np.array(point) - linear @ np.full(2, (CROP - 1) / 2))))
        yield site, normalised(pyramid.sample(window, (CROP, CROP)))


def simulated_crops(films: Path, seed: int, limbs: int) -> dict[str, dict[str, list[NDArray[np.uint8]]]]:
    """Crops of healthy rendered and painted joints by kind and family, with their margins, as training stores them.

    Parameters
    ----------
    films
        Folder of the pictures to paint on, and of the micro-CT.
    seed
        Of the limbs.
    limbs
        Number of hands and of feet of each kind.
    """
    made: dict[str, dict[str, list[NDArray[np.uint8]]]] = {
        kind: {name: [] for name in FAMILIES} for kind in ("rendered", "painted")
    }
    bone_texture = trabeculae(films)
    for part in SITES:
        pictures = canvases(films, part)
        for number in range(limbs):
            rng = np.random.default_rng((seed, 23, number, int(part == "foot")))
            skeleton = (hand if part == "hand" else foot)(rng, Disease(), None, odd=False)
            for site in SITES[part]:
                crop, _ = simulated_crop(skeleton, site, rng, bone_texture=bone_texture)
                made["rendered"][family(CLASS_OF[part, site])].append(packed(crop))
            if pictures:
                film = painted_film(pictures[number % len(pictures)], Disease(), rng, bone_texture=bone_texture)
                for row in crops_of(film, rng):
                    made["painted"][family(row[1])].append(packed(row[0]))
    return made


def compare_styles(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Print how far rendered and painted crops are from real ones, and real ones from each other.

    Parameters
    ----------
    options
        ``films``, ``seed`` and ``patients`` (limbs of each kind) are used.
    console
        Where the tables go.

    Raises
    ------
    FileNotFoundError
        If no marked picture is below the folder.
    """
    kinds: dict[str, dict[str, Looks]] = {}
    reals: tuple[tuple[str, Use], ...] = (("real, training", "training"), ("real, measuring", "measuring"))
    for kind, use in reals:
        kinds[kind] = {name: looks(np.stack(c)) for name, c in real_crops(options.films, use).items() if c}
    if not any(kinds.values()):
        raise FileNotFoundError(f"no picture that is marked lies below {options.films}")
    rng = np.random.default_rng(options.seed)
    for kind, families in simulated_crops(options.films, options.seed, options.patients).items():
        stored = {name: np.stack(crops) for name, crops in families.items() if crops}
        if stored:
            inner = slice(MARGIN, -MARGIN)
            kinds[kind] = {name: looks(normalised(crops[:, inner, inner])) for name, crops in stored.items()}
            kinds[f"{kind}, styled"] = {name: looks(styled(crops, rng)[:, 0]) for name, crops in stored.items()}
    figures: dict[str, Any] = {
        "crops": {kind: {name: found.count for name, found in rows.items()} for kind, rows in kinds.items()},
        "distances": {},
    }
    for target in ("real, measuring", "real, training"):
        for kind, rows in kinds.items():
            shared = [name for name in FAMILIES if name in rows and name in kinds[target]]
            if kind != target and shared:
                figures["distances"][f"{kind} / {target}"] = {
                    name: distances(rows[name], kinds[target][name]) for name in shared
                }
    for measure, title in (
        ("spectrum_db", "Difference of the frequency spectrum, dB"),
        ("grey", "Earth mover's distance of grey values"),
        ("gradient", "Earth mover's distance of gradients, decades"),
    ):
        table = Table(title=title)
        for column in ("pair", *FAMILIES):
            table.add_column(column)
        for pair, found in figures["distances"].items():
            digits = 1 if measure == "spectrum_db" else 3
            cells = (f"{found[name][measure]:.{digits}f}" if name in found else "" for name in FAMILIES)
            table.add_row(pair, *cells)
        console.print(table)
    return figures
