"""Memory and time of a segmentation of many segments: ``python -m benchmarks.segmentation [--segments 104]``.

A simulated CT of 400 x 512 x 512 in which ellipsoids stand for organs, as one label map that the segments share. Each
case runs in a process of its own, so that its peak is its own. "With a label map" is what `dicom_sr.write.segmentation`
does; "a mask each" gives it the same segments as arrays of bools of the whole volume, as a pipeline without label maps
would; "by highdicom" is highdicom given the label map, without the node's own encoder, written by pydicom.

Measured on 30 Nov 2026 on two cores that other work wanted too: 104 segments take 0.38 GB at most and 14 s, of which
0.26 GB are there before (the label map, the libraries); by highdicom 0.97 GB and 37 s. The bar is 4 GB. An array of
float32 for each segment, as the encoder made until then, would take 44 GB before anything is written.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.uid import CTImageStorage
from rich.console import Console
from rich.table import Table

from dicom_sr import phantoms
from dicom_sr.findings import Model, Result, Segment, Volume
from dicom_sr.profile import EncodingProfile
from dicom_sr.series import Study, read_studies
from dicom_sr.uids import uid

SHAPE = (400, 512, 512)
WAYS = {"map": "with a label map", "masks": "a mask each", "highdicom": "by highdicom"}
BAR_GB = 4.0


def write_ct(folder: Path, shape: tuple[int, int, int]) -> Study:
    """The headers of a CT: no encoder of segments looks at the pixels."""
    paths = []
    for k in range(shape[0]):
        ds = Dataset()
        ds.update(phantoms.study_header(phantoms.Person("SIM-CT"), "benchmark ct", "SIMULATED CT"))
        ds.SOPClassUID, ds.Modality = CTImageStorage, "CT"
        ds.SeriesInstanceUID, ds.SOPInstanceUID = uid("2.25", "benchmark ct"), uid("2.25", "benchmark ct", str(k))
        ds.FrameOfReferenceUID, ds.SeriesNumber, ds.InstanceNumber = uid("2.25", "benchmark frame"), 3, k + 1
        ds.Rows, ds.Columns, ds.PixelSpacing, ds.SliceThickness = shape[1], shape[2], ["0.8", "0.8"], "1.5"
        ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        ds.ImagePositionPatient = ["-200", "-200", str(1.5 * k)]
        paths.append(phantoms.write_instance(ds, folder, f"ct-{k:04d}.dcm"))
    (study,) = read_studies(paths)
    return study


def organs(count: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A label map of ellipsoids, 1 to `count`; a later one lies over an earlier one."""
    rng = np.random.default_rng(1)
    labels = np.zeros(shape, np.uint8)
    for number in range(1, count + 1):
        radius = rng.uniform(0.03, 0.12, 3) * shape
        centre = rng.uniform(radius, shape - radius)
        low = np.floor(centre - radius).astype(int)
        high = np.ceil(centre + radius).astype(int) + 1
        grid = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        inside = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radius, strict=True)) <= 1
        labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))][inside] = number
    return labels


def result_of(study: Study, labels: NDArray[np.uint8], count: int, *, shared: bool) -> Result:
    """What a pipeline returns."""
    affine = np.array([[0, 0, 0.8, -200], [0, 0.8, 0, -200], [1.5, 0, 0, 0], [0, 0, 0, 1]], np.float64)
    label_map = Volume(labels, affine)
    what = (standard.SCT.AnatomicalStructure, standard.SCT.Organ)
    if shared:
        segments = [Segment(f"Organ {n}", *what, label_map, label_value=n) for n in range(1, count + 1)]
    else:
        segments = [Segment(f"Organ {n}", *what, label_map.with_array(labels == n)) for n in range(1, count + 1)]
    model = Model("benchmark", "1.0", "ab" * 32, "nothing was trained")
    return Result(model, "Organs", study.series, segments=tuple(segments))


def measured(way: str, count: int, shape: tuple[int, int, int]) -> dict[str, float]:
    """Seconds of encoding, and gigabytes of memory at most: before it, with what is to be encoded, and in all."""
    from dicom_sr.write.encode import encode

    with tempfile.TemporaryDirectory() as name:
        study = write_ct(Path(name) / "in", shape)
        labels = organs(count, shape)
        result = result_of(study, labels, count, shared=way != "masks")
        before, start = peak_gb(), time.perf_counter()
        if way == "highdicom":
            size = by_highdicom(study, labels, count, Path(name) / "seg.dcm")
        else:
            profile = EncodingProfile(kinds=("segmentation_binary",))
            (one,) = encode(result, profile, datetime(2026, 11, 30, tzinfo=UTC), Path(name) / "out")
            size = one.size
        return {"seconds": time.perf_counter() - start, "before": before, "peak": peak_gb(), "size": size / 1e9}


def by_highdicom(study: Study, labels: NDArray[np.uint8], count: int, path: Path) -> int:
    """The object as highdicom makes it, saved by pydicom; its size in bytes."""
    import highdicom as hd

    from dicom_sr.write.references import stand_in

    sort, kind = standard.SCT.AnatomicalStructure, standard.SCT.Organ
    manual = hd.seg.SegmentAlgorithmTypeValues.MANUAL  # for it no algorithm has to be named
    described = [hd.seg.SegmentDescription(n, f"Organ {n}", sort, kind, manual) for n in range(1, count + 1)]
    images = [stand_in(header) for header in study.series[0].headers]
    ds = hd.seg.Segmentation(
        images, labels, "BINARY", described, uid("2.25", "s"), 1, uid("2.25", "i"), 1, "Simulation", "None", "1", "1"
    )
    ds.save_as(path)
    return path.stat().st_size


def peak_gb() -> float:
    """Most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=104)
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, metavar=("SLICES", "ROWS", "COLUMNS"))
    parser.add_argument("--ways", default="map,highdicom", help="of map, masks, highdicom, with commas between them")
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)  # what a child measures
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(json.dumps(measured(options.one, options.segments, tuple(options.shape))))
        return 0
    title = f"{options.segments} segments of {' x '.join(map(str, options.shape))}"
    table = Table("way", "seconds", "GB before", "GB at most", "GB written", title=title)
    peaks = {}
    for way in options.ways.split(","):
        asked = [*("--one", way, "--segments", str(options.segments)), "--shape", *map(str, options.shape)]
        command = [sys.executable, "-m", "benchmarks.segmentation", *asked]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            table.add_row(WAYS[way], f"ended with {done.returncode}", "", "", "")
            continue
        found = json.loads(done.stdout)
        peaks[way] = found["peak"]
        row = (f"{found[key]:.2f}" for key in ("seconds", "before", "peak", "size"))
        table.add_row(WAYS[way], *row)
    Console(width=100).print(table)
    return 0 if peaks.get("map", 0) < BAR_GB else 1


if __name__ == "__main__":
    sys.exit(main())
