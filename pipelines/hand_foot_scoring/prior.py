"""An earlier reading of the same patient, from the report that it was written to.

What the pipeline asks of whoever runs it: beside the study's own series, `Study.series` may hold series of modality SR
of another study of the same patient (another StudyInstanceUID). Of their reports the latest by study date is read; it
has to be one of this pipeline's own (TID 1500 with a group per site: the site as its private code, the side, the scores
as SVH-ERO and SVH-JSN). A report that holds no such group is taken for none. `HandFootScoring.wants_prior_report` tells
the node to look for it. Each study is read by itself and compared afterwards: the report says so ("reading order").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from dicom_sr.codes import CONDYLE
from dicom_sr.series import Instance, Study
from pipelines.hand_foot_scoring.codes import SVH_ERO, SVH_JSN
from pipelines.hand_foot_scoring.scoring import Cell, Kind, Reading, certain
from pipelines.hand_foot_scoring.sites import Side
from pipelines.svh_sites import SVH_SITES, SvhSite

_SITE_OF = {site.modifier_value: site for site in SVH_SITES}
_KIND_OF: dict[str, Kind] = {SVH_ERO.value: "erosion", SVH_JSN.value: "narrowing"}
_SIDE_OF: dict[str, Side] = {"7771000": "L", "24028007": "R"}  # SCT Left, Right (CID 244)
_STANDARD_DEVIATION = "386136009"  # of older reports, in which a deviation had the name of its score


def reports(study: Study) -> tuple[Instance, ...]:
    """The structured reports of other studies that a job was given besides its own, latest last."""
    found = [
        (str(header.get("StudyDate") or "") + str(header.get("StudyTime") or ""), instance)
        for series in study.series
        if series.modality == "SR" and series.study_instance_uid != study.study_instance_uid
        for instance, header in zip(series.instances, series.headers, strict=True)
    ]
    return tuple(instance for _, instance in sorted(found, key=lambda pair: (pair[0], pair[1].sop_instance_uid)))


@dataclass(frozen=True)
class ReportedSite:
    """One site in a report."""

    site: SvhSite
    side: Side
    readings: Mapping[Cell, Reading]
    image: str  # SOPInstanceUID of the picture on which it is marked; "" where it is on none
    centre: tuple[float, float] | None  # column and row, the centre of the upper left pixel at (0, 0)


def read(instance: Instance) -> dict[Cell, Reading]:
    """The readings in one of our own reports; empty if it holds none."""
    return {cell: reading for reported in sites(instance) for cell, reading in reported.readings.items()}


def sites(instance: Instance) -> Iterator[ReportedSite]:
    """The sites of one of our own reports, with what was read and where."""
    for group in _groups(pydicom.dcmread(instance.path)):
        site = next((_SITE_OF[code] for code in _private_codes(group) if code in _SITE_OF), None)
        side = next((_SIDE_OF[code] for code in _codes(group) if code in _SIDE_OF), None)
        if site is not None and side is not None:
            yield ReportedSite(site, side, _readings(group, site, side), *_region(group))


def _readings(group: Dataset, site: SvhSite, side: Side) -> dict[Cell, Reading]:
    cells: dict[Cell, Reading] = {}
    for item in group.ContentSequence:
        kind = _KIND_OF.get(_name(item)) if item.ValueType == "NUM" else None
        if kind is None or _STANDARD_DEVIATION in _codes(item):
            continue
        cell = Cell(side, site.limb, site.id, kind)
        value = float(item.MeasuredValueSequence[0].NumericValue)
        if 0 <= value <= cell.maximum:
            cells[cell] = certain(cell, value)
    return cells


def _region(group: Dataset) -> tuple[str, tuple[float, float] | None]:
    """The picture on which a group is marked, and the middle of the mark (PS3.3 C.18.6: pixels begin at their edge)."""
    for item in group.ContentSequence:
        if item.ValueType == "SCOORD" and item.get("ContentSequence"):
            points = np.asarray(item.GraphicData, np.float64).reshape(-1, 2)
            x, y = (points.min(axis=0) + points.max(axis=0)) / 2 - 0.5
            image = item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            return str(image), (float(x), float(y))
    return "", None


def _name(item: Dataset) -> str:
    sequence = item.get("ConceptNameCodeSequence")
    return str(sequence[0].get("CodeValue") or "") if sequence else ""


def _groups(item: Dataset) -> Iterator[Dataset]:
    """Every container in the tree that holds numbers."""
    children = item.get("ContentSequence") or []
    if any(child.get("ValueType") == "NUM" for child in children):
        yield item
    for child in children:
        yield from _groups(child)


def _concepts(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence") or []:
        yield from child.get("ConceptCodeSequence") or []
        yield from _concepts(child)


def _codes(item: Dataset) -> list[str]:
    return [str(code.get("CodeValue") or "") for code in _concepts(item)]


def _private_codes(item: Dataset) -> list[str]:
    return [str(code.CodeValue) for code in _concepts(item) if code.get("CodingSchemeDesignator") == CONDYLE.designator]
