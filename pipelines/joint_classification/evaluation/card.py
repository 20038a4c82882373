"""The model card: its tables are written from what an evaluation measured, never by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicom_sr.words import capital
from pipelines.joint_classification.classifier import read_card
from pipelines.joint_classification.kinds import KINDS, Dimensions
from pipelines.lab.card import write_section

Measured = dict[str, Any]

NAMES = {2: "Ultrasound (2-D)", 3: "HR-pQCT (3-D)"}
# Folle et al., Front Med 2022;9:850552, input #2 (mask): clinical HR-pQCT, five folds, mean of the three classes
PAPER = {
    "auroc_healthy": "0.824 ± 0.044",
    "auroc_ra": "0.754 ± 0.034",
    "auroc_psa": "0.683 ± 0.051",
    "auroc_macro": "0.754",
    "f1": "0.579 ± 0.040",
    "precision": "0.592 ± 0.014",
    "recall": "0.586 ± 0.022",
    "lr_ra": "2.5 ± 0.25",
    "lr_psa": "1.6 ± 0.26",
}
LABELS = {
    "auroc_healthy": "AUROC healthy",
    "auroc_ra": "AUROC RA",
    "auroc_psa": "AUROC PsA",
    "auroc_macro": "AUROC macro",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "lr_healthy": "LR+ healthy",
    "lr_ra": "LR+ RA",
    "lr_psa": "LR+ PsA",
    "ece": "calibration error",
    "brier": "Brier score",
}


SIGNS = (
    " The two signs of `signs.py`, though, were made with simulated gout and osteoarthritis at hand: for these two "
    "rows the gate is not blind. The column without signs is."
)


@dataclass(frozen=True)
class Bar:
    """A requirement, and whether it was met."""

    what: str
    measured: str
    met: bool


def bars(found: dict[str, Measured]) -> list[Bar]:
    """The requirements that the figures can be checked against."""
    rows = []
    if "gate" in found:
        area, refused = found["gate"]["auroc"]["gate"], sum(found["gate"]["known_refused"].values())
        rows.append(Bar("AUROC of the gate over all unknowns at least 0.95", f"{area:.3f}", area >= 0.95))
        rows.append(Bar("at most 5 % of three-class cases refused", f"{refused:.1%}", refused <= 0.05))
    if "CSAE" in found.get("folds", {}).get("rows", {}):
        macro = found["folds"]["rows"]["CSAE"]["auroc_macro"][0]
        plain = found["folds"]["rows"]["age and sex"]["auroc_macro"][0]
        rows.append(Bar("five-fold macro AUROC over that of age and sex", f"{macro:.3f} / {plain:.3f}", macro > plain))
    if "clusters" in found:
        moved = found["clusters"]["moved"]
        rows.append(Bar("the same image at the same place of the map", f"moved by {moved:.1e}", moved < 1e-3))
    if "attention" in found:
        shown = found["attention"]["shown"]
        rows.append(Bar("a map method passes the randomisation check", shown or "none", bool(shown)))
    return rows


def write(path: Path, bundle: Path, dimensions: Dimensions, found: dict[str, Measured]) -> None:
    """Replace the section of one model; the rest of the card stays as it is.

    Parameters
    ----------
    path
        The card.
    bundle
        Folder of the bundles whose model was measured.
    dimensions
        2 for images, 3 for volumes.
    found
        Part of the evaluation to its figures.
    """
    parts = [f"## {NAMES[dimensions]}: what was measured", *_model(bundle, dimensions)]
    sections = {
        "shipped": _shipped,
        "gate": _gate,
        "real": _real,
        "folds": _folds,
        "attention": _attention,
        "clusters": _clusters,
        "speed": _speed,
    }
    for name, section in sections.items():
        if name in found:
            parts += section(found[name])
    met = bars(found)
    parts += [
        "### Bars",
        table(["bar", "measured", "met"], [[b.what, b.measured, "yes" if b.met else "**no**"] for b in met]),
    ]
    text = re.sub(r"(?<=\d)%", " %", "\n\n".join(parts))
    write_section(path, f"evaluation {dimensions}d", text)


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _model(bundle: Path, dimensions: Dimensions) -> list[str]:
    made = read_card(dimensions, bundle)
    training = made.training
    size = sum(path.stat().st_size for path in (bundle / KINDS[dimensions] / "models").iterdir()) / 1e6
    return [
        f"{capital(made.trained_on)}. "
        f"{training['steps']} steps of {training['batch']}, a = {training['alpha']}, "
        f"seed {training['seed']}, {training.get('seconds', 0) / 60:.0f} minutes on one CPU thread of a busy machine; "
        f"{size:.1f} MB; input: {made.inputs}."
    ]


def _shipped(row: Measured) -> list[str]:
    figures, interval = row["figures"], row["figures"]["interval"]
    rows = [
        [
            LABELS[name],
            f"{figures[name]:.3f}",
            f"{interval[name][0]:.3f} to {interval[name][1]:.3f}",
            PAPER.get(name, "-"),
        ]
        for name in LABELS
    ]
    severity = ", ".join(f"{right:.0%} from {low:.2f} ({number})" for low, right, number in row["severity"])
    refused = row["refused"]
    repeats = row["repeats"]
    text = [
        "### The shipped model on new simulated patients",
        f"{row['cases']} cases of {row['patients']} simulated patients, none of them trained or calibrated on; 95 % "
        "intervals by bootstrap over patients; F1, precision and recall are means of the classes; a likelihood ratio "
        "is that of a probability of at least 50 %. The paper's figures are clinical, of other images and other "
        "people, and not comparable: they only show what the published method reached.",
        table(["", "simulated", "95 % interval", "paper, clinical, not comparable"], rows),
        f"Right by severity (from that value on): {severity}; healthy {row['healthy_right']:.0%}. Refused as foreign "
        f"{refused['foreign']:.1%}, as uncertain {refused['uncertain']:.1%}.",
        "Reliability (confidence, share right, share of cases): "
        + "; ".join(f"{sure:.2f}, {right:.2f}, {count / row['cases']:.0%}" for sure, right, count in row["reliability"])
        + ".",
        f"Repeated scans of {repeats['joints']} joints: a 90 % interval holds the mean of the other scans in "
        f"{repeats['coverage']:.0%} (mean width {repeats['width']:.2f}); a scan agrees with the mean of all in "
        f"{repeats['agreement']:.0%}.",
    ]
    if "screened" in row:
        shown = row["screened"]
        text.append(
            f"The same after a scanner's screen ({shown['cases']} cases, drawn with writing and rulers and read as the "
            f"node reads them): macro AUROC {shown['figures']['auroc_macro']:.3f}, foreign "
            f"{shown['refused']['foreign']:.1%}, uncertain {shown['refused']['uncertain']:.1%}."
        )
    return text


def _gate(row: Measured) -> list[str]:
    scores = list(row["auroc"])
    rows = [
        [
            one["kind"].replace("_", " "),
            str(one["cases"]),
            *(f"{one['auroc'][name]:.3f}" for name in scores),
            f"{one['refused']:.0%}",
        ]
        for one in row["kinds"]
    ]
    total = str(sum(one["cases"] for one in row["kinds"]))
    rows.append(["**all**", total, *(f"**{row['auroc'][name]:.3f}**" for name in scores), f"**{row['refused']:.0%}**"])
    refused = row["known_refused"]
    return [
        "### The gate",
        f"AUROC of telling unknowns from {row['known']} three-class cases of new simulated patients. Nothing was "
        "trained or calibrated on these kinds; the limits come from three-class cases alone."
        + (SIGNS if "gate without signs" in row["auroc"] and _has_signs(row) else ""),
        table(["unknown", "cases", *scores, "refused"], rows),
        f"Three-class cases refused at the shipped limits: {sum(refused.values()):.1%} (foreign "
        f"{refused['foreign']:.1%}, uncertain {refused['uncertain']:.1%}).",
    ]


def _has_signs(row: Measured) -> bool:
    return any(one["kind"] == "gout" for one in row["kinds"])


def _real(row: Measured) -> list[str]:
    rows = []
    for one in row["files"]:
        why = one.get("why") or f"p = {one['p']:.3f}, the best of {one['windows']} windows"
        rows.append([one["file"], one["outcome"], why.replace("|", "/")])
    return [
        "### Real ultrasound of other parts of the body",
        "None of it shows a finger joint, so none of it should be classified.",
        table(["file", "outcome", "why"], rows),
    ]


def _folds(row: Measured) -> list[str]:
    names = list(row["rows"])
    shown = [name for name in LABELS if name in row["rows"][names[0]]]
    rows = [
        [
            LABELS[name],
            *(f"{row['rows'][one][name][0]:.3f} ± {row['rows'][one][name][1]:.3f}" for one in names),
            PAPER.get(name, "-"),
        ]
        for name in shown
    ]
    return [
        f"### {row['folds']} of five folds, by patient",
        f"{row['cases']} cases of {row['patients']} simulated patients; a network is trained anew for {row['steps']} "
        f"steps of {row['batch']} (the shipped one longer, on more). Mean ± standard deviation over folds; "
        "probabilities as they come out, not calibrated. The last column is clinical and not comparable."
        + (" CSAE a 1 is the ablation without the auto-encoder; else a is 0.8 or given." if "CSAE a 1" in names else "")
        + ("" if "CSAE" in names else " The auto-encoder and its ablation were not measured here: see Limits."),
        table(["", *names, "paper, clinical, not comparable"], rows),
    ]


def _attention(row: Measured) -> list[str]:
    rows = []
    for name, one in row["methods"].items():
        changed = one["randomised"]
        figures = (one["pointing"], one["iou"], one["pointing_other_class"], one["similarity_other_class"])
        rows.append([name, *(f"{value:.2f}" for value in figures), *(f"{value:.2f}" for value in changed.values())])
    heads = [f"rank correlation, random: {name}" for name in next(iter(row["methods"].values()))["randomised"]]
    return [
        "### Where the network looked",
        f"{row['cases']} diseased cases that were classified rightly. Pointing: the hottest pixel lies in the lesion "
        f"or a rim of it (chance on what is bright: {row['chance']:.2f}). IoU: with as many of the hottest pixels as "
        "the lesion has. Other class: the map for the other disease, which should point elsewhere. A method whose map "
        "stays alike (rank correlation over 0.5) when all parameters are random, or for another class, tells of the "
        "image, not of the network and the class, and may not be shown.",
        table(["method", "pointing", "IoU", "pointing, other class", "rank correlation, other class", *heads], rows),
        f"Shown: **{row['shown'] or 'none'}**.",
    ]


def _clusters(row: Measured) -> list[str]:
    return [
        "### The latent map",
        f"{row['known']} known cases are shipped. Of the five nearest to a new case {row['same_class']:.0%} are of its "
        f"class (chance {row['chance']:.0%}; {row['cases']} cases). The map is a fixed projection: asked again in "
        f"another batch, a case moves by {row['moved']:.1e}.",
    ]


def _speed(row: Measured) -> list[str]:
    what = "60 frames" if row["images"] > 1 else "a volume of 96 x 128 x 128"
    return [
        "### Speed",
        f"Classifying {what}: {row['classify_s']:.2f} s; one map: {row['attention_s']:.2f} s; threads of torch: "
        f"{row['threads']}.",
    ]
