"""`condyle train joint_classification`: runs the bundle's `train.json` with the command's values.

`python -m monai.bundle run` with the same config does the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from dicom_sr.errors import UnsuitableInput
from pipelines.device import UnusableDevice, resolved
from pipelines.joint_classification.kinds import BUNDLE, KINDS, Dimensions
from pipelines.joint_classification.prepare import INPUTS
from pipelines.lab.arguments import count, existing_folder, positive, share
from pipelines.lab.checkpoint import OtherTraining
from pipelines.lab.options import add_data, add_device, add_output, add_seed, add_threads
from pipelines.lab.workflow import run_workflow

SEED = 20220525
LAYOUTS = {
    "labels": "a folder with labels.csv: columns file, patient, label (healthy, ra, psa, unknown) and, where known, "
    "age, sex, width_mm; the patients of a table are kept together"
}
OF_CONFIG = ("patients", "held_out", "steps", "batch", "rate", "alpha", "inputs")  # None: as the config has them


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(prog="condyle train joint_classification", description=__doc__)
    options.add_argument("--dimensions", type=int, choices=(2, 3), default=2, help="2: ultrasound, 3: HR-pQCT")
    add_data(options, "a site's own cases; without it, simulated patients", LAYOUTS, "labels")
    add_output(options)
    options.add_argument("--inputs", choices=tuple(INPUTS), help="what a volume holds; default: grey")
    options.add_argument(
        "--initial", type=existing_folder, metavar="FOLDER", help="start from the weights of these bundles"
    )
    options.add_argument("--patients", type=count, help="simulated patients to train on")
    options.add_argument("--held-out", type=count, help="simulated patients to calibrate on")
    options.add_argument("--steps", type=count)
    options.add_argument("--batch", type=count)
    options.add_argument("--rate", type=positive, help="peak learning rate; default: 0.003")
    options.add_argument("--alpha", type=share, help="weight of the classification; 1: no auto-encoder; default: 0.8")
    add_seed(options, SEED)
    add_threads(options)
    add_device(options)
    return options


def main(arguments: list[str]) -> int:
    """Train and write the bundle; 0 on success, 1 if the data will not do, 2 if the options will not."""
    made = parser()
    given = made.parse_args(arguments)
    if len(given.data) > 1:
        made.error("argument --data: one folder with one labels.csv is trained on; put all cases into one table")
    dimensions: Dimensions = given.dimensions
    output: Path = given.output
    names = {"rate": "learning_rate"}
    values = {names.get(name, name): getattr(given, name) for name in OF_CONFIG if getattr(given, name) is not None}
    began = time.monotonic()
    try:
        run_workflow(
            BUNDLE / KINDS[dimensions],
            "train",
            dataset_dir=str(given.data[0]) if given.data else "",
            output_dir=str(output),
            initial=str(given.initial or ""),
            device=str(resolved(given.device)),
            threads=given.threads,
            seed=given.seed,
            **values,
        )
    except UnusableDevice as error:
        made.error(f"argument --device: {error}")
    except (UnsuitableInput, OtherTraining, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    (output / KINDS[dimensions] / "training" / "checkpoint.pt").unlink(missing_ok=True)
    spent = (time.monotonic() - began) / 60
    sys.stderr.write(f"trained in {spent:.1f} min, bundle in {output / KINDS[dimensions]}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
