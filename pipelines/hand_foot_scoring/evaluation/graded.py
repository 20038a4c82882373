"""A bundle on graded films: agreement of cells and totals, calibration, what was not read, the worst cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.calibration import Pooling
from pipelines.hand_foot_scoring.crops import normalised
from pipelines.hand_foot_scoring.evaluation import agreement
from pipelines.hand_foot_scoring.evaluation.film_reading import FilmReading, read_file
from pipelines.hand_foot_scoring.evaluation.surrogate import surrogate
from pipelines.hand_foot_scoring.film_sites import FilmSite
from pipelines.hand_foot_scoring.films import LimbFilm
from pipelines.hand_foot_scoring.gate import family
from pipelines.hand_foot_scoring.heads import MAXIMUM, head_of, log_distribution
from pipelines.hand_foot_scoring.reading import Reader, pooled
from pipelines.hand_foot_scoring.scoring import INTERVAL_SPREAD, Cell, NotScored, Reading, Scored
from pipelines.hand_foot_scoring.sites import CLASS_OF
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm
from pipelines.hand_foot_scoring.training.graded_crops import ready_crop
from pipelines.hand_foot_scoring.weights import Trained
from pipelines.lab.plots import LimitsOfAgreement

Array = NDArray[np.float64]
NEAR = 0.04  # of the limb's length: a joint that is found so near to its mark counts as found
ERODED = 0.5  # expected grade from which on an erosion counts as seen


@dataclass(frozen=True)
class ReadFilm:
    """A graded film and what was read on it."""

    film: GradedFilm
    reading: FilmReading | None  # None of a film that is there as crops only
    cells: Mapping[Cell, Reading]  # of the graded limb
    why_not: str = ""  # why none of them has a grade

    def with_pixels(self) -> ReadFilm:
        """The same with the picture, which is not kept while films are read."""
        return self if self.reading is None else replace(self, reading=self.reading.with_pixels())

    @property
    def limb(self) -> LimbFilm | None:
        """The graded limb on its picture; None where it was not found."""
        wanted = (self.film.part, self.film.side)
        return None if self.reading is None else next((one for one in self.reading.limbs if one.key == wanted), None)

    @property
    def pairs(self) -> Iterator[tuple[Cell, Scored, float]]:
        """The cells that both have graded, with both grades."""
        for cell, grade in self.film.grades.items():
            reading = self.cells.get(cell)
            if isinstance(reading, Scored):
                yield cell, reading, grade

    @property
    def difference(self) -> float:
        """Read total minus that of the reference, over the cells that both have graded."""
        return sum(reading.expected - grade for _, reading, grade in self.pairs)


def read_films(
    films: Sequence[GradedFilm], reader: Reader, pooling: Pooling, report: Callable[[int], None] | None = None
) -> list[ReadFilm]:
    """Read graded films as the node would; where there are crops only, these.

    Parameters
    ----------
    films
        Of whole patients.
    reader
        With the bundle.
    pooling
        What a score depends on besides its own joint; films of one examination inform each other.
    report
        Called with the number of films that are done.
    """
    done: list[ReadFilm] = []
    for number, film in enumerate(films, start=1):
        done.append(_read_film(film, reader) if film.picture.is_file() else _read_crops(film, reader.trained))
        if report is not None:
            report(number)
    if pooling == "alone":
        return done
    result: list[ReadFilm] = []
    for study in studies(done):
        together: dict[Cell, Reading] = {}
        for one in study:
            together |= one.cells
        changed = pooled(together, reader.trained.calibration, pooling)
        result += [replace(one, cells={cell: changed[cell] for cell in one.cells}) for one in study]
    return result


def _read_film(film: GradedFilm, reader: Reader) -> ReadFilm:
    reading = read_file(film.picture, reader, "alone")  # a patient's films are pooled together once all are read
    cells = {c: r for c, r in reading.cells.items() if (c.limb, c.side) == (film.part, film.side)}
    why_not = reading.refusal or ("" if cells else f"taken for {reading.shown}")
    return ReadFilm(film, reading.without_pixels(), cells, why_not)


@torch.inference_mode()
def _read_crops(film: GradedFilm, trained: Trained) -> ReadFilm:
    sites = [site for site in film.graded_sites if site in film.crops]
    if not sites:
        return ReadFilm(film, None, {}, "neither film nor crops are there")
    images = normalised(np.stack([ready_crop(film.crops[site], film.side == "R") for site in sites]))
    classes = torch.tensor([CLASS_OF[film.part, site] for site in sites])
    _, raw = trained.grade(torch.from_numpy(images[:, None]), trained.damage, classes)
    cells: dict[Cell, Reading] = {}
    for cell in film.grades:
        if cell.site in sites:
            head = head_of(cell)
            own = raw[head][sites.index(cell.site)][None]
            row = log_distribution(trained.damage.loss, own, MAXIMUM[head]).numpy()
            cells[cell] = Scored(tuple(float(p) for p in trained.calibration.alone(head, row)[0]))
    return ReadFilm(film, None, cells)


def studies(films: Sequence[ReadFilm]) -> list[list[ReadFilm]]:
    """The films by examination: films of one patient that follow each other, until a limb comes a second time."""
    found: list[list[ReadFilm]] = []
    open_study: dict[str, list[ReadFilm]] = {}
    for one in films:
        study = open_study.get(one.film.patient)
        limb = (one.film.part, one.film.side)
        if study is None or any((other.film.part, other.film.side) == limb for other in study):
            study = open_study[one.film.patient] = []
            found.append(study)
        study.append(one)
    return found


# ---------------------------------------------------------------- figures
@dataclass(frozen=True)
class Pairs:
    """The cells of one head that both have graded."""

    truth: Array  # (N,)
    probabilities: Array  # (N, maximum + 1)
    sites: NDArray[np.int64]  # (N,) class of the site

    @property
    def expected(self) -> Array:
        """(N,) weighted mean over the grades."""
        return np.asarray(self.probabilities @ np.arange(self.probabilities.shape[1]))


def pairs_by_head(films: Sequence[ReadFilm]) -> dict[str, Pairs]:
    """Head to its cells; heads without any are left out."""
    rows: dict[str, list[tuple[float, tuple[float, ...], int]]] = {}
    for one in films:
        for cell, reading, grade in one.pairs:
            rows.setdefault(head_of(cell), []).append((grade, reading.probabilities, CLASS_OF[cell.limb, cell.site]))
    return {
        head: Pairs(
            np.array([grade for grade, _, _ in rows[head]], np.float64),
            np.array([probabilities for _, probabilities, _ in rows[head]], np.float64),
            np.array([site for _, _, site in rows[head]], np.int64),
        )
        for head in MAXIMUM
        if head in rows
    }


@dataclass(frozen=True)
class StudyTotal:
    """The totals of one examination, over the cells that both have graded."""

    patient: str
    cells: int
    maximum: int  # of these cells
    read: float
    reference: float
    half_width: float  # of the 90 % interval of what was read

    @property
    def difference(self) -> float:
        """Read minus reference."""
        return self.read - self.reference


def totals(films: Sequence[ReadFilm], correlation: float) -> list[StudyTotal]:
    """The total of each examination with at least one cell that both have graded."""
    found = []
    for study in studies(films):
        pairs = [pair for one in study for pair in one.pairs]
        if not pairs:
            continue
        spreads = np.array([reading.standard_deviation for _, reading, _ in pairs])
        variance = (1 - correlation) * float((spreads**2).sum()) + correlation * float(spreads.sum()) ** 2
        found.append(
            StudyTotal(
                study[0].film.patient,
                len(pairs),
                sum(cell.maximum for cell, _, _ in pairs),
                sum(reading.expected for _, reading, _ in pairs),
                sum(grade for _, _, grade in pairs),
                INTERVAL_SPREAD * float(np.sqrt(variance)),
            )
        )
    return found


def not_read(films: Sequence[ReadFilm]) -> dict[str, int]:
    """Why graded cells were not read, with the number of cells."""
    reasons: Counter[str] = Counter()
    for one in films:
        for cell in one.film.grades:
            reading = one.cells.get(cell)
            if isinstance(reading, NotScored):
                reasons[reading.reason.value] += 1
            elif not isinstance(reading, Scored):
                reasons[one.why_not or "not read"] += 1
    return dict(reasons.most_common())


def place_errors(films: Sequence[ReadFilm]) -> list[float | None]:
    """How far each marked joint was found from its mark, in lengths of the limb; None where it was not found."""
    errors: list[float | None] = []
    for one in films:
        limb = one.limb
        for site, (x, y) in one.film.sites.items():
            centre = None if limb is None else limb.reading.limb.centres.get(site)
            if limb is None or centre is None:
                errors.append(None)
            else:
                away = np.hypot(centre.point[0] - x, centre.point[1] - y)
                errors.append(float(away) / limb.reading.limb.length)
    return errors


def erosions_seen(films: Sequence[ReadFilm]) -> dict[str, int]:
    """Of the erosions outlined on the films: how many, how many in a joint's square, and where an erosion is read."""
    marked = inside = seen = 0
    for one in films:
        limb = one.limb
        marked += len(one.film.erosions)
        if limb is None:
            continue
        squares = {
            site: (FilmSite(limb, site).outline.min(axis=0), FilmSite(limb, site).outline.max(axis=0))
            for site in limb.reading.limb.expected
        }
        for erosion in one.film.erosions:
            x, y = erosion.centre[0] + 0.5, erosion.centre[1] + 0.5
            here = [s for s, (low, high) in squares.items() if low[0] <= x <= high[0] and low[1] <= y <= high[1]]
            inside += bool(here)
            grades = [
                r.expected
                for c, r in one.cells.items()
                if c.site in here and c.kind == "erosion" and isinstance(r, Scored)
            ]
            seen += max(grades, default=0.0) >= ERODED
    return {"marked": marked, "in_a_square": inside, "read_as_eroded": seen}


def figures(films: Sequence[ReadFilm], correlation: float, edges: Sequence[float]) -> dict[str, Any]:
    """Every figure about a bundle on graded films, plain enough for JSON.

    Parameters
    ----------
    films
        As read.
    correlation
        Between the errors of two cells, from the bundle's calibration.
    edges
        Of the damage bins of the surrogate metrics.
    """
    heads = pairs_by_head(films)
    sums = totals(films, correlation)
    result: dict[str, Any] = {
        "films": len(films),
        "patients": len({one.film.patient for one in films}),
        "films_not_read": sum(bool(one.why_not) for one in films),
        "graded_cells": sum(len(one.film.grades) for one in films),
        "read_cells": sum(len(pairs.truth) for pairs in heads.values()),
        "not_read": not_read(films),
        "agreement": {head: _by_family(pairs, MAXIMUM[head]) for head, pairs in heads.items()},
        "calibration_error": {
            head: agreement.calibration_error(pairs.probabilities, pairs.truth) for head, pairs in heads.items()
        },
    }
    if sums:
        inside = [abs(one.difference) <= one.half_width for one in sums]
        result["totals"] = asdict(LimitsOfAgreement.of([one.difference for one in sums]))
        result["interval_coverage"] = float(np.mean(inside))
        result["interval_half_width"] = float(np.mean([one.half_width for one in sums]))
        result["surrogate"] = _surrogate(films, edges)
    errors = place_errors(films)
    if errors:
        found = [error for error in errors if error is not None]
        result["places"] = {
            "marked": len(errors),
            "found": len(found),
            "within_4_percent": sum(error <= NEAR for error in found) / len(errors),
            "median": float(np.median(found)) if found else None,
            "worst": max(found, default=None),
        }
    if any(one.film.erosions for one in films):
        result["erosions"] = erosions_seen(films)
    return result


def _by_family(pairs: Pairs, maximum: int) -> dict[str, dict[str, float]]:
    families = np.array([family(int(site)) for site in pairs.sites])
    masks = {"all": np.ones(len(families), bool)} | {
        name: families == name for name in dict.fromkeys(families.tolist())
    }
    return {
        name: asdict(agreement.agreement(pairs.truth[mask], pairs.expected[mask], maximum))
        for name, mask in masks.items()
    }


def _surrogate(films: Sequence[ReadFilm], edges: Sequence[float]) -> dict[str, float] | None:
    """The stand-ins for the challenge's metrics, over examinations in which both kinds of cells were read."""
    truth: dict[str, dict[str, Array]] = {}
    score: dict[str, dict[str, Array]] = {}
    for number, study in enumerate(studies(films)):
        pairs = [pair for one in study for pair in one.pairs]
        kinds = {kind: [pair for pair in pairs if pair[0].kind == kind] for kind in ("erosion", "narrowing")}
        if all(kinds.values()):
            truth[str(number)] = {kind: np.array([grade for _, _, grade in mine]) for kind, mine in kinds.items()}
            score[str(number)] = {kind: np.array([r.expected for _, r, _ in mine]) for kind, mine in kinds.items()}
    return asdict(surrogate(truth, score, edges)) if truth else None


def confusion(pairs: Pairs, maximum: int) -> dict[str, NDArray[np.int64]]:
    """Family to (maximum + 1, maximum + 1) numbers of cells: grade of the reference down, grade read across."""
    families = np.array([family(int(site)) for site in pairs.sites])
    found: dict[str, NDArray[np.int64]] = {}
    for name in dict.fromkeys(families.tolist()):
        counts = np.zeros((maximum + 1, maximum + 1), np.int64)
        mine = families == name
        read = np.clip(np.rint(pairs.expected[mine]), 0, maximum).astype(int)
        np.add.at(counts, (np.rint(pairs.truth[mine]).astype(int), read), 1)
        found[name] = counts
    return found


def worst_films(films: Sequence[ReadFilm], count: int) -> list[ReadFilm]:
    """Those whose totals lie farthest from the reference, farthest first."""
    read = [one for one in films if next(one.pairs, None) is not None and one.limb is not None]
    return sorted(read, key=lambda one: -abs(one.difference))[:count]


def worst_cells(films: Sequence[ReadFilm], count: int) -> list[tuple[ReadFilm, Cell, Scored, float]]:
    """The cells whose grades lie farthest from the reference as a share of their scale, farthest first."""
    every = [(one, cell, reading, grade) for one in films if one.limb is not None for cell, reading, grade in one.pairs]
    return sorted(every, key=lambda row: -abs(row[2].expected - row[3]) / row[1].maximum)[:count]
