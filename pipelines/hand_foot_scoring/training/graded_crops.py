"""Crops of graded joints, cut from real films, and their mixture with simulated ones."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from pipelines.hand_foot_scoring.crops import CROP, crop_window
from pipelines.hand_foot_scoring.heads import STATES
from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.scoring import Cell
from pipelines.hand_foot_scoring.simulation.crops import MARGIN, NONE, OFF_MM, STORED, Crops, stacked
from pipelines.hand_foot_scoring.sites import CLASS_OF
from pipelines.hand_foot_scoring.training.data.digests import films_digest
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData, grey
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm, Point
from pipelines.hand_foot_scoring.training.data.placed import limb_of
from pipelines.hand_foot_scoring.windows import Image, Pyramid, Window

VERSIONS = 2  # of each joint to learn from, each cut a little otherwise; training varies them further
TURN, SIZE = 0.12, 0.05  # spreads of the turn (radians) and the size of a crop to learn from, as in simulation
FIRST_PATIENT = 1_000_000  # numbers of real patients; simulated ones are counted from 0
NAMED = 5  # films that a remark names one by one


@dataclass(frozen=True)
class CutCrops:
    """The crops of some films, and what was left out."""

    crops: Crops
    reasons: tuple[str, ...]  # why joints were left out, with their number
    remarks: tuple[str, ...]  # the same with the places of the films: for who trains, and not to be passed on


def cut(
    films: Sequence[GradedFilm],
    finder: Finder,
    seed: int,
    versions: int,
    found_by: str = "",
    store: Path | None = None,
    report: Callable[[int], None] | None = None,
) -> CutCrops:
    """Cut the graded joints of films, where they are marked or where the localiser finds them.

    Parameters
    ----------
    films
        Of whole patients.
    finder
        Finds the limb and, where they are not marked, its joints.
    seed
        Of the places of the crops.
    versions
        0: each joint once, right where it is, as when it is read; otherwise so many times, a little off.
    found_by
        A name for the weights of the finder: other weights, other crops.
    store
        A file that keeps what was cut, for a training that is interrupted; None: none.
    report
        Called with the number of films that are done.

    Raises
    ------
    UnreadableData
        If no joint could be cut.
    """
    name = _name(films, seed, versions, found_by)
    if store is not None and (kept := _stored(store, name)) is not None:
        return kept
    numbers = {patient: FIRST_PATIENT + n for n, patient in enumerate(sorted({film.patient for film in films}))}
    parts: list[Crops] = []  # as bytes: of a thousand films the numbers would not fit
    reasons: Counter[str] = Counter()
    named: dict[str, list[str]] = {}
    for done, film in enumerate(films):
        found, missing = _film_rows(film, finder, np.random.default_rng((seed, 23, done)), versions)
        if found:
            parts.append(stacked([(*row, numbers[film.patient]) for row in found]))
        for reason in missing:
            reasons[reason] += 1
            named.setdefault(reason, []).append(film.place)
        if report is not None:
            report(done + 1)
    counted = tuple(f"{count} x {reason}" for reason, count in reasons.most_common())
    remarks = tuple(f"{count} x {reason} ({_places(named[reason])})" for reason, count in reasons.most_common())
    if not parts:
        raise UnreadableData("no graded joint could be cut from any film: " + "; ".join(remarks))
    result = CutCrops(joined(parts), counted, remarks)
    if store is not None:
        _keep(store, name, result)
    return result


def _places(places: Sequence[str]) -> str:
    """Films by their places, the first few of them."""
    shown = list(dict.fromkeys(places))
    more = f" and {len(shown) - NAMED} more" if len(shown) > NAMED else ""
    return f"{', '.join(shown[:NAMED])}{more}"


CropRow = tuple[Image, int, float, float, int, float]


def _film_rows(
    film: GradedFilm, finder: Finder, rng: np.random.Generator, versions: int
) -> tuple[list[CropRow], list[str]]:
    """The crops of a film with their grades, and the reasons for which joints have none."""
    if not film.picture.is_file():
        return _ready_rows(film)
    try:
        pyramid = Pyramid.of(np.ascontiguousarray(grey(film.picture)))
    except UnreadableData:
        return [], ["the picture cannot be read"]
    limb = limb_of(film, pyramid, finder)
    if isinstance(limb, str):
        return [], [limb]
    rows: list[CropRow] = []
    missing: list[str] = []
    for site in film.graded_sites:
        point = place(film, limb, site)
        if point is None:
            missing.append("the joint was not found, and is not marked")
            continue
        for _ in range(max(1, versions)):
            window = crop_window(limb, site, point, STORED)
            if versions:
                window = _a_little_off(window, limb, rng)
            rows.append((pyramid.sample(window, (STORED, STORED)), *_truth(film, site)))
    return rows, missing


def place(film: GradedFilm, limb: Limb, site: str) -> Point | None:
    """Where a site lies: as it is marked, else as it was found; None where it is neither."""
    if site in film.sites:
        return film.sites[site]
    centre = limb.centres.get(site)
    return None if centre is None else centre.point


def _ready_rows(film: GradedFilm) -> tuple[list[CropRow], list[str]]:
    """The crops that came with the grades, where there is no whole film; a right hand is mirrored."""
    rows: list[CropRow] = []
    missing: list[str] = []
    for site in film.graded_sites:
        path = film.crops.get(site)
        if path is None:
            missing.append("there is neither a film nor a crop of the joint")
            continue
        image = ready_crop(path, film.side == "R")
        rows.append((np.pad(image, MARGIN, mode="edge"), *_truth(film, site)))
    return rows, missing


def ready_crop(path: Path, mirrored: bool) -> Image:
    """A crop in a file of its own (64, 64), grey; how much of the limb it shows is what it is."""
    crop = Pillow.fromarray(grey(path)).resize((CROP, CROP), Pillow.Resampling.BOX)
    array = np.asarray(crop, np.float32)
    return np.ascontiguousarray(array[:, ::-1]) if mirrored else array


def _truth(film: GradedFilm, site: str) -> tuple[int, float, float, int, float]:
    """Class of the site, erosion, narrowing, state, and that nothing is said of growth plates (see `Crops.plates`)."""
    erosion, narrowing = (
        film.grades.get(Cell(film.side, film.part, site, kind), NONE) for kind in ("erosion", "narrowing")
    )
    state = STATES.index(film.states[site]) if site in film.states else 0
    return CLASS_OF[film.part, site], erosion, narrowing, state, NONE


def _a_little_off(window: Window, limb: Limb, rng: np.random.Generator) -> Window:
    """The same window turned, sized and moved as much as simulated crops are."""
    angle, factor = rng.normal(0, TURN), float(np.exp(rng.normal(0, SIZE)))
    turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full((1, 2), (STORED - 1) / 2)
    centre = window.to_picture(middle)[0] + rng.normal(0, rng.choice(OFF_MM), 2) * limb.lie()[1]
    linear = window.matrix[:, :2] @ turn
    return Window(np.column_stack((linear, centre - linear @ middle[0])))


def mixed(simulated: Crops, real: Crops, share: float, seed: int) -> Crops:
    """Simulated and real crops of which real ones are the given share; they are repeated, or some left out, for it.

    Parameters
    ----------
    simulated
        Their number stays as it is, unless `share` is 1.
    real
        As `cut` makes them.
    share
        0..1 of the result that is real.
    seed
        Of which ones are taken.
    """
    if share >= 1:
        return real
    wanted = round(len(simulated) * share / (1 - share))
    rng = np.random.default_rng((seed, 29))
    rounds = [rng.permutation(len(real)) for _ in range(-(-wanted // len(real)))]
    rows = np.concatenate([*rounds, np.empty(0, np.intp)])[:wanted].astype(np.intp)
    chosen = real.take(rows)
    return Crops(
        *(np.concatenate((getattr(simulated, field.name), getattr(chosen, field.name))) for field in fields(Crops))
    )


def joined(parts: Sequence[Crops]) -> Crops:
    """The crops of all parts."""
    return Crops(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Crops)))


# ---------------------------------------------------------------- what an interrupted training finds again
def _name(films: Sequence[GradedFilm], seed: int, versions: int, found_by: str) -> str:
    """One name for everything that the crops depend on."""
    return hashlib.sha256(f"{seed} {versions} {found_by} {films_digest(films)}".encode()).hexdigest()


def _keep(store: Path, name: str, cut_crops: CutCrops) -> None:
    partial = store.with_suffix(".part")
    with partial.open("wb") as stream:
        np.savez(
            stream,
            name=np.array(name),
            reasons=np.array(cut_crops.reasons, dtype=np.str_),
            remarks=np.array(cut_crops.remarks, dtype=np.str_),
            **{field.name: getattr(cut_crops.crops, field.name) for field in fields(Crops)},
        )
    partial.replace(store)


def _stored(store: Path, name: str) -> CutCrops | None:
    if not store.is_file():
        return None
    with np.load(store, allow_pickle=False) as stored:
        if str(stored["name"]) != name:
            return None
        return CutCrops(
            Crops(*(stored[field.name] for field in fields(Crops))),
            tuple(str(text) for text in stored["reasons"]),
            tuple(str(text) for text in stored["remarks"]),
        )
