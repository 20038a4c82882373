"""The two networks, each a MONAI bundle of its own: for ultrasound pictures and for HR-pQCT volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipelines.bundle import bundle_digest, files_in
from pipelines.bundle_configs import INFERENCE, METADATA, UnusableBundle, read_metadata

Dimensions = Literal[2, 3]

BUNDLE = Path(__file__).parent / "bundle"
KINDS: dict[Dimensions, str] = {2: "ultrasound", 3: "hr_pqct"}  # folder of each below that of the pipeline's bundles
WEIGHTS, CALIBRATION, GATE, MAP = (f"models/{name}.safetensors" for name in ("model", "calibration", "gate", "map"))
READ = (METADATA, INFERENCE, WEIGHTS, CALIBRATION, GATE, MAP)  # by inference


def kinds_in(bundle: Path) -> list[Dimensions]:
    """Which of the networks a folder has.

    Raises
    ------
    UnusableBundle
        If it has neither.
    """
    found = [dimensions for dimensions, name in KINDS.items() if (bundle / name).is_dir()]
    if not found:
        names = " nor ".join(f"a folder {name}" for name in KINDS.values())
        raise UnusableBundle(f"{bundle}: holds neither {names}; name the folder that `condyle train` was given")
    return found


def digest(bundle: Path = BUNDLE) -> str:
    """SHA-256, hex, over every file of the networks in a folder that inference reads.

    Raises
    ------
    UnusableBundle
        If there is no network, or one of its files is missing.
    """
    files: dict[str, Path] = {}
    for dimensions in kinds_in(bundle):
        name = KINDS[dimensions]
        try:
            files |= {f"{name}/{each}": path for each, path in files_in(bundle / name, *READ).items()}
        except FileNotFoundError as error:
            raise UnusableBundle(str(error)) from None
    return bundle_digest(files)


def trained_on(bundle: Path = BUNDLE) -> str:
    """The sentence on what the networks in a folder were trained on and what they may be used for.

    Raises
    ------
    UnusableBundle
        If their metadata do not say so.
    """
    sources: dict[str, None] = {}
    uses: dict[str, None] = {}
    for dimensions in kinds_in(bundle):
        folder = bundle / KINDS[dimensions]
        metadata = read_metadata(folder)
        for field, found in (("data_source", sources), ("intended_use", uses)):
            if field not in metadata:
                raise UnusableBundle(f"{folder / METADATA}: lacks {field}")
            found.setdefault(str(metadata[field]))
    return f"trained on {' and on '.join(sources)}; {'; '.join(uses)}"
