"""From readings to a result: findings with squares, totals, change, captures, heatmaps, images to look at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from dicom_sr.codes import private, score_range
from dicom_sr.findings import (
    Evaluation,
    Finding,
    Flag,
    Heatmap,
    ImagePanel,
    Mark,
    Measurement,
    NotEvaluable,
    Page,
    Panel,
    Region,
    Site,
    TablePanel,
)
from pipelines.hand_foot_scoring import codes
from pipelines.hand_foot_scoring.films import Chosen
from pipelines.hand_foot_scoring.reading import Reader
from pipelines.hand_foot_scoring.scoring import (
    CELLS,
    SMALLEST_DETECTABLE_DIFFERENCE,
    Cell,
    NotScored,
    Progression,
    Reading,
    Reason,
    Scored,
    Total,
    sens,
    total,
)
from pipelines.svh_sites import SVH_SITES, svh_site

SQUARE = 0.072  # side of a joint's square as a share of the limb's length: 14 mm on a mean adult
SHOWN = 1.0  # a score from here on is coloured on the capture
HEAT_FROM, HEATMAPS = 1.5, 6  # joints with a score from here on get a heatmap, the worst ones first
_WHY = {
    Reason.CHILD: "WHY-IMMATURE",
    Reason.COVERED: "WHY-OVERLAP",
    Reason.CROPPED: "WHY-CROPPED",
    Reason.FUSED: "WHY-IMPLANT",
    Reason.NO_IMAGE: "WHY-INPUT",
    Reason.NOT_FOUND: "WHY-NOTFOUND",
    Reason.PROSTHESIS: "WHY-IMPLANT",
    Reason.UNCERTAIN: "WHY-OOD",
}
_SIDES = {"L": "left", "R": "right"}


@dataclass(frozen=True)
class Place:
    """A site of one limb with its two cells."""

    chosen: Chosen
    name: str

    @property
    def cells(self) -> tuple[Cell, ...]:
        limb, side = self.chosen.key
        return tuple(c for c in CELLS if (c.side, c.limb, c.site) == (side, limb, self.name))

    @property
    def tracking_id(self) -> str:
        limb, side = self.chosen.key
        suffix = f" {limb}" if self.name == "IP1" else ""  # a hand and a foot both have one
        return f"SvH {side} {self.name}{suffix}"

    @property
    def site(self) -> Site:
        limb, side = self.chosen.key
        place = svh_site(limb, self.name)
        return Site(place.region, side, place.modifier)

    @property
    def outline(self) -> NDArray[np.float64]:
        """(5, 2) closed square round the joint, clipped to the picture."""
        limb = self.chosen.reading.limb
        centre = limb.centres.get(self.name)
        x, y = limb.expected[self.name] if centre is None else centre.point
        half = SQUARE * limb.length / 2
        height, width = self.chosen.film.array.shape
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
        points = [(x + 0.5 + dx * half, y + 0.5 + dy * half) for dx, dy in corners]
        return np.asarray(np.clip(np.array(points), 0, [width, height]), np.float64)

    @property
    def region(self) -> Region:
        return Region(self.chosen.film.image, self.outline)


def places(chosen: Chosen) -> tuple[Place, ...]:
    """The sites of a limb, in the order of the code table."""
    limb, _ = chosen.key
    return tuple(Place(chosen, site.id) for site in SVH_SITES if site.limb == limb)


def label(place: Place, readings: Mapping[Cell, Reading]) -> str:
    """What stands at a joint, e.g. ``MCP2 E2 J1``."""
    parts = [place.name]
    for cell in place.cells:
        reading = readings.get(cell)
        if isinstance(reading, Scored):
            parts.append(f"{'E' if cell.kind == 'erosion' else 'J'}{reading.expected:.0f}")
    return " ".join(parts) if len(parts) > 1 else f"{place.name} n/e"


def findings(
    limbs: Sequence[Chosen],
    readings: Mapping[Cell, Reading],
    correlation: float,
    progress: Progression | None = None,
) -> tuple[tuple[Finding, ...], tuple[NotEvaluable, ...]]:
    """One finding per site that was scored, with its change; sums per limb, over all; a remark per site not scored."""
    found: list[Finding] = []
    missing: list[NotEvaluable] = []
    for chosen in limbs:
        for place in places(chosen):
            _sort_in(place, readings, progress, found, missing)
    # a sum over nothing would read as a score of zero
    summed = [c for c in limbs if any(isinstance(readings.get(cell), Scored) for cell in _cells_of([c]))]
    found += [_limb_sum(chosen, readings, correlation) for chosen in summed]
    if summed:
        found.append(_all_sum(summed, readings, correlation))
    return tuple(found), tuple(missing)


def _sort_in(
    place: Place,
    readings: Mapping[Cell, Reading],
    progress: Progression | None,
    found: list[Finding],
    missing: list[NotEvaluable],
) -> None:
    measurements = []
    for cell in place.cells:
        reading = readings.get(cell)
        if isinstance(reading, Scored):
            name = codes.SVH_ERO if cell.kind == "erosion" else codes.SVH_JSN
            unit = score_range(cell.maximum)
            measurements.append(
                Measurement(name, round(reading.expected, 2), unit, round(reading.standard_deviation, 2))
            )
    if measurements:
        changes, course = ((), ()) if progress is None else _course(place, progress)
        found.append(
            Finding(
                place.tracking_id,
                codes.SVH_JOINT,
                place.site,
                place.region,
                (*measurements, *changes),
                course,
                image_label=label(place, readings),
            )
        )
        return
    missing.append(_missing(place, readings))


def _course(place: Place, progress: Progression) -> tuple[tuple[Measurement, ...], tuple[Evaluation, ...]]:
    """The change of each score of a site since the prior, and what it means where it means something."""
    changes = tuple(
        Measurement(
            codes.SVH_ERO_CHANGE if cell.kind == "erosion" else codes.SVH_JSN_CHANGE,
            round(progress.cells[cell].difference, 2),
            codes.NO_UNITS,
        )
        for cell in place.cells
        if cell in progress.cells
    )
    name = codes.SVH_COURSE
    course = []
    if any(cell in progress.progressed for cell in place.cells):
        course.append(Evaluation(name, codes.SVH_WORSE))
    if any(cell in progress.impossible for cell in place.cells):
        course.append(Evaluation(name, codes.SVH_REPAIRED))
    return changes, tuple(course)


def _missing(place: Place, readings: Mapping[Cell, Reading]) -> NotEvaluable:
    chosen = place.chosen
    if chosen.contradictions:
        why, sentence = "WHY-LATERALITY", "; ".join(chosen.contradictions)
    else:
        reading = readings.get(place.cells[0])
        reason = reading.reason if isinstance(reading, NotScored) else Reason.NO_IMAGE
        if chosen.reading.too_small:
            why, sentence = "WHY-QUALITY", "the limb is too small on the picture to tell an early erosion"
        else:
            why, sentence = _WHY[reason], reason.value
    return NotEvaluable(
        place.tracking_id,
        codes.SVH_JOINT,
        private(why),
        sentence[0].upper() + sentence[1:] + ".",
        place.site,
        place.region,
    )


def _sums(cells: Sequence[Cell], readings: Mapping[Cell, Reading], correlation: float) -> tuple[Total, Total, Total]:
    """Erosion, narrowing and both."""
    erosion = [c for c in cells if c.kind == "erosion"]
    narrowing = [c for c in cells if c.kind == "narrowing"]
    return (
        total(readings, erosion, correlation),
        total(readings, narrowing, correlation),
        total(readings, cells, correlation),
    )


def _number(name: Code, value: Total) -> Measurement:
    return Measurement(
        name,
        round(value.raw, 1),
        score_range(value.maximum),
        round(value.standard_deviation, 2),
        (round(value.interval[0], 1), round(value.interval[1], 1)),
    )


def _cells_of(limbs: Sequence[Chosen]) -> list[Cell]:
    keys = {chosen.key for chosen in limbs if not chosen.contradictions}
    return [cell for cell in CELLS if (cell.limb, cell.side) in keys]


def _limb_sum(chosen: Chosen, readings: Mapping[Cell, Reading], correlation: float) -> Finding:
    limb, side = chosen.key
    erosion, narrowing, both = _sums(_cells_of([chosen]), readings, correlation)
    return Finding(
        f"SvH {side} {limb} sum",
        codes.SVH_SUM,
        Site(codes.HAND if limb == "hand" else codes.FOOT, side),
        _whole(chosen),
        (_number(codes.SVH_ERO_LIMB, erosion), _number(codes.SVH_JSN_LIMB, narrowing)),
        (_completeness(both),),
    )


def _whole(chosen: Chosen) -> Region:
    height, width = chosen.film.array.shape
    corners = [(0, 0), (width, 0), (width, height), (0, height), (0, 0)]
    return Region(chosen.film.image, np.array(corners, np.float64))


def _completeness(value: Total) -> Evaluation:
    return Evaluation(codes.SVH_COMPLETE, codes.SVH_FULL if value.complete else codes.SVH_PARTIAL)


def _all_sum(limbs: Sequence[Chosen], readings: Mapping[Cell, Reading], correlation: float) -> Finding:
    erosion, narrowing, both = _sums(_cells_of(limbs), readings, correlation)
    numbers = [
        _number(codes.SVH_TOTAL, both),
        _number(codes.SVH_ERO_TOTAL, erosion),
        _number(codes.SVH_JSN_TOTAL, narrowing),
        Measurement(codes.SVH_ASSESSED, float(both.scored), codes.NO_UNITS),
    ]
    if both.prorated is not None and not both.complete:
        unit = score_range(both.maximum)
        numbers.insert(1, Measurement(codes.SVH_PRORATED, round(both.prorated, 1), unit))
    hands = any(chosen.key[0] == "hand" for chosen in limbs)
    sides = {chosen.key[1] for chosen in limbs}
    return Finding(
        "SvH total",
        codes.SVH_SUM,
        Site(codes.HAND if hands else codes.FOOT, "B" if len(sides) == 2 else next(iter(sides))),
        _whole(limbs[0]),
        tuple(numbers),
        (_completeness(both),),
    )


def change(progress: Progression, chosen: Chosen) -> Finding:
    """The change since the prior as a finding."""
    by_kind = {
        kind: sum(c.difference for cell, c in progress.cells.items() if cell.kind == kind)
        for kind in ("erosion", "narrowing")
    }
    unit = codes.NO_UNITS
    verdict = codes.SVH_CHANGED if progress.beyond_error else codes.SVH_STABLE
    return Finding(
        "SvH change",
        codes.SVH_SUM,
        Site(codes.HAND if chosen.key[0] == "hand" else codes.FOOT, "B"),
        _whole(chosen),
        (
            Measurement(codes.SVH_DELTA, round(progress.total.difference, 1), unit),
            Measurement(codes.SVH_ERO_DELTA, round(by_kind["erosion"], 1), unit),
            Measurement(codes.SVH_JSN_DELTA, round(by_kind["narrowing"], 1), unit),
        ),
        (Evaluation(codes.SVH_SDD, verdict),),
    )


# ---------------------------------------------------------------- words
def conclusion(
    limbs: Sequence[Chosen], readings: Mapping[Cell, Reading], correlation: float, progress: Progression | None
) -> tuple[str, ...]:
    """The sentences that a radiologist reads first."""
    cells = _cells_of(limbs)
    disagree = [
        f"{text[0].upper()}{text[1:]}: this limb was not counted." for chosen in limbs for text in chosen.contradictions
    ]
    if not any(isinstance(readings.get(cell), Scored) for cell in cells):
        return ("No joint could be scored.", *disagree)
    erosion, narrowing, both = _sums(cells, readings, correlation)
    shown = ", ".join(f"{_SIDES[c.key[1]]} {c.key[0]}" for c in limbs if not c.contradictions)
    damaged, counted = sens(readings, cells)
    lines = [
        f"Sharp/van der Heijde score of {shown}: {both.raw:.0f} of {both.maximum}"
        f" (erosion {erosion.raw:.0f}, narrowing {narrowing.raw:.0f}); 90 % interval"
        f" {both.interval[0]:.0f} to {both.interval[1]:.0f}.",
        f"SENS {damaged} of {counted} scored cells.",
    ]
    if not both.complete:
        prorated = "" if both.prorated is None else f"; prorated {both.prorated:.0f}"
        lines.append(
            f"{both.cells - both.scored} of {both.cells} cells could not be scored: the total lies between"
            f" {both.bounds[0]:.0f} and {both.bounds[1]:.0f}{prorated}."
        )
    lines += disagree
    if progress is not None:
        lines += change_lines(progress)
    return tuple(lines)


def change_lines(progress: Progression) -> list[str]:
    """What became of the joints since the prior."""
    verdict = "more" if progress.beyond_error else "not more"
    lines = [
        f"Change since the prior reading: {progress.total.difference:+.1f} over {len(progress.cells)} cells scored both"
        f" times, {verdict} than the smallest detectable difference of {SMALLEST_DETECTABLE_DIFFERENCE:.1f}."
    ]
    if progress.impossible:
        names = ", ".join(f"{c.side} {c.site} {c.kind}" for c in progress.impossible)
        lines.append(f"Cells that seem to have healed, which cannot be: {names}. Compare the pictures.")
    return lines


# ---------------------------------------------------------------- pictures
def heatmaps(reader: Reader, limbs: Sequence[Chosen], readings: Mapping[Cell, Reading]) -> tuple[Heatmap, ...]:
    """Where the score of the worst joints hangs on the grey values."""
    damaged = [
        (reading.expected / cell.maximum, place, cell)
        for chosen in limbs
        if not chosen.contradictions
        for place in places(chosen)
        for cell in place.cells
        if isinstance(reading := readings.get(cell), Scored) and reading.expected >= HEAT_FROM
    ]
    worst: dict[str, tuple[Place, Cell]] = {}
    for _, place, cell in sorted(damaged, key=lambda row: (-row[0], row[1].tracking_id, row[2].kind)):
        worst.setdefault(place.tracking_id, (place, cell))
    return tuple(
        Heatmap(
            place.chosen.film.image,
            reader.attention(place.chosen.film.array, place.chosen.reading.limb, cell.site, cell.kind),
            codes.SALIENCY,
            f"{place.tracking_id} {cell.kind} attention",
            site=place.site,
        )
        for place, cell in list(worst.values())[:HEATMAPS]
    )


def pages(
    title: str,
    limbs: Sequence[Chosen],
    readings: Mapping[Cell, Reading],
    lines: Sequence[str],
    correlation: float,
    progress: Progression | None = None,
) -> tuple[Page, ...]:
    """One page per limb with its joints, then one with every score, the sums and what was not evaluable."""
    pictures = [
        Page(f"{title}: {_name(chosen)}", (_picture(chosen, readings),), 1, tuple(lines[:1])) for chosen in limbs
    ]
    scores = tuple(_table(chosen, readings, correlation, progress) for chosen in limbs)
    return (*pictures, Page(f"{title}: scores", scores, min(2, len(scores)), tuple(lines)))


def _name(chosen: Chosen) -> str:
    return f"{_SIDES[chosen.key[1]]} {chosen.key[0]}"


def _picture(chosen: Chosen, readings: Mapping[Cell, Reading]) -> Panel:
    return ImagePanel(
        _name(chosen).capitalize(),
        chosen.film.array,
        pixel_mm=chosen.film.pixel_mm or (1.0, 1.0),
        marks=tuple(_mark(place, readings) for place in places(chosen)),
        caption="Squares: joints with erosion (E) and narrowing (J). Dashed: not evaluable.",
        laterality=chosen.key[1],
    )


def _mark(place: Place, readings: Mapping[Cell, Reading]) -> Mark:
    grades = [
        reading.expected / cell.maximum for cell in place.cells if isinstance(reading := readings.get(cell), Scored)
    ]
    if not grades:
        return Mark(place.outline, place.name, dashed=True)
    return Mark(place.outline, label(place, readings), level=max(grades))


def _table(
    chosen: Chosen, readings: Mapping[Cell, Reading], correlation: float, progress: Progression | None
) -> TablePanel:
    """Every score of a limb; a dash where the site has no such score, n/e where it was not evaluable."""
    changes = {} if progress is None else progress.cells
    rows: list[tuple[str, ...]] = [("site", "erosion", "narrowing")]
    remarks: dict[str, list[str]] = {}
    for place in places(chosen):
        texts = {"erosion": "-", "narrowing": "-"}
        for cell in place.cells:
            reading = readings.get(cell)
            if isinstance(reading, Scored):
                since = f" ({changes[cell].difference:+.1f})" if cell in changes else ""
                texts[cell.kind] = f"{reading.expected:.1f} ± {reading.standard_deviation:.1f}{since}"
            else:
                texts[cell.kind] = "n/e"
        if "n/e" in texts.values():
            remarks.setdefault(_missing(place, readings).sentence, []).append(place.name)
        rows.append((place.name, texts["erosion"], texts["narrowing"]))
    erosion, narrowing, both = _sums(_cells_of([chosen]), readings, correlation)
    if both.scored:
        rows.append(("sum", f"{erosion.raw:.1f}", f"{narrowing.raw:.1f}"))
    caption = " ".join(f"n/e {', '.join(names)}: {sentence}" for sentence, names in remarks.items())
    meaning = "Expected grade ± standard deviation" + (" (change since the prior)." if changes else ".")
    return TablePanel(_name(chosen).capitalize(), tuple(rows), f"{meaning} {caption}".strip())


def flags(limbs: Sequence[Chosen], progress: Progression | None) -> tuple[Flag, ...]:
    """Pictures to look at first: a side in doubt, joints that progressed beyond doubt, repair that cannot be."""
    found = []
    for chosen in limbs:
        image = chosen.film.image
        found += [Flag(image, text[0].upper() + text[1:] + ".") for text in chosen.contradictions]
        if progress is None:
            continue
        mine = [c for c in progress.progressed if (c.limb, c.side) == chosen.key] if progress.beyond_error else []
        if mine:
            found.append(Flag(image, "Progression: " + ", ".join(f"{c.site} {c.kind}" for c in mine) + "."))
        healed = [c for c in progress.impossible if (c.limb, c.side) == chosen.key]
        if healed:
            names = ", ".join(f"{c.site} {c.kind}" for c in healed)
            found.append(Flag(image, f"Seems to have healed, which cannot be: {names}."))
    return tuple(found)
