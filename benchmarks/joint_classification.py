"""How long a cine and a volume take from files to findings: `python benchmarks/joint_classification.py`.

A simulated cine of 60 frames of 600 x 800 pixels with Doppler, and a simulated HR-pQCT of 128 x 128 x 96 voxels, with
the shipped networks. Nothing is asserted; the table goes into the model card.

The networks are built through MONAI's configs. In a fresh process that has torch already (two cores shared with other
work, 1 thread), loading them took 0.13 to 0.21 s and 11 MB before that; with it 6.3 s of one core and 210 MB.
`import monai` is all of it (6.2 s), building the network 0.08 s, and a worker pays it once. What a cine of 20 frames
and a volume take afterwards is unchanged (seconds of one core, medians of three runs side by side: 1.75 and 0.69
before, 1.75 and 0.62 with it).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from dicom_sr.errors import UnsuitableInput
from dicom_sr.series import read_studies
from node.demo.samples import write_cine, write_metacarpal
from pipelines.joint_classification import JointClassification, JointClassificationSettings
from pipelines.joint_classification.assess import assess
from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.simulation.sample import demo_cine
from pipelines.joint_classification.ultrasound import read_clip

FRAMES, SIZE, PIXEL_MM = 60, (600, 800), 0.045


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
    table = Table("what", "seconds", title=f"{options.threads} threads, median of {options.repeats}")
    pipeline = JointClassification(JointClassificationSettings())
    start = time.perf_counter()
    pipeline.load()
    table.add_row("network for images into memory, once per worker", f"{time.perf_counter() - start:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "us.dcm"
        frames, box = demo_cine(frames=FRAMES, size=SIZE, pixel_mm=PIXEL_MM)
        write_cine(path, frames, box, PIXEL_MM)
        (cine,) = read_studies([path])
        model = load(2)
        clip = read_clip(cine.instances[0])
        name = f"cine of {FRAMES} frames"
        table.add_row(
            f"{name}: read, {len(clip.frames)} frames taken apart",
            f"{timed(lambda: read_clip(cine.instances[0]), options.repeats):.2f}",
        )
        table.add_row(f"{name}: window, votes, attention", f"{timed(lambda: assess(clip, model), options.repeats):.2f}")
        table.add_row(f"{name}: file to findings", f"{timed(lambda: pipeline.run(cine), options.repeats):.2f}")
        try:
            load(3)
        except UnsuitableInput as error:
            table.add_row("volume of 96 x 128 x 128: file to findings", str(error))
        else:
            slices = Path(folder) / "ct"
            slices.mkdir()
            write_metacarpal(slices)
            (volume,) = read_studies(slices.glob("*.dcm"))
            seconds = timed(lambda: pipeline.run(volume), options.repeats)
            table.add_row("volume of 96 x 128 x 128: file to findings", f"{seconds:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
