"""Time, memory and arithmetic of knee super-resolution on this machine.

    python -m benchmarks.super_resolution [--knee FOLDER] [--card FILE] [--threads 2]

Measures, in one run: the network as shipped beside the same network run plainly (float32, default layout, MONAI's
sliding window at its defaults, PyTorch as it comes), on a picture without air and on a real knee; a bare convolution,
for the share of the machine that is used; the real knee series from files to encoded objects; a 160 x 512 x 512 volume
with its peak memory; and what it costs a fresh process to have the model in memory.

As a MONAI bundle the model takes 10.1 s of processor time and 514 MB to load on the shared machine where the same
weights without MONAI took 2.9 s and 294 MB; 7.3 s and 255 MB of that are `import monai`, once in the life of a worker.
What the network computes is the same to the last bit, and takes as long.

What profiles said: four fifths of the time are the convolutions, a tenth is turning one number format or layout into
the next, 4 % the decoding. A fifth of the convolutions' time was the kernel handing out small pages for their results:
with large pages (see `pipelines`) one core went from 421 to 515 GFLOP/s. Most of the rest is waiting for main memory:
a stack that stays in the cache reaches 1240. Taking the rows of a tile through all layers in strips that stay there was
built and given up: what the convolutions gained (1.1) went into more calls and copies, and the
whole took as long (1.02 by processor time, 0.97 by the wall, medians of twelve turns; a processor without AMX).

Convolutions in int8 (oneDNN, weights by channel, activations by layer) were tried too: one of 32 channels takes 0.53 of
the time of bfloat16, the features 0.69, with the rounding between layers; the whole took no less (1.07 by processor
time), differed from bfloat16 by 0.18 of the full range in the worst voxel, and was given up.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch
from numpy.typing import NDArray
from torch import Tensor

from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.series import read_studies
from pipelines.bundle_configs import read_metadata
from pipelines.knee_super_resolution import BUNDLE, inference, metrics
from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.inference import Restorer
from pipelines.knee_super_resolution.model import load
from pipelines.knee_super_resolution.network import Geometry, ThinSliceNet
from pipelines.knee_super_resolution.simulation import thin_volumes
from pipelines.lab.card import write_section

KNEE = Path(__file__).resolve().parents[2] / "shared" / "data" / "mr" / "knee-mese-t2-ge"
LARGE = (160, 512, 512)  # acquired slices, rows, columns


@dataclass(frozen=True)
class Line:
    """One measurement."""

    what: str
    value: str


def restorer(half: bool | None = None) -> Restorer:
    """The shipped network, not shared with anything else in this process."""
    return load(half=half)


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.monotonic, "cpu": time.process_time}
clock = CLOCKS["wall"]  # processor time is what a busy machine can still be asked for; see --clock


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """The least of several durations, s, and what came out."""
    best, out = np.inf, None
    for _ in range(repeats):
        began = clock()
        out = work()
        best = min(best, clock() - began)
    return best, out


class Counted:
    """Counts the acquired voxels that go through the convolutions, and the time that takes."""

    def __init__(self, made: Restorer) -> None:
        self.voxels, self.seconds = 0, 0.0
        self.original = made.features
        made.features = self

    def __call__(self, thick: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        self.voxels += thick.numel()
        began = clock()
        out = self.original(thick, conditions)
        self.seconds += clock() - began
        return out


def knee_like(slices: int, size: int, spacing: float = 4.0) -> NDArray[np.float32]:
    """Thick slices of a simulated knee, enlarged to size."""
    from scipy.ndimage import zoom

    thin = thin_volumes.simulate_knee(3, (96, 96, 96), 1.0, "pd").array
    scaled = zoom(thin, (slices / 96, size / 96, size / 96), order=1)
    return np.asarray(scaled / metrics.scale_of(scaled), dtype=np.float32)


def convolution_gflops(slices: int, size: int, half: bool) -> float:
    """What a bare 32 to 32 convolution reaches on a stack of this size, GFLOP/s."""
    kind = torch.bfloat16 if half else torch.float32
    layer = torch.nn.Conv3d(32, 32, 3, padding=1, bias=False).to(kind).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    x = torch.randn(1, 32, slices, size, size).to(memory_format=torch.channels_last_3d).to(kind)
    with torch.inference_mode():
        layer(x)
        seconds, _ = timed(lambda: layer(x), repeats=5)
    return 2 * x.numel() * 32 * 27 / seconds / 1e9


def plainly(network: ThinSliceNet, thick: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """The same network in float32, default layout, MONAI's sliding window with its default overlap of 0.25."""
    from monai.inferers import sliding_window_inference

    with torch.inference_mode():
        out: Tensor = sliding_window_inference(
            torch.from_numpy(thick)[None], (96, 96), 1, lambda patch: network(patch, geometry)[0]
        )
    return out[0].numpy()


def simulated_knee(slices: int = 24, size: int = 256) -> NDArray[np.float32]:
    """Thick slices of a simulated knee that fills the picture: there is no air to leave out."""
    from scipy.ndimage import zoom

    fine = thin_volumes.simulate_knee(5, (96, 96, 96), 0.9, "pd").array
    thick = np.ascontiguousarray(zoom(fine, (slices / 96, size / 96, size / 96), order=1))
    return np.asarray(thick / metrics.scale_of(thick), dtype=np.float32)


def real_knee(folder: Path) -> NDArray[np.float32]:
    """The first echo of the real series, air round it."""
    stack = stacks(read_studies(first_echo(folder))[0].series[0])[0]
    array = np.asarray(read_stack(stack).array, dtype=np.float32)
    return np.asarray(array / metrics.scale_of(array), dtype=np.float32)


def first_echo(folder: Path) -> list[Path]:
    """The files of the first echo of a series."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() != ".txt")
    return [path for path in paths if int(pydicom.dcmread(path, stop_before_pixels=True).EchoNumbers) == 1]


def _geometry(slices: int, ratio: float) -> Geometry:
    coarse = ratio * np.arange(slices)
    return Geometry(coarse, np.arange(coarse[-1] + 1), SliceProfile("gaussian"), ratio)


def speed_against_plain(name: str, thick: NDArray[np.float32], ratio: float = 4.0) -> list[Line]:
    """Ours and the plain run on the same thick slices, with the difference of the results."""
    geometry = _geometry(len(thick), ratio)
    made = restorer()
    counted = Counted(made)
    asked = (thick, geometry.coarse, geometry.fine, geometry.profile, geometry.anisotropy)
    made.restore(*asked)
    ours, _ = made.restore(*asked, trust=inference.Trust(1.0, 1.0))  # the plain run asks no planes
    counted.voxels, counted.seconds = 0, 0.0
    ours_s, _ = timed(lambda: made.restore(*asked))
    plain_s, theirs = plainly_elsewhere(thick, ratio)
    mask = metrics.foreground(theirs)
    apart_db = metrics.psnr_db(ours, theirs, mask)
    weights = sum(each.weight.numel() for each in made.network.modules() if isinstance(each, torch.nn.Conv3d))
    lanes = torch.get_num_threads() if clock is CLOCKS["wall"] else 1  # tiles side by side count their time twice
    reached = 2 * weights * counted.voxels / (counted.seconds / lanes) / 1e9
    bare = convolution_gflops(len(thick), thick.shape[1], made.half)
    kind = "bfloat16" if made.half else "float32"
    return [
        Line(f"{name}, {' x '.join(map(str, thick.shape))}, ratio {ratio:g}, as shipped ({kind})", f"{ours_s:.2f} s"),
        Line("the same network plainly (float32, default layout, sliding window)", f"{plain_s:.2f} s"),
        Line("times faster", f"{plain_s / ours_s:.1f}"),
        Line("pSNR between the two results", f"{apart_db:.1f} dB"),
        Line("multiply-adds of the convolutions, per acquired voxel", f"{weights:,}"),
        Line("acquired voxels worked on, of those there are", f"{counted.voxels / thick.size:.2f}"),
        Line("convolutions reach", f"{reached:.0f} GFLOP/s"),
        Line("a bare 32-channel convolution in this run", f"{bare:.0f} GFLOP/s"),
        Line("share of the bare convolution", f"{reached / bare:.0%}"),
    ]


def plainly_elsewhere(thick: NDArray[np.float32], ratio: float) -> tuple[float, NDArray[np.float32]]:
    """Seconds and result of the plain run, in a process that has PyTorch as it comes: without our large pages."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/thick.npy", thick)
        which = next(name for name, each in CLOCKS.items() if each is clock)
        asked = f"{folder!r}, {ratio}, {torch.get_num_threads()}, {which!r}"
        done = subprocess.run(
            [sys.executable, "-c", f"from benchmarks.super_resolution import _plainly; _plainly({asked})"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "THP_MEM_ALLOC_ENABLE": "0"},
        )
        return float(done.stdout.splitlines()[-1]), np.load(f"{folder}/thin.npy")


def _plainly(folder: str, ratio: float, threads: int, which: str) -> None:
    global clock
    clock = CLOCKS[which]
    torch.set_num_threads(threads)
    thick = np.load(f"{folder}/thick.npy")
    plan = read_metadata(BUNDLE)["training"]["model"]["plan"]
    network = ThinSliceNet(plan["channels"], plan["blocks"])
    network.load_state_dict(restorer(half=False).network.state_dict())
    seconds, thin = timed(lambda: plainly(network.eval(), thick, _geometry(len(thick), ratio)))
    np.save(f"{folder}/thin.npy", thin)
    sys.stdout.write(f"{seconds}\n")


def knee_series(folder: Path) -> list[Line]:
    """One echo of the real series, from files to encoded objects, model warm."""
    from dicom_sr.profile import EncodingProfile
    from dicom_sr.write.encode import encode
    from pipelines.knee_super_resolution import KneeSuperResolution, KneeSuperResolutionSettings

    first = first_echo(folder)
    pipeline = KneeSuperResolution(KneeSuperResolutionSettings(method="learned", spacing=1.0))
    pipeline.load()
    with tempfile.TemporaryDirectory() as made:

        def all_of_it() -> int:
            result = pipeline.run(read_studies(first)[0])
            return len(encode(result, EncodingProfile(), datetime(2026, 1, 1, tzinfo=UTC), Path(made)))

        seconds, objects = timed(all_of_it, repeats=2)
    return [Line(f"real knee, 24 x 256 x 256, one echo to 1 mm, read and encode {objects} objects", f"{seconds:.1f} s")]


def large(ratio: float, which: str) -> list[Line]:
    """A large volume in a process of its own, with its peak memory."""
    script = f"from benchmarks.super_resolution import _large; _large({ratio}, {torch.get_num_threads()}, {which!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    read = json.loads(done.stdout.splitlines()[-1])
    name = f"{read['slices']} x 512 x 512 acquired to {read['made']} x 512 x 512"
    return [Line(name, f"{read['seconds']:.0f} s, peak {read['peak_gb']:.1f} GB")]


def _large(ratio: float, threads: int, which: str) -> None:
    global clock
    clock = CLOCKS[which]
    torch.set_num_threads(threads)
    slices = LARGE[0]
    thick = knee_like(slices, LARGE[1])
    coarse = ratio * np.arange(slices)
    fine = np.arange(coarse[-1] + 1)
    made = restorer()
    seconds, (thin, _) = timed(lambda: made.restore(thick, coarse, fine, SliceProfile("gaussian"), ratio))
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    report = {"slices": slices, "made": len(thin), "seconds": seconds, "peak_gb": peak_gb}
    sys.stdout.write(json.dumps(report) + "\n")


def loading() -> list[Line]:
    """What it costs a fresh process to have torch, MONAI and the model in memory, one after another."""
    script = (
        "import resource, time\n"
        "def resident(): return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 1e6\n"
        "def mark(): print(time.process_time(), resident())\n"
        "mark()\nimport torch\nmark()\nimport monai\nmark()\n"
        "from pipelines.knee_super_resolution.model import load_model\nload_model()\nmark()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    marks = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    steps = zip(("torch", "MONAI", "the bundle"), marks[:-1], marks[1:], strict=True)
    return [
        Line(f"loading {what}, processor time and memory", f"{late[0] - early[0]:.1f} s, {late[1] - early[1]:.0f} MB")
        for what, early, late in steps
    ]


def main() -> int:
    """Measure, print and, where asked, write into the model card."""
    options = argparse.ArgumentParser(description="Time, memory and arithmetic of knee super-resolution.")
    options.add_argument("--knee", type=Path, default=KNEE, help="a knee series with several echoes")
    options.add_argument("--card", type=Path, help="write the table into this model card")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--parts", default="plain,air,knee,large,loading", help="comma-separated: what to measure")
    options.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="cpu: processor time of all threads")
    chosen = options.parse_args()
    global clock
    clock = CLOCKS[chosen.clock]
    torch.set_num_threads(chosen.threads)
    parts: dict[str, Callable[[], list[Line]]] = {
        "plain": lambda: speed_against_plain("simulated knee that fills the picture", simulated_knee()),
        "air": lambda: speed_against_plain("real knee", real_knee(chosen.knee)) if chosen.knee.exists() else [],
        "knee": lambda: knee_series(chosen.knee) if chosen.knee.exists() else [],
        "large": lambda: large(2.0, chosen.clock),
        "loading": loading,
    }
    lines = []
    for part in chosen.parts.split(","):
        lines += parts[part]()
    table = "\n".join(["| what | measured |", "|---|---|", *(f"| {line.what} | {line.value} |" for line in lines)])
    sys.stdout.write(f"{chosen.threads} threads, {chosen.clock} time, PyTorch {torch.__version__}\n\n{table}\n")
    if chosen.card:
        write_section(chosen.card, "speed", f"{chosen.threads} CPU threads, {chosen.clock} time.\n\n{table}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
