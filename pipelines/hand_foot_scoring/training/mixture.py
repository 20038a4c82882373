"""What the heads learn from: crops of rendered limbs, and of real limbs with painted damage where there are any.

Rendered limbs vary without bounds and look like drawings; painted ones look like radiographs and come from a few
people.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.hand_foot_scoring.simulation import painted
from pipelines.hand_foot_scoring.simulation.crops import SEVERITIES, Crops, Row, simulated, stacked, together
from pipelines.hand_foot_scoring.simulation.disease import random_disease, site_rates, uniform_disease
from pipelines.hand_foot_scoring.simulation.layers import Canvas
from pipelines.hand_foot_scoring.simulation.trabeculae import trabeculae
from pipelines.hand_foot_scoring.sites import Part

PARTS: tuple[Part, ...] = ("hand", "foot")
EVEN_SHARE = 0.6  # of the painted patients that the heads learn from: grades spread evenly; the others as in a clinic
PAINTED_SHARE = 0.375  # of the patients, where there are films
PART_SHARE = 0.25  # of the painted limbs that are drawn on a picture of a part of a limb
HEALTHY = 0.0  # severity of patients without any damage, one in five of those as in a clinic


def painted_patients(films: Path, seed: int, patients: int, even: float) -> Crops:
    """Crops of the two hands and two feet of painted patients.

    Parameters
    ----------
    films
        Folder below which the marked pictures lie, and the trabeculae if they are there.
    seed
        Of the patients.
    patients
        Number of patients.
    even
        Share of the patients whose grades are spread evenly.

    Raises
    ------
    FileNotFoundError
        If no marked picture of a hand or none of a foot is there.
    """
    canvases = {part: painted.canvases(films, part, parts=True) for part in PARTS}
    for part, found in canvases.items():
        if not found:
            raise FileNotFoundError(f"{films} has no marked picture of a healthy {part}")
    bone_texture = trabeculae(films)
    rows: list[Row] = []
    for patient in range(patients):
        rng = np.random.default_rng((seed, 21, patient))
        severity = float(rng.choice((HEALTHY, *SEVERITIES)))
        spread_evenly = rng.random() < even
        for part in PARTS:
            rates = site_rates(part, rng, severity)
            for _ in range(2):
                disease = uniform_disease(part, rng) if spread_evenly else random_disease(part, rng, severity, rates)
                canvas = _drawn(canvases[part], rng)
                film = painted.painted_film(canvas, disease, rng, bone_texture=bone_texture)
                rows += [(*row, patient) for row in painted.crops_of(film, rng)]
    return stacked(rows)


def _drawn(canvases: Sequence[Canvas], rng: np.random.Generator) -> Canvas:
    """One of the canvases; pictures of a part of a limb, such as a wrist, come up less often than whole limbs."""
    of_part = rng.random() < PART_SHARE
    chosen = [canvas for canvas in canvases if canvas.whole != of_part] or canvases
    return chosen[int(rng.integers(len(chosen)))]


def simulated_patients(seed: int, patients: int, films: Path | None, *, even: float, children: float) -> Crops:
    """Crops of simulated patients: some of them painted if there are films, all of them rendered otherwise.

    Parameters
    ----------
    seed
        Of the patients.
    patients
        Number of patients, of both kinds together.
    films
        Folder of the marked pictures and, if it is there, of the trabeculae; None: rendered limbs only.
    even
        Share of the patients whose grades are spread evenly (painted: at most `EVEN_SHARE`).
    children
        Share of the rendered patients who are children.
    """
    if films is None:
        return simulated(seed, patients, even=even, children=children)
    painted_ones = round(PAINTED_SHARE * patients)
    return together(
        (
            simulated(seed, patients - painted_ones, even=even, children=children, bone_texture=trabeculae(films)),
            painted_patients(films, seed, painted_ones, min(even, EVEN_SHARE)),
        )
    )
