"""What it takes to write the objects of a result: ``python -m benchmarks.encoding [--against CHECKOUT]``.

One echo of a real knee (24 slices of 256 x 256), made about six times as thin by the pipeline, and its 154 objects
written with the default profile: 148 slices, the uncertainty map, two captures, two reports and a presentation state.
Times are of the processor, in processes of their own, the median of several. With ``--against``, another checkout of
this repository takes turns with this one: their ratio is what counts on a machine that does other work. Both must write
the same bytes. That the bytes are those that pydicom writes is held by ``tests/dicom_sr/write/test_explicit_vr.py``.

What the profiles of the code before 30 Nov 2026 showed: half of the time went into pydicom's writing of 148 data sets
that differ in five elements, and of trees of some thousand data sets (reports, frames of the map); a fifth into the
map, and into what refers to the slices, made anew for each object that does; a tenth into captures, whose pages were
drawn again at 0.8 times the size until they fitted, five times for two pages.

Where the rest goes, measured by kind on interpolated slices of the same echo (143 objects without captures of the
pipeline, 0.34 s of a core, 0.29 s once the map's frames were neither put into words nor searched for texts): 0.09 s
slices, nearly all of it hashing and writing 18 MB; 0.13 s the map, of which highdicom takes 0.08 s to build its frames;
0.06 s two reports, of which 0.03 s are their common tree. What is left of the map would need its frames built without
highdicom.

Measured on 30 Nov 2026 at load 10: against commit 4dded9b (1.4 s of an idle core) 0.28 of its time, so 0.39 s. The bar
is 0.5 s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parents[1]
KNEE = HERE.parent / "shared" / "data" / "mr" / "knee-mese-t2-ge"
NOWHERE = Path("/nonexistent")  # the data folder of a result that refers to no file in one
# run in the checkout that is measured: it may be one without this file
_ENCODE = """
import hashlib, json, sys, tempfile, time
from datetime import UTC, datetime
from pathlib import Path
from dicom_sr.profile import EncodingProfile
from dicom_sr.write.encode import encode
from node.run.plain_form import unpacked
from pipelines import registry
registry.pipeline_type("knee_super_resolution")
seconds, digest = [], hashlib.sha256()
for turn in range(int(sys.argv[2]) + 1):  # the first one imports
    result = unpacked(Path(sys.argv[1]).read_bytes(), Path("/nonexistent"))
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        objects = encode(result, EncodingProfile(), datetime(2026, 11, 30, tzinfo=UTC), Path(folder))
        seconds.append(time.process_time() - start)
for one in objects:
    digest.update(one.sha256.encode())
print(json.dumps({"seconds": seconds[1:], "objects": len(objects), "digest": digest.hexdigest()}))
"""


def infer(data: Path, result: Path) -> None:
    """Run the pipeline on the first echo, and keep its result in a file."""
    from benchmarks.super_resolution import first_echo
    from dicom_sr.series import read_studies
    from node.run.plain_form import packed
    from pipelines import registry

    (study,) = read_studies(first_echo(data))
    pipeline_type = registry.pipeline_type("knee_super_resolution")
    pipeline = pipeline_type(pipeline_type.settings_type())
    pipeline.load()
    result.write_bytes(packed(pipeline.run(study), NOWHERE))


@dataclass(frozen=True)
class Found:
    """What one process found."""

    seconds: list[float]  # of the processor, for each repetition
    objects: int
    digest: str  # of them all


def measured(checkout: Path, result: Path, repeats: int) -> Found:
    """Encode in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _ENCODE, str(result), str(repeats)]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Found(**json.loads(done.stdout))


def main() -> int:
    """Measure and print; exit code 1 if the bytes differ."""
    options = argparse.ArgumentParser(description="Time of encoding a real knee's result.")
    options.add_argument("--data", type=Path, default=KNEE, help="a knee series with several echoes")
    options.add_argument("--result", type=Path, help="keep the result there, or take it from there")
    options.add_argument("--against", type=Path, help="another checkout of this repository")
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--repeats", type=int, default=3, help="in each turn")
    chosen = options.parse_args()
    if not chosen.data.exists():
        sys.stdout.write(f"there is no knee at {chosen.data}\n")
        return 0
    sides = {"this code": HERE} | ({str(chosen.against): chosen.against.resolve()} if chosen.against else {})
    times: dict[str, list[float]] = {name: [] for name in sides}
    digests, objects = set(), 0
    with tempfile.TemporaryDirectory() as folder:
        result = chosen.result or Path(folder) / "result"
        if not result.exists():
            infer(chosen.data, result)
        for _ in range(chosen.turns):
            for name, checkout in sides.items():
                found = measured(checkout, result, chosen.repeats)
                times[name] += found.seconds
                objects = found.objects
                digests.add(found.digest)
    this = median(times["this code"])
    table = Table("side", "seconds of a core, median", "least", "this code takes", title=f"{objects} objects")
    for name, one in times.items():
        table.add_row(name, f"{median(one):.2f}", f"{min(one):.2f}", f"{this / median(one):.2f} of it")
    Console(width=100).print(table)
    same = len(digests) == 1
    sys.stdout.write(f"SHA-256 of all bytes: {', '.join(sorted(digests))}\n")
    sys.stdout.write("" if same else "THE BYTES DIFFER\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
