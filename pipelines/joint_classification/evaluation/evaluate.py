"""`condyle evaluate joint_classification`: measure the shipped model, its gate and its maps, and rivals side by side.

Every part is kept as json, so that an evaluation that was broken off goes on where it stopped. The model card is
written from what was measured. The exit code is 1 when a bar is missed or
nothing can be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dicom_sr.errors import UnsuitableInput
from pipelines.bundle_configs import INFERENCE, UnusableBundle
from pipelines.device import UnusableDevice
from pipelines.joint_classification.answers import ask
from pipelines.joint_classification.classifier import Classifier, load
from pipelines.joint_classification.evaluation import card
from pipelines.joint_classification.evaluation.figures import Measured, write_measured
from pipelines.joint_classification.evaluation.folds import _methods, five_fold
from pipelines.joint_classification.evaluation.gate import gate, real_pictures
from pipelines.joint_classification.evaluation.maps import maps
from pipelines.joint_classification.evaluation.own import TRAINED_ON_IT
from pipelines.joint_classification.evaluation.page import simulated_page
from pipelines.joint_classification.evaluation.patients import PATIENTS, TEST_SEED
from pipelines.joint_classification.evaluation.shipped import shipped
from pipelines.joint_classification.kinds import BUNDLE, KINDS, Dimensions
from pipelines.joint_classification.prepare import INPUTS
from pipelines.joint_classification.simulation import metacarpal, ultrasound
from pipelines.joint_classification.training.cases import simulated
from pipelines.joint_classification.training.train import LAYOUTS
from pipelines.lab.arguments import count, existing_folder, output_file, output_folder
from pipelines.lab.bundle_files import write_json
from pipelines.lab.options import add_bundle, add_data, add_device, add_report, add_threads, readable
from pipelines.lab.report_page import PAGE
from pipelines.lab.workflow import run_workflow

CARD_FILE = Path(__file__).parents[1] / "README.md"


def evaluate(
    dimensions: Dimensions,
    model: Classifier,
    parts: list[str],
    kept: Path,
    real: Path | None,
    say: Callable[[str], None],
    rival_folds: int,
    methods: list[str] | None = None,
) -> dict[str, Measured]:
    """Measure `parts`, or read them from `kept` if they were measured before.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    model
        The classifier to measure.
    parts
        Names of the parts, of `PARTS`.
    kept
        Folder for the figures.
    real
        Folder of real ultrasound that is to be refused; None: none.
    say
        Called with a line on each part that was measured.
    rival_folds
        How many of the five folds.
    methods
        Rows of the folds; all if None.

    Returns
    -------
    dict
        Part to its figures.
    """
    measures: dict[str, Callable[[], Measured]] = {
        "shipped": partial(shipped, dimensions, model),
        "gate": partial(gate, dimensions, model),
        "attention": partial(maps, dimensions, model),
        "clusters": partial(clusters, dimensions, model),
        "speed": partial(speed, dimensions, model),
    }
    if real is not None:
        measures["real"] = partial(real_pictures, model, real)
    found: dict[str, Measured] = {}
    kept.mkdir(parents=True, exist_ok=True)
    for name in parts:
        if name == "folds":
            found[name] = five_fold(dimensions, kept, rival_folds, say, methods)
        elif name in measures:
            path = kept / f"{name}_{dimensions}d.json"
            if not path.exists():
                began = time.monotonic()
                write_measured(path, measures[name]())
                say(f"{name}: measured in {time.monotonic() - began:.0f} s")
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def clusters(dimensions: Dimensions, model: Classifier) -> Measured:
    """Whether neighbours are of the same class, and whether the map is the same every time."""
    test = simulated(dimensions, TEST_SEED + 6, PATIENTS[dimensions] // 2, INPUTS[model.card.inputs])
    latent = ask(model.network, test.images).latent
    same = [
        float((model.map.conditions[model.map.nearest(one, 5)[0]] == label).mean())
        for one, label in zip(latent, test.labels, strict=True)
    ]
    shares = np.bincount(model.map.conditions, minlength=3) / len(model.map.conditions)
    again = model.map.place(ask(model.network, test.images[:4]).latent)
    moved = float(np.abs(again - model.map.place(latent[:4])).max())
    return {
        "cases": len(test),
        "known": len(model.map.conditions),
        "same_class": float(np.mean(same)),
        "chance": float(shares[test.labels].mean()),
        "moved": moved,
    }


def speed(dimensions: Dimensions, model: Classifier) -> Measured:
    """Seconds of a cine of 60 frames, or of one volume of 96 x 128 x 128, with as many threads as torch has here."""
    rng = np.random.default_rng(1)
    if dimensions == 2:
        images = np.stack([ultrasound.simulate(rng, "ra", 0).image] * 60)
    else:
        images = metacarpal.simulate(rng, "ra", 0, step=1).image[None]
    model.classify(images[:1])
    began = time.perf_counter()
    model.classify(images)
    asked = time.perf_counter() - began
    began = time.perf_counter()
    model.attention(images[0], 1)
    mapped = time.perf_counter() - began
    return {"classify_s": asked, "attention_s": mapped, "threads": torch.get_num_threads(), "images": len(images)}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(prog="condyle evaluate joint_classification", description=__doc__)
    options.add_argument("--dimensions", type=int, choices=(2, 3), default=2, help="2: ultrasound, 3: HR-pQCT")
    add_data(options, "a site's own labelled cases; without it, simulated patients", LAYOUTS, "labels")
    add_bundle(options)
    add_report(options)
    options.add_argument("--parts", default=",".join(PARTS), help="comma-separated, of " + ", ".join(PARTS))
    options.add_argument("--folds", type=count, default=5, help="how many of the five folds")
    options.add_argument("--methods", metavar="NAME,NAME", help="of the five folds: " + ", ".join(_methods(3)))
    options.add_argument("--real", type=existing_folder, metavar="FOLDER", help="real ultrasound that is to be refused")
    options.add_argument(
        "--keep", type=output_folder, default=KEPT, help=f"folder for what was measured; default: {KEPT}"
    )
    options.add_argument("--card", type=output_file, help="the model card to write; default: that of the bundle")
    add_threads(options)
    add_device(options)
    return options


KEPT = Path("joint-classification-evaluation")
PARTS = ("shipped", "gate", "real", "attention", "clusters", "speed", "folds")


def _mismatch(given: argparse.Namespace, parts: list[str], methods: list[str] | None) -> str:
    """Why options do not go together, "" where they do: none of them is left out in silence."""
    for option, names, known in (("--parts", parts, PARTS), ("--methods", methods or (), _methods(given.dimensions))):
        unknown = [name for name in names if name not in known]
        if unknown:
            return f"argument {option}: there is no {', '.join(map(repr, unknown))}; there are {', '.join(known)}"
    if given.real is not None and "real" not in parts:
        return "argument --real: needs real among --parts"
    if given.real is None and parts == ["real"]:
        return "argument --parts: real needs --real"
    if methods and "folds" not in parts:
        return "argument --methods: needs folds among --parts"
    if len(given.data) > 1:
        return "argument --data: one folder with one labels.csv is measured at a time"
    if given.data and not given.report:
        return "argument --data: needs --report, a folder for the page with the figures"
    return ""


def _on_own_data(dimensions: Dimensions, bundle: Path, given: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Run the bundle's `evaluate.json` on a folder of labelled cases."""
    folder = bundle / KINDS[dimensions]
    if not folder.is_dir():
        raise UnsuitableInput(f"{bundle}: has no bundle {KINDS[dimensions]}")
    run_workflow(
        folder,
        "evaluate",
        "infer",
        dataset_dir=str(given.data[0]),
        output_dir=str(given.report),
        device=given.device,
    )
    measured = json.loads((given.report / "measured.json").read_text(encoding="utf-8"))
    if measured["trained_on_this_folder"]:
        say(TRAINED_ON_IT)
    say(f"accuracy {measured['accuracy']:.3f}, calibration error {measured['ece']:.3f}; report: {given.report / PAGE}")


def _show_maps_by(method: str, bundle: Path) -> str:
    """Have a bundle show maps by another method, unless it is that of the package; a sentence on what was done."""
    if bundle.is_relative_to(BUNDLE):
        return f"the maps of {method} point best; the shipped bundle stays as it is and shows others"
    config = bundle / INFERENCE
    row = json.loads(config.read_text(encoding="utf-8"))
    write_json(config, row | {"judgement": row["judgement"] | {"heat_method": method}})
    readable(bundle)
    return f"maps are made by {method} from now on"


def main(arguments: list[str]) -> int:
    """Measure, write the card, say which bars are missed; 1 if one is missed or nothing can be measured, else 0."""
    made = parser()
    given = made.parse_args(arguments)
    parts, methods = given.parts.split(","), given.methods.split(",") if given.methods else None
    if why_not := _mismatch(given, parts, methods):
        made.error(why_not)
    torch.set_num_threads(given.threads)
    dimensions: Dimensions = given.dimensions
    bundle: Path = given.bundle or BUNDLE

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    try:
        if given.data:
            _on_own_data(dimensions, bundle, given, say)
            return 0
        model = load(dimensions, bundle, given.device)
        found = evaluate(dimensions, model, parts, given.keep, given.real, say, given.folds, methods)
    except UnusableDevice as error:
        made.error(f"argument --device: {error}")
    except (UnsuitableInput, UnusableBundle, OSError) as error:
        say(str(error))
        return 1
    shown = found.get("attention", {}).get("shown")
    if shown and shown != model.card.heat_method:
        say(_show_maps_by(shown, bundle / KINDS[dimensions]))
    own_card = CARD_FILE if bundle == BUNDLE else bundle / KINDS[dimensions] / "docs" / "README.md"
    card.write(given.card or own_card, bundle, dimensions, found)
    if given.report:
        say(f"report: {simulated_page(given.report, dimensions, model, found)}")
    missed = [bar for bar in card.bars(found) if not bar.met]
    for bar in missed:
        say(f"missed: {bar.what}: {bar.measured}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
