"""Bundles as pipelines: images in, results on the grid of the images."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Result, Volume
from dicom_sr.profile import EncodingProfile
from dicom_sr.write.encode import encode
from pipelines.bundle import BundleError
from pipelines.monai_bundle import phantom
from pipelines.monai_bundle.codes import PROBABILITY, SCORE
from pipelines.monai_bundle.execution import execute, precision, tensor
from pipelines.monai_bundle.findings import found
from pipelines.monai_bundle.folder import BundleFolder
from pipelines.monai_bundle.inputs import choose, read
from pipelines.monai_bundle.pipeline import NOT_JUDGED, MonaiBundle
from pipelines.monai_bundle.pipeline_settings import MonaiBundleSettings
from pipelines.monai_bundle.running import DeclarativeRunner
from tests.pipelines.monai_bundle.configured import SPLEEN, pipeline, settings, study_of
from tests.pipelines.monai_bundle.made_bundles import (
    UNET,
    classification_bundle,
    composed,
    detection_bundle,
    inference,
    metadata,
    threshold_bundle,
    threshold_weights,
    write,
)
from tests.pipelines.monai_bundle.oblique_series import write_body, write_radiograph

CREATED = datetime(2026, 11, 22, tzinfo=UTC)


def dice(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def mask_of(result: Result) -> NDArray[np.bool_]:
    (segment,) = result.segments
    assert segment.volume is not None
    return np.asarray(segment.volume.array, bool)


# ---- segmentation
@pytest.mark.parametrize("backwards", [False, True])
def test_a_spleen_bundle_is_right_first_time_on_a_doubly_oblique_series(tmp_path: Path, backwards: bool) -> None:
    paths, mask = write_body(tmp_path / "study", numbered_backwards=backwards)
    result = pipeline(settings(threshold_bundle(tmp_path / "bundle"))).run(study_of(paths))
    # the network's threshold is 24 HU above the middle of the border, 0.26 mm inside, and voxels are 1.5 mm
    assert dice(mask_of(result), mask) > 0.97
    (finding,) = result.findings
    (volume,) = finding.measurements
    voxel_cm3 = np.prod(phantom.SPACING_MM) / 1000
    assert volume.value == pytest.approx(mask_of(result).sum() * voxel_cm3, rel=1e-4)
    assert (volume.unit.value, finding.finding.value) == ("cm3", "78961009")
    assert finding.site is not None
    assert finding.region is not None
    assert result.conclusion == (f"spleen: {volume.value:.4g} cm³.",)


def test_its_segmentation_lies_on_the_images_in_dicom(tmp_path: Path) -> None:
    paths, mask = write_body(tmp_path / "study", numbered_backwards=True)
    result = pipeline(settings(threshold_bundle(tmp_path / "bundle"))).run(study_of(paths))
    made = encode(result, EncodingProfile(), CREATED, tmp_path / "out")
    assert {one.kind for one in made} >= {"segmentation_binary", "report", "secondary_capture"}
    segmentation = pydicom.dcmread(next(one.path for one in made if one.kind == "segmentation_binary"))
    images = {str(ds.SOPInstanceUID): ds for ds in map(pydicom.dcmread, paths)}
    affine = phantom.affine()
    seen = np.zeros_like(mask)
    planes = np.atleast_3d(segmentation.pixel_array)
    for frame, plane in zip(segmentation.PerFrameFunctionalGroupsSequence, planes, strict=True):
        place = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, np.float64)
        index = np.linalg.inv(affine) @ np.append(place, 1.0)
        slice_, top, left = (round(float(one)) for one in index[:3])
        assert np.abs(index[:3] - [slice_, top, left]).max() < 0.01
        seen[slice_, top : top + plane.shape[0], left : left + plane.shape[1]] |= plane.astype(bool)
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        at = np.array(images[source].ImagePositionPatient, np.float64)
        assert abs((np.linalg.inv(affine) @ np.append(at, 1.0))[0] - slice_) < 0.01
    assert np.array_equal(seen, mask_of(result))
    described = segmentation.SegmentSequence[0]
    assert described.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Spleen"
    assert described.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "123037004"


def test_what_the_reader_must_know_is_said(tmp_path: Path) -> None:
    paths, _ = write_body(tmp_path / "study")
    result = pipeline(settings(threshold_bundle(tmp_path / "bundle"))).run(study_of(paths))
    assert result.limits == (
        "The bundle says of its use: “This is an example, not to be used for diagnostic purposes.”",
        NOT_JUDGED,
    )
    assert result.model.trained_on == "trained by its makers on made for a test"
    assert (result.title, result.model.version) == ("Spleen CT segmentation", "0.1.0")


def test_a_bundle_that_leaves_its_result_on_its_own_grid_is_brought_back_and_said_to(tmp_path: Path) -> None:
    after = composed({"_target_": "AsDiscreted", "keys": "pred", "argmax": True})
    paths, mask = write_body(tmp_path / "study")
    result = pipeline(settings(threshold_bundle(tmp_path / "bundle", postprocessing=after))).run(study_of(paths))
    assert dice(mask_of(result), mask) > 0.95
    assert result.limits[0].startswith("The bundle leaves its result on a grid of its own")


def test_a_second_input_is_resampled_to_the_reference_and_said_to_be(tmp_path: Path) -> None:
    bundle = two_channel_bundle(tmp_path / "bundle")
    paths, mask = write_body(tmp_path / "t1", "MR", number=2, description="T1", volume=flat())
    more, _ = write_body(tmp_path / "t2", "MR", number=3, description="SAG T2", volume=coarse())
    inputs = {"t1": {"SeriesDescription": "T1"}, "t2": {"SeriesDescription": "*T2*"}}
    made = pipeline(settings(bundle, inputs=inputs))
    assert made.level == "study"
    result = made.run(study_of([*paths, *more]))
    assert dice(mask_of(result), mask) > 0.93  # slices of the second input are 4.8 mm thick
    assert result.limits[0] == "1 input of 2 resampled to the grid of t1 (linear interpolation): t2."
    assert len(result.evidence) == 2


def two_channel_bundle(folder: Path) -> Path:
    """Segments what is bright in the second of its channels."""
    image = "@image_key"
    before = composed(
        {"_target_": "LoadImaged", "keys": image},
        {"_target_": "EnsureChannelFirstd", "keys": image},
        {"_target_": "ScaleIntensityRanged", "keys": image, "a_min": -40, "a_max": 100, "b_min": 0, "b_max": 1},
    )
    after = composed({"_target_": "AsDiscreted", "keys": "pred", "argmax": True})
    threshold_bundle(
        folder, save=False, network_def={**UNET, "in_channels": 2}, preprocessing=before, postprocessing=after
    )
    weights = threshold_weights()
    first = next(name for name, one in weights.items() if one.shape[1:2] == (1,))
    only = weights[first]
    weights[first] = torch.cat([torch.zeros_like(only), only], dim=1)
    torch.save(weights, folder / "models" / "model.pt")
    return folder


def flat() -> Volume:
    """An image of nothing where the body is."""
    volume, _ = phantom.body()
    return volume.with_array(np.full_like(volume.array, phantom.OUTSIDE))


def coarse() -> Volume:
    """The body in every second slice."""
    volume, _ = phantom.body()
    affine = volume.affine.copy()
    affine[:3, 0] *= 2
    return Volume(volume.array[::2], affine)


def test_many_segments_share_one_label_map(tmp_path: Path) -> None:
    paths, _ = write_body(tmp_path / "study")
    bundle = threshold_bundle(tmp_path / "bundle")
    segments: dict[str, Any] = {f"part {value}": {"value": value} for value in range(1, 41)}
    segments["outside"] = {"value": 0}
    entry = MonaiBundleSettings(**settings(bundle, {"kind": "segmentation", "segments": segments}))
    image = read(choose(study_of(paths), entry.inputs)["image"])
    labels = np.random.default_rng(1).integers(0, 40, (1, *image.array.shape[::-1])).astype(np.float32)  # none is 40
    labels[0, 0, 0, :3] = (-3, 300, np.nan)  # what no segment has
    made = {"values": labels, "resampled": np.array(False)}
    what = found(entry, made, image, {})
    *parts, outside = what.segments
    assert len({id(one.volume.array) for one in parts if one.volume is not None}) == 1
    assert [one.label_value for one in parts] == list(range(1, 41))
    assert outside.label_value is None
    voxel_cm3 = np.prod(phantom.SPACING_MM) / 1000
    volumes = {one.tracking_id: one.measurements[0].value for one in what.findings}
    counts = {name: int((labels == one["value"]).sum()) for name, one in segments.items()}
    assert volumes == pytest.approx({name: count * voxel_cm3 for name, count in counts.items()})
    assert what.conclusion[39] == "part 40: not found."
    region = what.findings[6].region
    assert region is not None
    largest = (labels[0] == 7).sum((0, 1)).argmax()
    assert region.image == image.chosen.references[int(largest)]
    encoded = encode(
        replace(pipeline(settings(bundle)).run(study_of(paths)), segments=tuple(parts[:3])),
        EncodingProfile(kinds=("segmentation_binary",)),
        CREATED,
        tmp_path / "out",
    )
    pixels = pydicom.dcmread(encoded[0].path).pixel_array
    assert int(pixels.sum()) == sum(counts[f"part {value}"] for value in (1, 2, 3))


def test_a_result_of_another_shape_is_refused(tmp_path: Path) -> None:
    paths, _ = write_body(tmp_path / "study")
    entry = MonaiBundleSettings(**settings(threshold_bundle(tmp_path / "bundle")))
    image = read(choose(study_of(paths), entry.inputs)["image"])
    for shape, why in (((9, 9), "has 2 axes"), ((1, 9, 9, 9), "has the shape")):
        with pytest.raises(UnsuitableInput, match=why):
            found(entry, {"values": np.zeros(shape), "resampled": np.array(False)}, image, {})


# ---- where and how exactly it computes
def test_where_the_memory_of_a_gpu_ends_the_cpu_computes_and_the_result_says_so(tmp_path: Path) -> None:
    paths, mask = write_body(tmp_path / "study")
    bundle = threshold_bundle(tmp_path / "bundle", inferer={"_target_": "SimpleInferer"})

    def full(_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    made = pipeline(settings(bundle))
    assert isinstance(made, MonaiBundle)
    made._runner = DeclarativeRunner(BundleFolder(bundle), "segmentation", "meta", network=full)
    result = made.run(study_of(paths))
    assert dice(mask_of(result), mask) > 0.97
    assert result.limits[0] == "The memory of meta did not hold even small tiles: computed on the CPU."


def test_half_precision_is_for_a_gpu_that_is_asked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, _ = write_body(tmp_path / "study")
    bundle = threshold_bundle(tmp_path / "bundle")
    plain, half = (pipeline(settings(bundle, autocast=on)).run(study_of(paths)) for on in (False, True))
    assert np.array_equal(mask_of(plain), mask_of(half))
    assert [dict(one.parameters)["autocast"] for one in (plain, half)] == ["False", "True"]
    assert isinstance(precision("cpu", autocast=True), nullcontext)
    assert isinstance(precision("cuda:0", autocast=False), nullcontext)
    for has_bfloat16, expected in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda answer=has_bfloat16: answer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no GPU here
            context = precision("cuda:0", autocast=True)
        assert (context.device, context.fast_dtype) == ("cuda", expected)


# ---- classes, numbers, boxes, points
@pytest.mark.parametrize(
    ("given", "activated", "probabilities", "first"),
    [
        ([0.2, 0.7], False, False, 0.3775),  # between 0 and 1 by chance
        ([0.3, 0.7], False, True, 0.3),  # made so by the network
        ([-1.0, 2.0], False, False, 0.0474),
        ([-1.0, 2.0], True, True, 0.2689),  # a sigmoid for each: they need not add up to 1
    ],
)
def test_what_is_no_probability_is_made_one(
    given: list[float], activated: bool, probabilities: bool, first: float
) -> None:
    from monai.transforms import Activationsd, Compose

    image = tensor(np.zeros((1, 4, 4), np.float32), np.eye(4), 0)
    after = Compose([Activationsd("pred", sigmoid=True)]) if activated else None
    made = execute(
        lambda x: torch.tensor([given]), lambda data: data, None, after, {"image": image}, "classes", "cpu", False
    )
    assert bool(made["probabilities"]) is probabilities
    assert float(made["values"][0]) == pytest.approx(first, abs=1e-4)


def test_classes_need_a_number_each(tmp_path: Path) -> None:
    output = {"kind": "classes", "classes": {"no": {}, "yes": {}}}
    paths, _ = write_body(tmp_path / "study")
    entry = MonaiBundleSettings(**settings(threshold_bundle(tmp_path / "bundle"), output))
    image = read(choose(study_of(paths), entry.inputs)["image"])
    for values, why in (([0.5, np.nan], "no finite number"), (np.ones((2, 4, 4, 4)), r"an array of \(2, 4, 4, 4\)")):
        made = {"values": np.array(values), "probabilities": np.array(True)}
        with pytest.raises(UnsuitableInput, match=why):
            found(entry, made, image, {})


def film() -> NDArray[np.uint16]:
    rows, columns = np.mgrid[:160, :120]
    return np.asarray(1500 + 900 * np.sin(rows / 17) * np.cos(columns / 9), np.uint16)


def test_classes_have_the_probabilities_that_monai_itself_gives(tmp_path: Path) -> None:
    bundle = classification_bundle(tmp_path / "bundle")
    path = write_radiograph(tmp_path / "study", film())
    output = {"kind": "classes", "classes": {"no fracture": {}, "fracture": {"type": ["SCT", "72704001", "Fracture"]}}}
    made = pipeline(settings(bundle, output, inputs={"image": {"Modality": ["DX", "CR"]}}), "fracture")
    result = made.run(study_of([path]))
    expected = by_monai(bundle, film())
    values = [finding.measurements[0].value for finding in result.findings]
    assert values == pytest.approx(expected.tolist(), abs=1e-5)
    assert sum(values) == pytest.approx(1.0)
    assert {finding.measurements[0].name for finding in result.findings} == {PROBABILITY}
    best = ("no fracture", "fracture")[int(expected.argmax())]
    assert result.conclusion[0].startswith(f"{best}: probability {expected.max():.2f}")
    assert [one.kind for one in encode(result, EncodingProfile(), CREATED, tmp_path / "out")][:1]


def by_monai(bundle: Path, pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Probabilities by the chain of transforms that the bundle describes, written out."""
    from monai.networks.nets import DenseNet
    from monai.transforms import Resize, ScaleIntensity

    network = DenseNet(2, 1, 2, init_features=8, growth_rate=4, block_config=(2, 2), bn_size=2).eval()
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    image = Resize((64, 64))(ScaleIntensity(0.0, 1.0)(pixels.T[None].astype(np.float32)))
    with torch.inference_mode():
        return np.asarray(torch.softmax(network(torch.as_tensor(image)[None])[0], 0))


def test_a_number_becomes_a_measurement(tmp_path: Path) -> None:
    network = {"_target_": "DenseNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 1, "init_features": 8}
    network |= {"growth_rate": 4, "block_config": [2], "bn_size": 2}
    before = composed(
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {"_target_": "ScaleIntensityd", "keys": "image"},
    )
    parts = inference(network_def=network, preprocessing=before, inferer={"_target_": "SimpleInferer"})
    del parts["evaluator"]["postprocessing"]
    bundle = write(tmp_path / "bundle", parts, metadata("Bone age", {"type": "number"}))
    from monai.networks.nets import DenseNet

    torch.manual_seed(1)
    made = DenseNet(**{name: value for name, value in network.items() if name != "_target_"}).eval()
    torch.save(made.state_dict(), bundle / "models" / "model.pt")
    output = {"kind": "number", "name": "Bone age", "unit": "mo", "unit_meaning": "month"}
    entry = settings(bundle, output, inputs={"image": {"Modality": "DX"}})
    result = pipeline(entry, "age").run(study_of([write_radiograph(tmp_path / "study", film())]))
    scaled = torch.from_numpy(film().T[None].astype(np.float32))
    scaled = (scaled - scaled.min()) / (scaled.max() - scaled.min())
    with torch.inference_mode():
        expected = float(made(scaled[None])[0, 0])
    (finding,) = result.findings
    assert finding.measurements[0].value == pytest.approx(expected, abs=1e-5)
    assert finding.measurements[0].unit.value == "mo"


def test_boxes_lie_where_monai_places_them(tmp_path: Path) -> None:
    bundle = detection_bundle(tmp_path / "bundle")
    paths, _ = write_body(tmp_path / "study")
    output = {"kind": "boxes", "findings": {"nodule": {"type": ["SCT", "27925004", "Nodule"]}}, "min_score": 0.0}
    result = pipeline(settings(bundle, output), "nodule").run(study_of(paths))
    centres, scores = boxes_by_monai(bundle)
    assert 0 < len(result.findings) <= len(scores)
    found = {round(finding.measurements[0].value, 5) for finding in result.findings}
    assert found <= {round(float(one), 5) for one in scores}
    assert result.findings[0].measurements[0].name == SCORE
    inverse = np.linalg.inv(phantom.affine())
    order = {reference.sop_instance_uid: i for i, reference in enumerate(references(paths))}
    for finding in result.findings:
        assert finding.region is not None
        at = int(np.argmin(np.abs(scores - finding.measurements[0].value)))
        index = (inverse @ np.append(centres[at], 1.0))[:3]
        assert order[finding.region.image.sop_instance_uid] == round(float(index[0]))
        low, high = finding.region.outline.min(0), finding.region.outline.max(0)
        assert (low <= index[[2, 1]] + 0.5 + 1e-6).all()
        assert (high >= index[[2, 1]] + 0.5 - 1e-6).all()
    assert "report" in {one.kind for one in encode(result, EncodingProfile(), CREATED, tmp_path / "out")}


def references(paths: list[Path]) -> list[Any]:
    from dicom_sr.read.stacks import stacks

    (stack,) = stacks(study_of(paths).series[0])
    return list(stack.references)


def boxes_by_monai(bundle: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres, LPS, mm, and scores by the bundle's own chain on an image as MONAI's reader would give it."""
    from pipelines.monai_bundle.building import Builder
    from pipelines.monai_bundle.execution import tensor
    from pipelines.monai_bundle.folder import BundleFolder
    from pipelines.monai_bundle.inputs import LPS_TO_RAS

    parts, builder = BundleFolder(bundle).parts(), Builder()
    before, after = builder.built(parts.preprocessing), builder.built(parts.postprocessing)
    detector = builder.built(parts.detector).eval()
    detector.network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True)["model"])
    volume, _ = phantom.body()
    stored = np.rint(volume.array).astype(np.float32)
    image = tensor(stored.transpose(2, 1, 0), LPS_TO_RAS @ volume.affine[:, [2, 1, 0, 3]], None)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        seen = before({"image": image})["image"]
        (found,) = detector([seen.as_tensor()], use_inferer=seen[0].numel() >= 64 * 64 * 32)
        done = after({**found, "image": seen})
    return np.asarray(done["box"])[:, :3].astype(np.float64), np.asarray(done["label_scores"]).astype(np.float64)


def test_points_are_the_peaks_of_heat_maps_in_place(tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "bundle")
    parts = inference(
        network_def=UNET,
        preprocessing=composed(
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        ),
        inferer={"_target_": "SimpleInferer"},
    )
    del parts["evaluator"]["postprocessing"]
    write(bundle, parts, metadata("Landmark", {"type": "heatmap", "channel_def": {"1": "tip"}}))
    volume, _ = phantom.body()
    spot = np.zeros_like(volume.array)
    spot[40, 70, 25] = 900.0
    paths, _ = write_body(tmp_path / "study", volume=volume.with_array(spot))
    output = {"kind": "points", "points": {"tip": {}}}
    result = pipeline(settings(bundle, output), "tip").run(study_of(paths))
    (finding,) = result.findings
    assert finding.region is not None
    assert finding.region.image == references(paths)[40]
    assert finding.region.outline[:-1].mean(0) == pytest.approx([25.5, 70.5])


# ---- which images, which bundle
def test_images_that_do_not_fit_are_refused_with_the_reason(tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "bundle")
    paths, _ = write_body(tmp_path / "a", description="ARTERIAL")
    more, _ = write_body(tmp_path / "b", number=4, description="VENOUS")
    study = study_of([*paths, *more])
    with pytest.raises(
        UnsuitableInput, match=r"2 stacks or pictures fit the input image \(Modality CT\): series 3, ser"
    ):
        pipeline(settings(bundle)).check(study)
    with pytest.raises(UnsuitableInput, match=r"no images for the input image \(Modality MR\)"):
        pipeline(settings(bundle, inputs={"image": {"Modality": "MR"}})).check(study)
    pipeline(settings(bundle, inputs={"image": {"SeriesDescription": "ven*"}})).check(study)
    same = {"a": {"SeriesDescription": "ven*"}, "b": {"SeriesDescription": "venous"}}
    with pytest.raises(UnsuitableInput, match="a and b are the same images"):
        pipeline(settings(bundle, inputs=same)).check(study)


def test_a_bundle_that_has_changed_does_not_run(tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "bundle")
    made = pipeline(settings(bundle))
    (bundle / "models" / "model.pt").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"has the digest [0-9a-f]{64}, and sha256 asks for"):
        made.load()


def test_uids_numbers_and_tracking_are_of_each_bundle(tmp_path: Path) -> None:
    paths, _ = write_body(tmp_path / "study")
    entry = settings(threshold_bundle(tmp_path / "bundle"))
    made = {}
    for name in ("spleen", "organ"):
        result = pipeline(entry, name).run(study_of(paths))
        objects = encode(result, EncodingProfile(), CREATED, tmp_path / name)
        report = pydicom.dcmread(next(one.path for one in objects if one.kind == "report"))
        segmentation = pydicom.dcmread(next(one.path for one in objects if one.kind == "segmentation_binary"))
        made[name] = (
            report.SOPInstanceUID,
            report.SeriesInstanceUID,
            report.SeriesNumber,
            segmentation.SegmentSequence[0].TrackingUID,
        )
        again = pipeline(entry, name).run(study_of(paths))
        assert encode(again, EncodingProfile(), CREATED, tmp_path / f"{name}2")[0].sha256 == objects[0].sha256
    assert not set(made["spleen"]) & set(made["organ"])


def test_settings_name_everything_so_that_a_worker_needs_nothing_else(tmp_path: Path) -> None:
    entry = settings(threshold_bundle(tmp_path / "bundle"), SPLEEN, series_base=12000)
    made = pipeline(entry)
    assert (made.name, made.model.name, made.model.series_base) == ("bundle:spleen", "bundle:spleen", 12000)
    assert made.model.weights_digest == entry["sha256"]
    before, moved = made.model, tmp_path / "elsewhere"
    (tmp_path / "bundle").rename(moved)
    assert pipeline({**entry, "path": str(moved)}).model == before
