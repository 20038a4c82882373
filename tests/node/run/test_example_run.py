"""A pipeline is tried on its example study before it is let near a patient's."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.run.messages import Failed, Tried, Try
from node.run.warm import Warm
from node.run.worker import answer
from pipelines.bundle import bundle_digest
from tests.node.run.trial_pipelines import NOWHERE, trial_bundle

pytestmark = pytest.mark.usefixtures("trial_installed")


def tried(folder: Path, pipeline: str = "trial_bundle", **settings: object) -> object:
    return answer(Try(folder / "try", pipeline, {"journal": str(NOWHERE), **settings}), Warm())


def digest(bundle: Path) -> str:
    return bundle_digest({"number.txt": bundle / "number.txt"})


def test_a_bundle_that_runs_is_named_with_what_was_made(tmp_path: Path) -> None:
    bundle = trial_bundle(tmp_path / "bundle", 2)
    done = tried(tmp_path, bundle=str(bundle))
    assert isinstance(done, Tried)
    assert (done.weights, done.trained_on, done.remark) == (digest(bundle), "made for tests, simulated", "")
    assert done.objects > 0


@pytest.mark.parametrize(("number", "why"), [("many", "broke"), (-1, "broke"), (float("nan"), "")])
def test_a_bundle_that_cannot_be_loaded_or_breaks_the_pipeline_is_refused(
    tmp_path: Path, number: object, why: str
) -> None:
    done = tried(tmp_path, bundle=str(trial_bundle(tmp_path / "bundle", str(number))))
    assert isinstance(done, Failed)
    assert why in done.reason


def test_a_bundle_of_another_digest_is_refused(tmp_path: Path) -> None:
    bundle = trial_bundle(tmp_path / "bundle", 2)
    done = tried(tmp_path, bundle=str(bundle), sha256="ab" * 32)
    assert isinstance(done, Failed)
    assert f"has the digest {digest(bundle)}" in done.reason


def test_a_pipeline_that_calls_its_example_unsuitable_is_not_broken(tmp_path: Path) -> None:
    bundle = trial_bundle(tmp_path / "bundle", 2)
    done = tried(tmp_path, bundle=str(bundle), behaviour="refuse_pixels")
    assert isinstance(done, Tried)
    assert (done.objects, done.remark) == (
        0,
        "it calls the simulated example study unsuitable: the images are empty",
    )


def test_a_pipeline_without_an_example_is_loaded_only(tmp_path: Path) -> None:
    done = tried(tmp_path, "trial")
    assert isinstance(done, Tried)
    assert (done.weights, done.objects, "loaded only" in done.remark) == ("0" * 64, 0, True)
