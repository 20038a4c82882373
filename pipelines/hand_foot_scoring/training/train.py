"""Training: `condyle train hand_foot_scoring --seed N` makes the shape model, both networks and the calibration.

With `--films FOLDER` some of the simulated patients of the heads are real healthy limbs with painted damage. With
`--data FOLDER --layout LAYOUT` the networks learn from a site's graded films too, mixed with simulated ones: patients
are divided into those to learn from, those to calibrate on and those to measure on. Started again after an
interruption, it continues from the state that it stores in the output folder.
"""

from __future__ import annotations

import argparse

from pydantic import ValidationError
from rich.console import Console

from pipelines.bundle_configs import UnusableBundle
from pipelines.device import UnusableDevice
from pipelines.hand_foot_scoring import BUNDLE
from pipelines.hand_foot_scoring.heads import LOSSES
from pipelines.hand_foot_scoring.training.data import layouts
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.graded_films import SHARES
from pipelines.hand_foot_scoring.training.localiser import CHILD_STEPS
from pipelines.hand_foot_scoring.training.plan import (
    CALIBRATION_PATIENTS,
    EPOCHS,
    GATE_PATIENTS,
    PARTS,
    PATIENTS,
    REAL_SHARE,
    SKELETONS,
    STEPS,
    Plan,
)
from pipelines.lab.arguments import count, existing_folder, existing_path, share, whole_number
from pipelines.lab.checkpoint import OtherTraining
from pipelines.lab.options import add_device, add_output, add_seed, add_threads
from pipelines.lab.workflow import run_workflow


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="condyle train hand_foot_scoring", description=__doc__)
    add_output(made)
    add_seed(made)
    add_device(made)
    add_threads(made)
    made.add_argument("--only", choices=PARTS, action="append", help="make only this part; may be repeated")
    made.add_argument(
        "--films",
        type=existing_folder,
        help="folder of the licensed radiographs, and of the micro-CT: localiser and heads learn from these too",
    )
    made.add_argument("--data", type=existing_path, help="folder of graded films; simulated films only if omitted")
    made.add_argument("--layout", choices=layouts.LAYOUTS, help=f"of --data. {layouts.HELP}")
    made.add_argument("--name", help="of the data, for the metadata and every result; else that of set or folder")
    made.add_argument("--licence", default="not stated", help="of the data, for the metadata")
    made.add_argument(
        "--real-share", type=share, default=REAL_SHARE, help="of what is learned from that is real, 0 to 1"
    )
    made.add_argument(
        "--sets",
        type=share,
        nargs=3,
        default=SHARES,
        metavar="SHARE",
        help="shares of the patients for training, calibration and test, where the data do not divide them",
    )
    made.add_argument(
        "--start", type=existing_folder, help="bundle whose networks the training starts from; else from random ones"
    )
    made.add_argument(
        "--skeletons", type=whole_number, default=SKELETONS, help="simulated, of each part, for the shape models"
    )
    made.add_argument("--steps", type=whole_number, default=STEPS, help="batches of 8 films for the localiser")
    made.add_argument(
        "--child-steps",
        type=whole_number,
        default=CHILD_STEPS,
        help="batches for its sign of open growth plates, afterwards",
    )
    made.add_argument("--patients", type=whole_number, default=PATIENTS, help="simulated patients for the damage heads")
    made.add_argument("--epochs", type=count, default=EPOCHS, help="of the damage heads")
    made.add_argument(
        "--calibration-patients",
        type=whole_number,
        default=CALIBRATION_PATIENTS,
        help="simulated patients for the calibration",
    )
    made.add_argument(
        "--gate-patients",
        type=whole_number,
        default=GATE_PATIENTS,
        help="simulated patients for the gate of the joints",
    )
    made.add_argument("--loss", choices=LOSSES, default="local_smoothing", help="of the damage heads")
    return made


def main(arguments: list[str]) -> int:
    """Train and write what was asked for; 0 on success, 1 if data or folders will not do, 2 if the options will not."""
    options = parser().parse_args(arguments)
    console = Console()
    try:
        plan = Plan.model_validate(vars(options))
        run_workflow(BUNDLE, "train", **plan.model_dump(mode="json"))
    except ValidationError as error:
        said = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        console.print(said, markup=False, soft_wrap=True)
        return 2
    except UnusableDevice as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 2
    except (OtherTraining, UnreadableData, UnusableBundle, OSError) as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    return 0
