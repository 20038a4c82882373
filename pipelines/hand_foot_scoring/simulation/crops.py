"""Simulated crops of single joints with their grades."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipelines.hand_foot_scoring.crops import CROP, field_mm, normalised
from pipelines.hand_foot_scoring.heads import STATES
from pipelines.hand_foot_scoring.simulation.disease import random_disease, site_rates, uniform_disease
from pipelines.hand_foot_scoring.simulation.drawn_postures import not_quite_flat
from pipelines.hand_foot_scoring.simulation.films import random_age
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.limb_builder import implant
from pipelines.hand_foot_scoring.simulation.radiograph import Image, View, expose, random_exposure
from pipelines.hand_foot_scoring.simulation.skeleton import Skeleton, State
from pipelines.hand_foot_scoring.simulation.trabeculae import Trabeculae
from pipelines.hand_foot_scoring.sites import CLASS_OF, NO_EROSION, NO_NARROWING, Part

# spreads of the place of a crop, mm on a mean adult: of the localiser's centres on simulated films half are within 1.2,
# nine in ten within 2.6 and 19 in 20 within 3.2
OFF_MM = (0.6, 1.1, 1.8)
EVEN_SHARE = 0.65  # of the patients that the heads learn from: their grades are spread evenly
SEVERITIES = (0.08, 0.25, 0.6, 1.2)  # of simulated patients as in a clinic
NOT_FLAT_SHARE = 0.6  # of grown limbs: they are turned a little, and fingers and toes are bent
NONE = -1.0  # no such grade at this site, or not said
MARGIN = 6  # rows and columns stored beyond a crop on every side: training moves and turns crops within them
STORED = CROP + 2 * MARGIN


@dataclass(frozen=True)
class Crops:
    """Simulated joints, one per row."""

    images: NDArray[np.uint8]  # (N, 76, 76) grey values, bone bright
    sites: NDArray[np.int64]  # (N,) class of the site, from 1
    erosion: NDArray[np.float32]  # (N,) grade, or -1 where the site has none or cannot be read
    narrowing: NDArray[np.float32]
    states: NDArray[np.int64]  # (N,) index in STATES
    # (N,) 1: growth plates are open; 0: closed; -1: not said, as of real bones. Those are all grown: a network that is
    # told so takes the look of a real bone for the sign of a grown one
    plates: NDArray[np.float32]
    patients: NDArray[np.int64]  # (N,) limbs of one patient belong together

    def __len__(self) -> int:
        return len(self.sites)

    def floats(self, rows: NDArray[np.intp] | slice) -> Image:
        """Crops (n, 1, 64, 64) of some rows, as the network takes them."""
        return normalised(self.images[rows, MARGIN:-MARGIN, MARGIN:-MARGIN])[:, None]

    def take(self, rows: NDArray[np.intp]) -> Crops:
        """The joints of some rows."""
        return Crops(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def save(self, path: Path) -> None:
        """Write them to a file (NumPy, not compressed)."""
        np.savez(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: Path) -> Crops:
        """The crops in a file that `save` wrote."""
        with np.load(path) as stored:
            return cls(**{name: stored[name] for name in cls.__dataclass_fields__})


def together(parts: Sequence[Crops]) -> Crops:
    """Crops of several sources as one; their patients stay apart."""
    first = 0
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in Crops.__dataclass_fields__}
    for part in parts:
        for name, values in columns.items():
            values.append(part.patients + first if name == "patients" else getattr(part, name))
        first += int(part.patients.max(initial=-1)) + 1
    return Crops(**{name: np.concatenate(values) for name, values in columns.items()})


def packed(image: Image) -> NDArray[np.uint8]:
    """Grey values (H, W) as bytes: all but the outermost 1 in 500 lie between 16 and 239."""
    low, high = np.quantile(image, (0.002, 0.998))
    scaled = (image - low) / max(float(high - low), 1e-6) * 223 + 16
    return np.asarray(np.round(np.clip(scaled, 0, 255)), np.uint8)


def simulated_crop(
    skeleton: Skeleton,
    site: str,
    rng: np.random.Generator,
    state: State | None = None,
    bone_texture: Trabeculae | None = None,
) -> tuple[Image, State]:
    """The crop of one site as it would be cut after a localisation that is a little off.

    Parameters
    ----------
    skeleton
        The limb.
    site
        Name of the site.
    rng
        Draws place, exposure and noise.
    state
        What the crop is to show; None: what the skeleton says.
    bone_texture
        Real trabeculae, which half of the crops show.

    Returns
    -------
    tuple
        (76, 76) grey values, a crop (64, 64) with its margin, and what it shows.
    """
    shown = state or skeleton.states[site]
    if shown == "prosthesis" and skeleton.states[site] != "prosthesis":
        half = (6.5 if skeleton.part == "hand" else 9.0) * skeleton.scale
        skeleton = replace(skeleton, objects=(*skeleton.objects, *implant(skeleton.sites[site], half, rng)))
    centre = np.array(skeleton.sites[site])
    if state == "absent":  # as after a wrong localisation: no joint of this name is here
        centre = centre + rng.choice([-1, 1], 2) * rng.uniform(9, 25, 2) * skeleton.scale
    centre = centre + rng.normal(0, rng.choice(OFF_MM), 2) * skeleton.scale
    pixel_mm = field_mm(site) * skeleton.scale / CROP * float(np.exp(rng.normal(0, 0.05)))
    view = View((STORED, STORED), pixel_mm, float(rng.normal(0, 0.12)))
    middle = view.to_pixels(centre[None])[0]
    view = replace(view, origin=((STORED - 1) / 2 - middle[0], (STORED - 1) / 2 - middle[1]))
    exposure = random_exposure(rng, bone_texture)
    image = expose(skeleton, view, replace(exposure, noise=0.4 * exposure.noise), rng)
    if shown == "covered":
        image = _covered(image, rng)
    return image, shown


def _covered(image: Image, rng: np.random.Generator) -> Image:
    """Plaster or a dense object over the joint."""
    if rng.random() < 0.5:
        coarse = gaussian_filter(rng.standard_normal(image.shape).astype(np.float32), rng.uniform(0.8, 2.5))
        return np.asarray(image * rng.uniform(0.05, 0.25) + coarse / coarse.std() * rng.uniform(0.08, 0.2), np.float32)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] - (STORED - 1) / 2
    angle = rng.uniform(0, np.pi)
    band = np.abs(rows * np.cos(angle) + columns * np.sin(angle)) < rng.uniform(8, 20)
    return np.where(band, image + rng.uniform(1, 3), image)


def simulated(
    seed: int,
    patients: int,
    *,
    even: float,
    oddities: float = 0.08,
    children: float = 0.06,
    sites_each: int | None = None,
    bone_texture: Trabeculae | None = None,
) -> Crops:
    """Crops of the two hands and two feet of simulated patients.

    Parameters
    ----------
    seed
        Of the patients.
    patients
        Number of patients.
    even
        Share of the patients whose grades are spread evenly (to learn from); those of the others are as in a clinic,
        most of them none (to measure with).
    oddities
        Share of crops that show an implant, a cover or no joint.
    children
        Share of the patients who are children.
    sites_each
        Number of sites drawn from each limb; all if None.
    bone_texture
        Real trabeculae, which half of the crops show.
    """
    rows: list[Row] = []
    for patient in range(patients):
        rng = np.random.default_rng((seed, 5, patient))
        for skeleton in limbs(rng, even, children):
            names = list(skeleton.sites)
            if sites_each is not None:
                names = [str(name) for name in rng.choice(names, min(sites_each, len(names)), replace=False)]
            for name in names:
                odd = cast(State, rng.choice(STATES[1:])) if rng.random() < oddities else None
                rows.append((*row(skeleton, name, rng, odd, bone_texture), patient))
    return stacked(rows)


Row = tuple[Image, int, float, float, int, float, int]


def stacked(rows: Sequence[Row]) -> Crops:
    """Rows of crops, each as `row` makes it followed by its patient, in columns."""
    columns = list(zip(*rows, strict=True))
    return Crops(
        np.stack([packed(image) for image in columns[0]]),
        *(
            np.array(column, kind)
            for column, kind in zip(
                columns[1:], (np.int64, np.float32, np.float32, np.int64, np.float32, np.int64), strict=True
            )
        ),
    )


def limbs(rng: np.random.Generator, even: float, children: float) -> Iterator[Skeleton]:
    """The two hands and the two feet of one simulated patient; children are healthy, many adults lie not quite flat.

    Parameters
    ----------
    rng
        Draws the patient.
    even
        Chance that the grades are spread evenly.
    children
        Chance that it is a child.
    """
    severity = float(rng.choice(SEVERITIES))
    age = random_age(rng, children)
    spread_evenly = rng.random() < even
    for name, draw in (("hand", hand), ("foot", foot)):
        part = cast(Part, name)
        rates = site_rates(part, rng, severity)
        for _ in range(2):
            if age is not None:
                disease = None
            elif spread_evenly:
                disease = uniform_disease(part, rng)
            else:
                disease = random_disease(part, rng, severity, rates)
            skeleton = draw(rng, disease, age)
            yield not_quite_flat(skeleton, rng) if age is None and rng.random() < NOT_FLAT_SHARE else skeleton


def row(
    skeleton: Skeleton,
    name: str,
    rng: np.random.Generator,
    odd: State | None,
    bone_texture: Trabeculae | None = None,
) -> tuple[Image, int, float, float, int, float]:
    """A crop with everything that is true of it.

    Parameters
    ----------
    skeleton
        The limb.
    name
        Of the site.
    rng
        Draws the crop.
    odd
        What the crop is to show instead of the joint; None: the joint.
    bone_texture
        Real trabeculae, which half of the crops show.

    Returns
    -------
    tuple
        The crop, class of its site, erosion, narrowing (-1 where it has none), state, and 1 if growth plates are open,
        else 0.
    """
    image, state = simulated_crop(skeleton, name, rng, odd, bone_texture)
    readable = state == "evaluable"
    erosion = NONE if name in NO_EROSION or not readable else float(skeleton.erosion[name])
    narrowing = NONE if name in NO_NARROWING[skeleton.part] or not readable else float(skeleton.narrowing[name])
    site = CLASS_OF[skeleton.part, name]
    return image, site, erosion, narrowing, STATES.index(state), float(skeleton.open_plates)
