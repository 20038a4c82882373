"""From readings to captures: pictures with squares, tables of scores, heatmaps, images to look at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dicom_sr.findings import Flag, Heatmap, ImagePanel, Mark, Page, Panel, TablePanel
from dicom_sr.words import capital
from pipelines.hand_foot_scoring import codes
from pipelines.hand_foot_scoring.conclusion import not_counted, not_scored
from pipelines.hand_foot_scoring.film_sites import FilmSite, cells_of, film_sites, label
from pipelines.hand_foot_scoring.films import LimbFilm
from pipelines.hand_foot_scoring.findings import not_evaluable, sums
from pipelines.hand_foot_scoring.reading import Reader
from pipelines.hand_foot_scoring.scoring import Cell, Progression, Reading, Reason, Scored

HEAT_FROM, HEATMAPS = 1.5, 6  # joints with a score from here on get a heatmap, the worst ones first


def heatmaps(reader: Reader, limbs: Sequence[LimbFilm], readings: Mapping[Cell, Reading]) -> tuple[Heatmap, ...]:
    """Maps of what the scores of the worst joints depend on.

    Parameters
    ----------
    reader
        With the networks that gave the scores.
    limbs
        The picture of each limb.
    readings
        Reading of each cell; a cell without one counts as not evaluable.
    """
    damaged = [
        (reading.expected / cell.maximum, site, cell)
        for chosen in limbs
        if not chosen.contradictions
        for site in film_sites(chosen)
        for cell in site.cells
        if isinstance(reading := readings.get(cell), Scored) and reading.expected >= HEAT_FROM
    ]
    worst: dict[str, tuple[FilmSite, Cell]] = {}
    for _, site, cell in sorted(damaged, key=lambda row: (-row[0], row[1].tracking_id, row[2].kind)):
        worst.setdefault(site.tracking_id, (site, cell))
    return tuple(
        Heatmap(
            site.chosen.film.image,
            reader.attention(site.chosen.film.array, site.chosen.reading.limb, cell.site, cell.kind),
            codes.SALIENCY,
            f"{site.tracking_id} {cell.kind} attention",
            site=site.coded,
        )
        for site, cell in list(worst.values())[:HEATMAPS]
    )


def pages(
    title: str,
    limbs: Sequence[LimbFilm],
    readings: Mapping[Cell, Reading],
    lines: Sequence[str],
    correlation: float,
    progress: Progression | None = None,
) -> tuple[Page, ...]:
    """One page for each limb with its joints, then one with every score, the sums and what was not evaluable.

    Parameters
    ----------
    title
        Of the pipeline.
    limbs
        The picture of each limb.
    readings
        Reading of each cell; a cell without one counts as not evaluable.
    lines
        The conclusion.
    correlation
        Between the errors of two cells of one patient, 0..1.
    progress
        Change since the prior reading; None without one.
    """
    pictures = [
        Page(
            f"{title}: {chosen.reading.limb.name}",
            (_picture(chosen, readings),),
            1,
            _first_lines(chosen, readings, lines),
        )
        for chosen in limbs
    ]
    scores = tuple(_table(chosen, readings, correlation, progress) for chosen in limbs)
    return (*pictures, Page(f"{title}: scores", scores, min(2, len(scores)), tuple(lines)))


def _first_lines(chosen: LimbFilm, readings: Mapping[Cell, Reading], lines: Sequence[str]) -> tuple[str, ...]:
    """What stands above the picture of a limb: the total, or why the limb is no part of it."""
    return not_counted(chosen) or not_scored(cells_of([chosen]), readings) or tuple(lines[:1])


def _picture(chosen: LimbFilm, readings: Mapping[Cell, Reading]) -> Panel:
    return ImagePanel(
        capital(chosen.reading.limb.name),
        chosen.film.array,
        pixel_mm=chosen.film.pixel_mm or (1.0, 1.0),
        marks=tuple(_mark(site, readings) for site in film_sites(chosen)),
        caption="Squares: joints with erosion (E) and narrowing (J). Dashed: not evaluable.",
        laterality=chosen.key[1],
    )


def _mark(site: FilmSite, readings: Mapping[Cell, Reading]) -> Mark:
    grades = [
        reading.expected / cell.maximum for cell in site.cells if isinstance(reading := readings.get(cell), Scored)
    ]
    if not grades:
        return Mark(site.outline, site.name, dashed=True)
    return Mark(site.outline, label(site, readings), level=max(grades))


def _table(
    chosen: LimbFilm, readings: Mapping[Cell, Reading], correlation: float, progress: Progression | None
) -> TablePanel:
    """Every score of a limb; a dash where the site has no such score, n/e where it was not evaluable."""
    changes = {} if progress is None else progress.cells
    rows: list[tuple[str, ...]] = [("site", "erosion", "narrowing")]
    remarks: dict[str, list[str]] = {}
    for site in film_sites(chosen):
        texts = {"erosion": "-", "narrowing": "-"}
        for cell in site.cells:
            reading = readings.get(cell)
            if isinstance(reading, Scored):
                since = f" ({changes[cell].difference:+.1f})" if cell in changes else ""
                texts[cell.kind] = f"{reading.expected:.1f} ± {reading.standard_deviation:.1f}{since}"
            else:
                texts[cell.kind] = "n/e"
        if "n/e" in texts.values():
            remarks.setdefault(not_evaluable(site, readings).sentence, []).append(site.name)
        rows.append((site.name, texts["erosion"], texts["narrowing"]))
    erosion, narrowing, both = sums(cells_of([chosen]), readings, correlation)
    if both.scored:
        rows.append(("sum", *(f"{part.raw:.1f}" if part.scored else "n/e" for part in (erosion, narrowing))))
    caption = " ".join(f"n/e {', '.join(names)}: {sentence}" for sentence, names in remarks.items())
    meaning = "Expected grade ± standard deviation" + (" (change since the prior)." if changes else ".")
    return TablePanel(capital(chosen.reading.limb.name), tuple(rows), f"{meaning} {caption}".strip())


def flags(limbs: Sequence[LimbFilm], progress: Progression | None) -> tuple[Flag, ...]:
    """Images to look at first: a limb in doubt or unread, joints that progressed beyond doubt, impossible repair."""
    found = []
    for chosen in limbs:
        image = chosen.film.image
        more = Flag(image, chosen.film.more)
        if more.reason and more not in found:  # once for a picture of two limbs
            found.append(more)
        found += [Flag(image, capital(text) + ".") for text in chosen.contradictions]
        poor = chosen.reading.poor
        if poor is not None:
            found.append(Flag(image, capital(poor.value) + "."))
        elif chosen.reading.other_view:
            found.append(Flag(image, capital(Reason.VIEW.value) + "."))
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
