"""Results that readers have judged, as ultrasound pictures with their class in the layout ``labels``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset

from dicom_sr.errors import UNREADABLE, UnsuitableInput
from dicom_sr.series import Instance
from pipelines.joint_classification.codes import CLASS, CLS_HC, CLS_PSA, CLS_RA
from pipelines.joint_classification.training.folder import NEEDED, TABLE
from pipelines.joint_classification.ultrasound import Frame, read_clip
from pipelines.lab.corrected import CorrectedCase, WrittenCases

_NAME = f"{CLASS.scheme_designator}:{CLASS.value}"
_LABELS = {
    f"{code.scheme_designator}:{code.value}": label
    for code, label in ((CLS_HC, "healthy"), (CLS_RA, "ra"), (CLS_PSA, "psa"))
}


def write_corrected(folder: Path, cases: Sequence[CorrectedCase]) -> WrittenCases:
    """Write the ultrasound pictures, cut out of their screens, and ``labels.csv`` with the classes that readers left.

    HR-pQCT scans are left out: what is judged is a scan, and no picture of it shows what was judged. Of several
    readings of a picture the last one counts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = WrittenCases("labels")
    rows: dict[str, dict[str, str]] = {}
    for case in cases:
        classes = {one.tracking_id: str(one.values.get(_NAME)) for one in case.findings}
        for tracking_id, image in _places(case.report):
            label = _LABELS.get(classes.get(tracking_id, ""))
            if label is None:
                continue
            if image not in rows:
                name = f"{case.name}-{len(rows)}.png"
                width = _picture(folder / name, case.images.get(image), written)
                if width is None:
                    continue
                rows[image] = {"file": name, "width_mm": f"{width:.3f}"}
            rows[image] |= {"patient": case.patient, "label": label}
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, (*NEEDED, "width_mm"))
        writer.writeheader()
        writer.writerows(rows.values())
    written.rows = len(rows)
    return written


def _places(report: Path) -> Iterator[tuple[str, str]]:
    """Tracking identifier and picture, as SOP Instance UID, of each finding that is marked on a picture."""
    try:
        yield from _marked(pydicom.dcmread(report))
    except UNREADABLE:
        return


def _marked(container: Dataset) -> Iterator[tuple[str, str]]:
    items = container.get("ContentSequence") or ()
    names = [str(item.TextValue) for item in items if _concept(item) == "112039"]  # Tracking Identifier
    for item in items:
        if names and item.get("ValueType") == "SCOORD" and item.get("ContentSequence"):
            yield names[0], str(item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        yield from _marked(item)


def _concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].get("CodeValue")) if names else ""


def _picture(path: Path, image: Path | None, written: WrittenCases) -> float | None:
    """Write the panel with the tissue alone, and return its width in mm; None where it cannot be had."""
    if image is None:
        written.left_out.append(f"{path.stem}: the image is not stored any more")
        return None
    try:
        frames = read_clip(Instance("", "", image)).frames
    except (UnsuitableInput, *UNREADABLE):
        written.left_out.append(f"{path.stem}: shows no ultrasound picture of a joint, or cannot be read")
        return None
    array, width_mm = _panel(frames[len(frames) // 2])
    Image.fromarray(array).save(path)
    return width_mm


def _panel(frame: Frame) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], float]:
    """The panel (H, W) with square pixels, without the screen round it, and its width in mm."""
    left, top, right, bottom = frame.panel.box
    assert frame.panel.pixel_mm is not None
    down_mm, across_mm = frame.panel.pixel_mm
    panel = np.rint(255 * np.clip(frame.screen.grey[top:bottom, left:right], 0, 1)).astype(np.uint8)
    whole = Image.fromarray(panel)
    size = (right - left, max(1, round((bottom - top) * down_mm / across_mm)))
    return np.asarray(whole.resize(size, Image.Resampling.BILINEAR)), (right - left) * across_mm
