"""The ensemble: its bundle, its risks with intervals, and a calibration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.bundle_configs import UnusableBundle
from pipelines.knee_oa_risk import BUNDLE, DESCRIPTION, WEIGHTS
from pipelines.knee_oa_risk.matrix import STATIC_NAMES, Batch
from pipelines.knee_oa_risk.model import Ensemble, EnsembleDescription, RiskCalibration
from pipelines.knee_oa_risk.network import RiskNetwork
from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.vocabulary import matrix_codes
from pipelines.knee_oa_risk.window import HORIZONS

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    """Three untrained networks; what is asked here does not depend on the weights."""
    torch.manual_seed(4)
    codes, values = len(matrix_codes()), len(STATIC_NAMES)
    description = EnsembleDescription(codes, values, 3, 4, 0, "none", RiskCalibration(), (1.0, 2.0, 3.0), 0.1)
    return Ensemble([RiskNetwork(codes, values) for _ in range(3)], description)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return from_population(simulate(40, 5))


def test_a_bundle_that_was_saved_loads_as_the_same_ensemble(ensemble: Ensemble, batch: Batch, tmp_path: Path) -> None:
    ensemble.save(tmp_path / "bundle")
    again = Ensemble.load(tmp_path / "bundle")
    assert again.description == ensemble.description
    assert np.array_equal(again.members_risk(batch), ensemble.members_risk(batch))


def test_a_bundle_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    card = json.loads((BUNDLE / DESCRIPTION).read_text(encoding="utf-8"))
    (tmp_path / DESCRIPTION).write_text(json.dumps(card | {"codes": card["codes"] - 1}), encoding="utf-8")
    with pytest.raises(ValueError, match="train it again"):
        Ensemble.load(tmp_path)


def test_a_bundle_that_lacks_a_file_or_holds_a_damaged_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableBundle, match=r"model\.json: cannot be read"):
        Ensemble.load(tmp_path)
    (tmp_path / DESCRIPTION).write_text("{}")
    with pytest.raises(UnusableBundle, match="does not describe a model"):
        Ensemble.load(tmp_path)
    (tmp_path / DESCRIPTION).write_bytes((BUNDLE / DESCRIPTION).read_bytes())
    (tmp_path / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(UnusableBundle, match="does not hold the weights"):
        Ensemble.load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"slope": [1, 1, 1]}'])
def test_a_file_that_holds_no_recalibration_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "site.json").write_text(text)
    with pytest.raises(ValueError, match="should be what condyle train --recalibrate wrote"):
        RiskCalibration.read(tmp_path / "site.json")


def test_a_risk_does_not_depend_on_who_is_asked_about_beside_it(ensemble: Ensemble, batch: Batch) -> None:
    whole = ensemble.members_risk(batch)
    assert whole.shape == (3, 40, len(HORIZONS))
    assert ensemble.members_risk(batch, chunk=7) == pytest.approx(whole, abs=1e-6)
    assert ensemble.members_risk(batch.take(np.array([11])))[:, 0] == pytest.approx(whole[:, 11], abs=1e-6)


def test_the_risk_is_the_mean_of_the_members_logits_and_its_interval_widens_with_their_spread(
    ensemble: Ensemble, batch: Batch
) -> None:
    members = ensemble.members_risk(batch)
    logits = np.log(members / (1 - members))
    half = np.array([1.0, 2.0, 3.0]) * np.hypot(logits.std(axis=0), 0.1)
    risk = ensemble.risk(batch)
    # no horizon's mean lies below that of an earlier one here, so that nothing is lifted
    for found, expected in zip(
        (risk.value, risk.lower, risk.upper),
        (logits.mean(axis=0), logits.mean(axis=0) - half, logits.mean(axis=0) + half),
        strict=True,
    ):
        assert found == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-6)


def test_a_sites_recalibration_comes_on_top_of_value_and_interval(ensemble: Ensemble, batch: Batch) -> None:
    doubled = RiskCalibration((float(np.log(2.0)),) * 3, (1.0,) * 3, "a test")
    before, after = ensemble.risk(batch), ensemble.risk(batch, doubled)
    for old, new in zip(
        (before.value, before.lower, before.upper), (after.value, after.lower, after.upper), strict=True
    ):
        assert new / (1 - new) == pytest.approx(2 * old / (1 - old), rel=1e-6)


def test_a_calibration_never_puts_a_later_horizon_below_an_earlier_one() -> None:
    steep = RiskCalibration((0.0, -3.0, 0.0), (1.0,) * 3)
    assert steep.apply(np.array([0.2, 0.3, 0.4])) == pytest.approx([0.2, 0.2, 0.4])


def test_a_calibration_that_was_written_is_read_as_the_same(tmp_path: Path) -> None:
    given = replace(RiskCalibration(), intercept=(0.1, -0.2, 0.3), slope=(0.9, 1.1, 1.0), source="outcomes of a test")
    given.write(tmp_path / "site.json")
    assert RiskCalibration.read(tmp_path / "site.json") == given
