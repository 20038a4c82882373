"""How long a radiograph takes from pixels to findings, by stage: `python benchmarks/hand_foot_scoring.py`.

One simulated radiograph of 2500 x 2000 pixels, and four films of one patient read as one study, with shipped networks.
Nothing is asserted; the table goes into the model card.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from dicom_sr.phantoms import Person, study_header, write_radiograph
from dicom_sr.pixels import frames
from dicom_sr.series import Study, read_studies
from pipelines.hand_foot_scoring import HandFootScoring, Settings, bundle
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.radiograph import Exposure, View
from pipelines.hand_foot_scoring.reading import Reader
from pipelines.hand_foot_scoring.simulate import MIDDLE_MM, REACH_MM, film
from pipelines.hand_foot_scoring.skeleton import Part, foot, hand, random_disease

SHAPE = (2500, 2000)


def simulated_study(folder: Path, limbs: tuple[tuple[Part, str], ...]) -> Study:
    """DX files of simulated limbs, one a file."""
    header = study_header(Person(), "benchmark", "SIMULATED hands and feet")
    paths = []
    for number, (part, side) in enumerate(limbs, start=1):
        rng = np.random.default_rng(number)
        skeleton = (hand if part == "hand" else foot)(rng, random_disease(part, rng, 0.5), odd=False)
        view = View(SHAPE, REACH_MM[part] * skeleton.scale / 1900, 0.03, (0.0, 0.0), side == "R")
        middle = view.to_pixels(np.array([MIDDLE_MM[part]]) * skeleton.scale)[0]
        view = replace(view, origin=(SHAPE[1] / 2 - middle[0], SHAPE[0] * 0.52 - middle[1]))
        made = film(skeleton, view, rng, Exposure(noise=0.006, gamma=0.8), dressed=False, neighbour=False)
        pixels = np.clip(made.image * 3000 + 300, 0, 4095).astype(np.uint16)
        paths.append(write_radiograph(folder, header, pixels, part.upper(), side, number, made.pixel_mm))
    (study,) = read_studies(paths)
    return study


def timed(call: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call, after one to warm up."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    limbs: tuple[tuple[Part, str], ...] = (("hand", "R"), ("hand", "L"), ("foot", "R"), ("foot", "L"))
    table = Table(
        "stage", "seconds", title=f"2500 x 2000 pixels, {options.threads} threads, median of {options.repeats}"
    )
    with tempfile.TemporaryDirectory() as folder:
        one = simulated_study(Path(folder) / "one", limbs[:1])
        four = simulated_study(Path(folder) / "four", limbs)
        start = time.perf_counter()
        trained = bundle.load()
        table.add_row("networks into memory, once per worker", f"{time.perf_counter() - start:.2f}")
        picture = next(frames(one.instances[0])).array.astype(np.float32)
        finder, reader = Finder(trained.localiser), Reader(trained)
        table.add_row("file to pixels", f"{timed(lambda: next(frames(one.instances[0])), options.repeats):.2f}")
        table.add_row("pixels to joint centres", f"{timed(lambda: finder.find(picture), options.repeats):.2f}")
        table.add_row("pixels to scores of every joint", f"{timed(lambda: reader.read(picture), options.repeats):.2f}")
        for heatmaps in (False, True):
            pipeline = HandFootScoring(Settings(heatmaps=heatmaps))
            pipeline.load()
            with_heat = "with attention maps" if heatmaps else "without attention maps"
            for name, study in (("one film", one), ("four films of a patient", four)):
                seconds = timed(lambda p=pipeline, s=study: p.run(s), options.repeats)  # type: ignore[misc]
                table.add_row(f"{name}, file to findings, {with_heat}", f"{seconds:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
