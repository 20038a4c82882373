"""How long a radiograph takes from pixels to findings, by stage: `python benchmarks/hand_foot_scoring.py`.

One simulated radiograph of 2500 x 2000 pixels, and four films of one patient read as one study, with shipped networks.
Nothing is asserted; the table goes into the model card.

Found, on one core of two, the other idle: 0.38 s from pixels to scores and 0.41 s from file to findings.
Eight tenths of it are the localiser's: fits of the arrangement and the networks. A film is averaged down once and not
twice.

MONAI builds the bundle, once per worker: `load` took 0.05 s of a processor and 14 MB before, and takes 7.3 s and 200 MB
(a worker has 508 MB then, it had 319), on two cores that ten others used. Of a read film it takes 1 % (median of 25
pairs, the networks run by the bundle's inferers and by themselves).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from dicom_sr.phantoms import Person, study_header, write_radiograph
from dicom_sr.read.pixels import frames
from dicom_sr.series import Study, read_studies
from pipelines.hand_foot_scoring import HandFootScoring, HandFootScoringSettings, weights
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.reading import Reader
from pipelines.hand_foot_scoring.simulation.sample import LIMBS, film_of, stored
from pipelines.hand_foot_scoring.sites import Part, Side

SHAPE = (2500, 2000)


def simulated_study(folder: Path, limbs: Sequence[tuple[Part, Side]]) -> Study:
    """DX files of simulated limbs, one a file."""
    header = study_header(Person(), "benchmark", "SIMULATED hands and feet")
    paths = []
    for number, (part, side) in enumerate(limbs, start=1):
        made = film_of(part, side, number, shape=SHAPE)
        paths.append(write_radiograph(folder, header, stored(made), part.upper(), side, number, made.pixel_mm))
    (study,) = read_studies(paths)
    return study


def timed(call: Callable[[], object], repeats: int) -> tuple[str, str]:
    """Median seconds of a call on the clock and of the processor, after one to warm up.

    On a machine that others use as well the second one says more.
    """
    call()
    clock, processor = [], []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        call()
        clock.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    return f"{median(clock):.2f}", f"{median(processor):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = Table(
        "stage",
        "seconds",
        "of the processor",
        title=f"2500 x 2000 pixels, {options.threads} threads, median of {options.repeats}",
    )
    with tempfile.TemporaryDirectory() as folder:
        one = simulated_study(Path(folder) / "one", LIMBS[:1])
        four = simulated_study(Path(folder) / "four", LIMBS)
        start = time.perf_counter()
        trained = weights.load()
        table.add_row("networks into memory, once per worker", f"{time.perf_counter() - start:.2f}")
        picture = next(frames(one.instances[0])).array.astype(np.float32)
        finder, reader = Finder(trained.localiser, trained.shapes), Reader(trained)
        table.add_row("file to pixels", *timed(lambda: next(frames(one.instances[0])), options.repeats))
        table.add_row("pixels to joint centres", *timed(lambda: finder.find(picture), options.repeats))
        table.add_row("pixels to scores of every joint", *timed(lambda: reader.read(picture), options.repeats))
        for heatmaps in (False, True):
            pipeline = HandFootScoring(HandFootScoringSettings(heatmaps=heatmaps))
            pipeline.load()
            with_heat = "with attention maps" if heatmaps else "without attention maps"
            for name, study in (("one film", one), ("four films of a patient", four)):
                seconds = timed(lambda p=pipeline, s=study: p.run(s), options.repeats)  # type: ignore[misc]
                table.add_row(f"{name}, file to findings, {with_heat}", *seconds)
    Console().print(table)


if __name__ == "__main__":
    main()
