"""From readings to captures: pictures with squares, tables of scores, heatmaps, images to look at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dicom_sr.findings import Flag, Heatmap, ImagePanel, Mark, Page, Panel, TablePanel
from pipelines.hand_foot_scoring import codes
from pipelines.hand_foot_scoring.films import Chosen
from pipelines.hand_foot_scoring.findings import not_evaluable, sums
from pipelines.hand_foot_scoring.places import SIDE_NAMES, Place, cells_of, label, places
from pipelines.hand_foot_scoring.reading import Reader
from pipelines.hand_foot_scoring.scoring import Cell, Progression, Reading, Scored

HEAT_FROM, HEATMAPS = 1.5, 6  # joints with a score from here on get a heatmap, the worst ones first


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
    return f"{SIDE_NAMES[chosen.key[1]]} {chosen.key[0]}"


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
            remarks.setdefault(not_evaluable(place, readings).sentence, []).append(place.name)
        rows.append((place.name, texts["erosion"], texts["narrowing"]))
    erosion, narrowing, both = sums(cells_of([chosen]), readings, correlation)
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
