"""What is done with a trained network: calibrated, measured, written as a bundle."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from pipelines.bundle_configs import METADATA, read_metadata
from pipelines.knee_super_resolution.network import ThinSliceNet
from pipelines.knee_super_resolution.training.bundle_writer import (
    save_calibration,
    save_weights,
    stem,
    write_description,
)
from pipelines.knee_super_resolution.training.corpus import Corpus, digest_of
from pipelines.knee_super_resolution.training.description import calibrate, facts
from pipelines.knee_super_resolution.training.fit import checkpoint_of
from pipelines.knee_super_resolution.training.plan import Plan
from pipelines.lab import plots
from pipelines.lab.checkpoint import OtherTraining
from pipelines.lab.options import readable
from pipelines.lab.report_page import Report
from pipelines.lab.training_log import read_log


class Finish:
    """Writes the bundle of a training.

    Parameters
    ----------
    plan, corpus
        How, and on what.
    output
        Folder of the bundle.
    room
        Folder of the state and the log of the training.
    initial
        Weights that it began from.
    stop
        Step that it ended at, where that is not the last of the schedule.
    """

    def __init__(
        self,
        plan: Plan,
        corpus: Corpus,
        output: Path | str,
        room: Path | str,
        initial: Path | str | None = None,
        stop: int | None = None,
    ) -> None:
        self.plan, self.corpus, self.output, self.room = plan, corpus, Path(output), Path(room)
        self.initial, self.stop = initial, stop
        self.began = self.worked = 0.0

    def begin(self) -> None:
        """Start the clocks.

        Raises
        ------
        OtherTraining
            If the folder holds networks that learned from other data.
        """
        for name, training in self._others().items():
            if training.get("data_sha256") != digest_of(self.corpus):
                raise OtherTraining(f"{self.output}: {name} was trained on other data; name another folder")
        self.began, self.worked = time.monotonic(), time.process_time()

    def __call__(self, network: nn.Module) -> Mapping[str, Any]:
        """Calibrate and measure the network, write the bundle, and return what its metadata say of the training."""
        plan, corpus = self.plan, self.corpus
        network = network.to("cpu").eval()
        found = facts(network, plan, corpus, self.stop or plan.steps) | {
            "data_sha256": digest_of(corpus),
            "seconds": round(time.monotonic() - self.began),  # a run taken up again counts from there
            "core_seconds": round(time.process_time() - self.worked),
        }
        if self.initial is not None:
            found["initial_sha256"] = hashlib.sha256(Path(self.initial).read_bytes()).hexdigest()
        if isinstance(network, ThinSliceNet):
            save_calibration(calibrate(network, corpus), self.output)
        save_weights(network, plan, self.output)
        write_description(plan.method, corpus, self._others() | {stem(plan): found}, self.output)
        self._page(found)
        readable(self.output)
        checkpoint_of(plan, corpus, self.room).remove()
        return found

    def _page(self, found: Mapping[str, Any]) -> None:
        """Write report.html beside the log: what was trained on, to what gain, and the curves of the log."""
        page = Report(self.room, f"Knee super-resolution: training of {stem(self.plan)}")
        page.note(self.corpus.sentence())
        page.heading("Gain over the cubic spline")
        page.note(f"On patches of {found['judged_on']}.")
        gains = found["validation_gain_db"]
        page.table(("thin slices per thick slice", "dB"), list(gains.items()), "gains")
        page.heading("Course")
        log = self.room / "log.csv"
        if log.exists() and len(read_log(log)) > 1:  # one point is no curve
            page.picture("curves", plots.learning_curves(log), "Loss, gain and learning rate by step")
        else:
            page.note("The training was too short for curves.")
        page.heading("Settings")
        page.figures(found["plan"] | {name: found[name] for name in ("stopped_at", "seconds", "core_seconds", "tflop")})
        page.write()

    def _others(self) -> dict[str, Any]:
        """What the bundle's metadata say of networks for other ratios."""
        if self.plan.method != "deepresolve" or not (self.output / METADATA).exists():
            return {}
        known: Mapping[str, Any] = read_metadata(self.output)["training"]
        return {name: training for name, training in known.items() if name != stem(self.plan)}
