from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_sr.findings import Algorithm, Model, Result
from dicom_sr.profile import EncodingProfile
from tests.dicom_sr.conftest import Encode
from tests.dicom_sr.write.test_report import groups, named
from tests.factories import MODEL, joint_result, knee_result, knee_study, radiograph_study


def processing(ds: Dataset) -> list[Dataset]:
    """The items of the algorithms, then that of the node."""
    return [
        item
        for item in ds.ContributingEquipmentSequence
        if item.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    ]


def test_the_scanner_each_algorithm_and_the_node_contributed(tmp_path: Path, encoded: Encode) -> None:
    localiser = Algorithm("localiser", "0.3", "12" * 32, "Acme")
    result = replace(knee_result(knee_study(tmp_path / "in")), algorithms=(localiser,))
    profile = EncodingProfile(institution="St. Elsewhere", device_serial_number="A7")
    for objects in encoded(result, profile=profile).values():
        for ds in objects:
            scanner = ds.ContributingEquipmentSequence[0]
            assert (scanner.Manufacturer, scanner.PurposeOfReferenceCodeSequence[0].CodeValue) == (
                "Simulation",
                "109101",
            )
            main, further, node = processing(ds)
            assert (main.Manufacturer, main.ManufacturerModelName, main.SoftwareVersions) == (
                "Condyle",
                "knee_super_resolution",
                "1.2.3",
            )
            assert f"weights sha256:{MODEL.weights_digest}" in main.ContributionDescription
            assert (further.Manufacturer, further.ManufacturerModelName, further.SoftwareVersions) == (
                "Acme",
                "localiser",
                "0.3",
            )
            assert (node.Manufacturer, node.ManufacturerModelName) == ("Condyle", "Condyle")
            assert (node.InstitutionName, node.DeviceSerialNumber) == ("St. Elsewhere", "A7")
            assert len({main.DeviceUID, further.DeviceUID, node.DeviceUID}) == 3
            assert node.DeviceUID == ds.DeviceUID


def test_other_weights_are_another_device_and_other_settings_are_not(tmp_path: Path, encoded: Encode) -> None:
    result = joint_result(radiograph_study(tmp_path / "in"))

    def device(model: Model) -> str:
        changed: Result = replace(result, model=model)
        return str(processing(encoded(changed, "secondary_capture")["secondary_capture"][0])[0].DeviceUID)

    before = device(result.model)
    assert device(replace(result.model, configuration_digest="ee" * 32)) == before
    assert device(replace(result.model, weights_digest="ee" * 32)) != before
    assert device(replace(result.model, version="9")) != before


def test_the_makers_of_somebody_elses_model_are_named(tmp_path: Path, encoded: Encode) -> None:
    result = joint_result(radiograph_study(tmp_path / "in"))
    theirs = replace(result, model=replace(result.model, manufacturer="Acme"))
    for objects in encoded(theirs).values():
        for ds in objects:
            model, node = processing(ds)
            assert (model.Manufacturer, node.Manufacturer, ds.Manufacturer) == ("Acme", "Condyle", "Condyle")


def test_two_installations_track_under_different_uids_unless_they_are_told_to_be_one(
    tmp_path: Path, encoded: Encode
) -> None:
    result = joint_result(radiograph_study(tmp_path / "in"))

    def tracked(**installation: str) -> list[str]:
        profile = EncodingProfile(kinds=("report",), **installation)  # type: ignore[arg-type]
        report = encoded(result, profile=profile)["report"][0]
        found = [item for group in groups(report) for item in named(group, "112040")]
        return [str(item.UID) for item in found]

    assert tracked(device_serial_number="A") != tracked(device_serial_number="B")
    assert tracked(device_serial_number="A", device_uid="2.25.7") == tracked(
        device_serial_number="B", device_uid="2.25.7"
    )
