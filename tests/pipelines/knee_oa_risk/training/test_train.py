"""Training as a command, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.knee_oa_risk import BUNDLE
from pipelines.knee_oa_risk.model import Ensemble
from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.training import train
from tests.pipelines.conftest import Refused


def test_training_writes_a_bundle_that_loads_and_answers(bundle: Any) -> None:
    ensemble = Ensemble.load(bundle)
    assert len(ensemble.networks) == 2
    risk = ensemble.risk(from_population(simulate(50, 1)))
    assert risk.value.shape == (50, 3)
    assert (risk.lower < risk.value).all()
    assert (risk.value < risk.upper).all()
    assert (np.diff(risk.value, axis=1) >= 0).all()
    assert {row["sex"] for row in ensemble.description.peers} == {"F", "M"}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "the following arguments are required: --output"),
        (["--output", str(BUNDLE)], "lies in the installed package"),
        (["--output", "own", "--data", "none"], "--data: none: there is no such file or folder"),
        (["--output", "own", "--recalibrate", "none"], "--recalibrate: none: there is no such file"),
        (["--output", "own", "--persons", "5"], "--persons: should be 1000 or more"),
        (["--output", "own", "--epochs", "0"], "--epochs: '0': should be a whole number, 1 or more"),
    ],
)
def test_what_cannot_be_read_or_written_is_said_before_training(options: list[str], why: str, refused: Refused) -> None:
    assert why in refused(train.main, options)


def test_a_bundle_can_be_read_by_every_account_and_holds_no_checkpoint(bundle: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in bundle.rglob("*") if path.is_file()} == {0o644}
    assert not list(bundle.glob("*.pt"))
    assert len(list(bundle.glob("log-*.csv"))) == 2
