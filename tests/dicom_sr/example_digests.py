"""The SHA-256 of every example object, each on a line as `sha256sum` prints it.

``python -m tests.dicom_sr.example_digests > tests/dicom_sr/example_digests.txt`` writes the list anew.

The bytes of a picture or of a simulated volume hang on the last digit of exp, sin and sums, which NumPy, glibc and
OpenBLAS compute by other instructions on other processors. So the examples are made in a process of their own in which
all three are held to what every processor has, and the version of the package is pinned, which every object holds.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from dicom_sr.profile import EncodedObject

VERSION = "0.0.0"  # in place of the package's own: a release must not change the list

_WRITE = f"""
import pickle, sys
from dataclasses import replace
from pathlib import Path
from dicom_sr import provenance
provenance.version = lambda package: {VERSION!r}
from pipelines.examples import write_examples
folder = Path(sys.argv[1])
written = {{
    name: tuple(replace(one, path=one.path.relative_to(folder)) for one in group)
    for name, group in write_examples(folder).items()
}}
(folder / "written.pickle").write_bytes(pickle.dumps(written))
"""


def written_in(folder: Path) -> dict[str, tuple[EncodedObject, ...]]:
    """The objects of all examples by name, as `write_examples` gives them; it writes them if they are not there yet.

    They are made in another folder, which becomes `folder` when all are there: a folder that exists is whole, whoever
    was killed meanwhile.
    """
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            made = Path(name) / "made"
            _write(made)
            made.rename(folder)
    found: dict[str, tuple[EncodedObject, ...]] = pickle.loads((folder / "written.pickle").read_bytes())
    return {name: tuple(replace(one, path=folder / one.path) for one in group) for name, group in found.items()}


def _write(folder: Path) -> None:
    command = [sys.executable, "-c", _WRITE, str(folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=_plain_processor(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


def digests(folder: Path) -> str:
    """The list of all examples in `folder`: a line per object, sorted by path."""
    objects = [one for group in written_in(folder).values() for one in group]
    lines = [f"{one.sha256}  {one.path.relative_to(folder).as_posix()}" for one in objects]
    return "\n".join(sorted(lines, key=lambda line: line.split()[1])) + "\n"


def _plain_processor() -> dict[str, str]:
    """The environment of a process that computes the same on every x86-64 processor."""
    # what NumPy chooses among when it starts
    dispatch: list[str] = vars(import_module("numpy._core._multiarray_umath"))["__cpu_dispatch__"]
    return os.environ | {
        "NPY_DISABLE_CPU_FEATURES": " ".join(dispatch),
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4,-AVX",
        "OPENBLAS_CORETYPE": "Nehalem",
        "OPENBLAS_NUM_THREADS": "1",
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.write(digests(Path(name) / "examples"))
