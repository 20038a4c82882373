"""Which weights a result names: always those that made it, whatever becomes of their files."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
from pydicom.sr.codedict import codes
from safetensors import safe_open
from safetensors.numpy import save_file

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Finding, Measurement, Model, Result
from dicom_sr.series import Study
from pipelines import registry
from pipelines.base import Pipeline, PipelineSettings
from pipelines.bundle import BundleError, BundleSettings
from pipelines.context import ClinicalContext
from pipelines.example import Example
from pipelines.hand_foot_scoring.simulation.sample import film_of, stored
from pipelines.loading import LoadedPipeline
from tests.factories import MODEL, knee_study


class Scale:
    """A plain pipeline of somebody else: its answer is the number that its bundle holds."""

    name: ClassVar[str] = "scale"
    version: ClassVar[str] = "1.0"
    title: ClassVar[str] = "Scale"
    level: ClassVar[Literal["series", "study"]] = "series"
    needs_context: ClassVar[bool] = False
    settings_type: ClassVar[type[PipelineSettings]] = BundleSettings
    meanwhile: ClassVar[Callable[[str], object]] = lambda _: None  # what happens in the middle of loading or running

    def __init__(self, settings: PipelineSettings) -> None:
        bundle = BundleSettings.of(settings).bundle
        assert bundle is not None
        self.file = bundle / "number.txt"
        digest = hashlib.sha256(self.file.read_bytes()).hexdigest()
        self.model = Model(self.name, self.version, digest, "nothing")  # as it was when this was made
        self.number = 0.0

    def check(self, study: Study) -> None:
        """Any study will do."""

    def load(self) -> None:
        self.number = float(self.file.read_text())
        Scale.meanwhile("load")

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        Scale.meanwhile("run")
        if self.number < 0:
            raise UnsuitableInput("a negative scale")
        length = Measurement(codes.SCT.Length, self.number, codes.UCUM.Millimeter)
        finding = Finding("Scale", codes.SCT.Bone, measurements=(length,))
        return Result(self.model, self.title, study.series, ("A scale.",), (finding,))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return knee_study(tmp_path / "study")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "number.txt").write_text("1")
    return tmp_path / "bundle"


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], object]], None]:
    return lambda what: monkeypatch.setattr(Scale, "meanwhile", staticmethod(what))


def digest_of(number: str) -> str:
    return hashlib.sha256(number.encode()).hexdigest()


def answer(result: Result) -> tuple[float, str]:
    return result.findings[0].measurements[0].value, result.model.weights_digest


class Writes:
    """Writes numbers into a bundle, one each time that a pipeline comes to a point."""

    def __init__(self, bundle: Path, where: str, *numbers: str) -> None:
        self.bundle, self.where, self.left = bundle, where, list(numbers)

    def __call__(self, where: str) -> None:
        if where == self.where and self.left:
            (self.bundle / "number.txt").write_text(self.left.pop(0))


def test_a_pipeline_of_somebody_else_is_loaded_anew_when_its_bundle_changed(bundle: Path, study: Study) -> None:
    loaded = LoadedPipeline(Scale, {"bundle": bundle})
    assert answer(loaded.run(study)) == (1.0, digest_of("1"))
    first, _ = loaded.load()
    assert loaded.load()[0] is first
    (bundle / "number.txt").write_text("2")
    assert answer(loaded.run(study)) == (2.0, digest_of("2"))


@pytest.mark.parametrize("where", ["load", "run"])
def test_files_that_change_meanwhile_are_read_again(
    bundle: Path, study: Study, where: str, meanwhile: Callable[[Callable[[str], object]], None]
) -> None:
    meanwhile(Writes(bundle, where, "2"))
    assert answer(LoadedPipeline(Scale, {"bundle": bundle}).run(study)) == (2.0, digest_of("2"))


def test_a_refusal_is_that_of_the_files_as_they_are_afterwards(
    bundle: Path, study: Study, meanwhile: Callable[[Callable[[str], object]], None]
) -> None:
    (bundle / "number.txt").write_text("-1")
    meanwhile(Writes(bundle, "run", "2"))
    assert answer(LoadedPipeline(Scale, {"bundle": bundle}).run(study)) == (2.0, digest_of("2"))


@pytest.mark.parametrize("where", ["load", "run"])
def test_files_that_change_all_the_time_are_refused(
    bundle: Path, study: Study, where: str, meanwhile: Callable[[Callable[[str], object]], None]
) -> None:
    meanwhile(Writes(bundle, where, *map(str, range(2, 20))))
    with pytest.raises(BundleError, match="change while"):
        LoadedPipeline(Scale, {"bundle": bundle}).run(study)


def test_a_bundle_whose_files_change_while_they_cannot_be_loaded_is_loaded_when_they_can(
    bundle: Path, study: Study, meanwhile: Callable[[Callable[[str], object]], None]
) -> None:
    def half(where: str) -> None:
        if (bundle / "number.txt").read_text() == "1":
            (bundle / "number.txt").write_text("2")
            raise ValueError("half of it is of another bundle")

    meanwhile(half)
    assert answer(LoadedPipeline(Scale, {"bundle": bundle}).run(study)) == (2.0, digest_of("2"))


def test_a_bundle_of_another_digest_than_the_settings_name_is_not_loaded(bundle: Path, study: Study) -> None:
    pinned = LoadedPipeline(Scale, {"bundle": bundle, "sha256": digest_of("1")})
    assert answer(pinned.run(study)) == (1.0, digest_of("1"))
    (bundle / "number.txt").write_text("2")
    with pytest.raises(BundleError, match=f"has the digest {digest_of('2')}, .* asks for {digest_of('1')}"):
        pinned.run(study)
    (bundle / "number.txt").write_text("1")
    assert answer(pinned.run(study)) == (1.0, digest_of("1"))


def test_a_bundle_that_goes_away_is_named(bundle: Path, study: Study) -> None:
    loaded = LoadedPipeline(Scale, {"bundle": bundle})
    loaded.run(study)
    shutil.rmtree(bundle)
    with pytest.raises(BundleError, match=r"number\.txt"):
        loaded.run(study)


# ---- the pipelines that ship
WEIGHTS = {
    "hand_foot_scoring": "models/damage.safetensors",
    "joint_classification": "ultrasound/models/model.safetensors",
    "knee_oa_risk": "weights.safetensors",
    "knee_super_resolution": "models/model.safetensors",
}


def given(name: str, folder: Path) -> Example:
    """A study, and a record where one is wanted, on which the pipeline's network has a say."""
    kind: type[Pipeline] = registry.pipeline_type(name)
    if name != "hand_foot_scoring":
        example: Example = kind.example(folder)  # type: ignore[attr-defined]
        return example
    from dicom_sr.phantoms import Person, study_header, write_radiograph
    from pipelines.example import only_study

    film = film_of("hand", "R", 31)
    header = study_header(Person(), "one", "SIMULATED hand")
    path = write_radiograph(folder, header, stored(film), "HAND", "R", 1, film.pixel_mm)
    study = only_study([path])
    return Example(study, Result(MODEL, "", study.series, ("",)))


def change(bundle: Path, name: str) -> None:
    """Make another network of the one in the bundle."""
    path = bundle / WEIGHTS[name]
    with safe_open(str(path), "np") as before:
        metadata = before.metadata()
        arrays = {key: before.get_tensor(key) for key in before.keys()}  # noqa: SIM118
    floats = {key: np.array(array * array.dtype.type(0.9)) for key, array in arrays.items() if array.dtype.kind == "f"}
    save_file(arrays | floats, path, metadata)
    description = bundle / "configs" / "metadata.json"
    if name == "knee_super_resolution":
        described = json.loads(description.read_text())
        described["weights_sha256"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        description.write_text(json.dumps(described))


def said(result: Result) -> list[float]:
    return [one.value for finding in result.findings for one in finding.measurements]


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_a_warm_pipeline_answers_by_the_network_that_it_names(name: str, tmp_path: Path) -> None:
    kind = registry.pipeline_type(name)
    bundle: Path = importlib.import_module(f"pipelines.{name}").BUNDLE
    case = given(name, tmp_path / "study")
    own, other = tmp_path / "own", tmp_path / "other"
    shutil.copytree(bundle, own)
    shutil.copytree(bundle, other)
    change(other, name)

    warm = LoadedPipeline(kind, {"bundle": own})
    first = warm.run(case.study, case.context)
    shutil.copytree(other, own, dirs_exist_ok=True)
    second = warm.run(case.study, case.context)
    expected = LoadedPipeline(kind, {"bundle": other}).run(case.study, case.context)

    assert first.model != second.model == expected.model
    assert said(first) != said(expected), "the networks differ in what they say"
    assert said(second) == said(expected)
