"""The model card: written from what an evaluation measured, never by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.bundle_configs import METADATA, read_metadata, trained_on
from pipelines.knee_super_resolution import BUNDLE, DEEPRESOLVE_BUNDLE
from pipelines.knee_super_resolution.deepresolve import DeepResolve
from pipelines.knee_super_resolution.evaluation import rivals
from pipelines.knee_super_resolution.evaluation.rows import Row, gains, markdown
from pipelines.knee_super_resolution.network import ThinSliceNet
from pipelines.knee_super_resolution.training import dictionary
from pipelines.knee_super_resolution.training.plan import FACTORS
from pipelines.lab.card import write_section


def write_evaluation(card: Path, rows: Sequence[Row]) -> None:
    """Write the table of an evaluation into the card."""
    write_section(card, "evaluation", evaluation_text(rows))
    write_section(card, "costs", costs_text())
    write_section(card, "training", training_text())
    write_section(card, "baselines", rivals_text())


def evaluation_text(rows: Sequence[Row]) -> str:
    """Tables, paired gains and coverage; simulated and real volumes apart."""
    parts = []
    profile = ", ".join(sorted({row.profile for row in rows}))
    parts.append(
        f"Degradation: {profile} profile along each axis, then every k-th slice. Mean over volumes and axes, with its "
        "95 % bootstrap interval over subjects. pSNR and RMSE over the foreground, intensities over the input's "
        "99.9th percentile. "
        "Error above Nyquist: energy of the error over that of the truth, above the thick slices' Nyquist frequency."
    )
    for kind in dict.fromkeys(row.kind for row in rows):
        chosen = [row for row in rows if row.kind == kind]
        names = ", ".join(sorted({row.volume for row in chosen}))
        parts.append(f"### {kind.capitalize()} volumes\n\n{names}\n\n{markdown(chosen)}")
        lines = [
            f"| {factor} | {method} | {cell.mean:+.2f} ({cell.low:+.2f} to {cell.high:+.2f}) | {p:.2g} | {cell.rows} |"
            for method in dict.fromkeys(row.method for row in chosen)
            if method != "learned"
            for factor, (cell, p) in gains(chosen, method).items()
        ]
        if lines:
            heading = "| k | against | gain of learned, dB | Wilcoxon p | pairs |\n|---|---|---|---|---|"
            parts.append(heading + "\n" + "\n".join(lines))
    covered = [row for row in rows if row.coverage_90 is not None]
    if covered:
        lines = ["| k | coverage of the nominal 90 % interval |", "|---|---|"]
        for factor in sorted({row.factor for row in covered}):
            shares = [row.coverage_90 for row in covered if row.factor == factor and row.coverage_90 is not None]
            lines.append(f"| {factor} | {np.mean(shares):.3f} ({min(shares):.3f}-{max(shares):.3f}) |")
        parts.append("### Uncertainty\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def costs_text() -> str:
    """Multiply-adds per thin voxel of ours and of DeepResolve."""
    plan = read_metadata(BUNDLE)["training"]["model"]["plan"]
    ours = ThinSliceNet(plan["channels"], plan["blocks"])
    theirs = DeepResolve()
    lines = ["| k | learned, multiply-adds per thin voxel | DeepResolve | ratio |", "|---|---|---|---|"]
    for factor in FACTORS:
        mine = ours.multiply_adds(factor)
        lines.append(
            f"| {factor} | {mine:,.0f} | {theirs.multiply_adds():,.0f} | 1 : {theirs.multiply_adds() / mine:.1f} |"
        )
    return "\n".join(lines)


def rivals_text() -> str:
    """How the rivals that need settings are set."""
    patch, stride = f"{dictionary.PATCH} x {dictionary.PATCH} pixels", f"{rivals.STRIDE} pixels"
    return f"""\
- `scsr`: sparse coding in the form of Zeyde: patches of {patch} every {stride}, {dictionary.FEATURES} principal
  components of first and second derivatives, {dictionary.ATOMS} atoms, lasso weight {dictionary.SPARSITY}, a pair of
  dictionaries for each factor, on both planes that contain the slice axis, then the same projection as ours.
- `deepresolve`: 20 layers of 64, a network for each factor, residual to the cubic spline, no projection; root of the
  squared error over that of the spline; the same training volumes as ours.
- `selfsr`: a plane network of 7 layers of 32, trained on each volume's own planes for 200 steps of 8 patches, on both
  planes, then the same projection."""


def _ended(read: dict[str, Any]) -> str:
    """What a description says beyond the plan: an early end, weights that it began from."""
    text = "" if read["stopped_at"] == read["plan"]["steps"] else f", stopped at {read['stopped_at']}"
    if "initial_sha256" in read:
        text += f", from the weights `{read['initial_sha256'][:12]}`"
    return text


def _cost(read: dict[str, Any]) -> str:
    """What a training took; the first ones did not count the processor's time."""
    time = f"{read['core_seconds'] / 60:.0f} core-minutes" if "core_seconds" in read else f"{read['seconds']} s"
    return f"{time}, {read['tflop']:.0f} TFLOP"


def training_text() -> str:
    """What the shipped weights were trained on and how, from their descriptions."""
    parts = []
    for bundle in (BUNDLE, DEEPRESOLVE_BUNDLE):
        if not (bundle / METADATA).exists():
            continue
        metadata = read_metadata(bundle)
        for name, read in metadata["training"].items():
            plan = read["plan"]
            settings = ", ".join(f"{key} {plan[key]}" for key in ("seed", "steps", "rate", "depth", "thick", "size"))
            settings += f"{_ended(read)}; {_cost(read)}"
            gained = ", ".join(f"k = {k}: {value:+.2f} dB" for k, value in read["validation_gain_db"].items())
            parts.append(
                f"- `{name}`: {trained_on(bundle)}. Settings: {settings}. "
                f"Gain over cubic on patches of {read.get('judged_on', 'held-back volumes')}: {gained}. SHA-256 "
                f"`{metadata['weights_sha256'][f'{name}.safetensors']}`, PyTorch {read['torch']}."
            )
    return "\n".join(parts)
