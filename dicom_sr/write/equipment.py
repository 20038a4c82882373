"""Who made an object: the scanner, each algorithm and the node, the same in every object and in every report.

IHE AI Results asks that each algorithm is an item of ContributingEquipmentSequence with a Device UID that changes
whenever the algorithm does.
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from dicom_sr.findings import Algorithm, Result
from dicom_sr.profile import EncodingProfile
from dicom_sr.provenance import Provenance, device_uid, software_version
from dicom_sr.read.headers import MANUFACTURER, chosen, coded
from dicom_sr.uids import uid

EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "InstitutionName")
_LONGEST = 64  # characters of a long string (LO)


def made_by_node(ds: Dataset, profile: EncodingProfile) -> None:
    """Name the node as the equipment of an object that no algorithm has a part in (PS3.3 C.7.5.1)."""
    ds.Manufacturer = ds.ManufacturerModelName = MANUFACTURER
    ds.SoftwareVersions, ds.DeviceSerialNumber = software_version(), profile.device_serial_number
    ds.DeviceUID = device_uid(profile)
    if profile.institution:
        ds.InstitutionName = profile.institution


def algorithms(provenance: Provenance) -> tuple[Algorithm, ...]:
    """What the result was made with, the model behind it first."""
    model, result = provenance.model, provenance.result
    main = Algorithm(model.name, model.version, model.weights_digest, model.manufacturer)
    return (main, *(result.algorithms if isinstance(result, Result) else ()))


def manufacturer(algorithm: Algorithm) -> str:
    """Manufacturer of an algorithm."""
    return (algorithm.manufacturer or MANUFACTURER)[:_LONGEST]


def algorithm_uid(provenance: Provenance, algorithm: Algorithm) -> str:
    """The Device UID of an algorithm: another one for every version and for every change of its weights."""
    return uid(provenance.profile.uid_root, "algorithm", algorithm.name, algorithm.version, algorithm.weights_digest)


def algorithm_parameters(provenance: Provenance) -> list[str]:
    """What else tells the algorithm from others, each as a text."""
    model = provenance.model
    parameters = [f"weights sha256:{model.weights_digest}", f"trained on: {model.trained_on}"]
    if model.configuration_digest:
        parameters.append(f"configuration sha256:{model.configuration_digest}")
    return parameters + [f"{key}: {value}" for key, value in getattr(provenance.result, "parameters", ())]


def contributing_equipment(provenance: Provenance) -> list[Dataset]:
    """The items of ContributingEquipmentSequence (PS3.3 C.12.1.1.9): the scanner, each algorithm, the node."""
    scanner = _scanner(provenance)
    made_by = [_algorithm(provenance, one) for one in algorithms(provenance)]
    return [*([] if scanner is None else [scanner]), *made_by, _node(provenance)]


def _scanner(provenance: Provenance) -> Dataset | None:
    """The acquisition equipment; None where the source does not name it."""
    header = provenance.header
    item = chosen(header, [keyword for keyword in EQUIPMENT if header.get(keyword)])
    if "Manufacturer" not in item:  # Type 1 in the item
        return None
    item.PurposeOfReferenceCodeSequence = [coded(standard.DCM.AcquisitionEquipment)]
    return item


def _algorithm(provenance: Provenance, algorithm: Algorithm) -> Dataset:
    item = _processing(provenance)
    item.Manufacturer, item.ManufacturerModelName = manufacturer(algorithm), algorithm.name[:_LONGEST]
    item.SoftwareVersions = algorithm.version[:_LONGEST]
    item.DeviceUID = algorithm_uid(provenance, algorithm)
    item.ContributionDescription = f"{provenance.result.title}, weights sha256:{algorithm.weights_digest}"[:1024]
    return item


def _node(provenance: Provenance) -> Dataset:
    item = _processing(provenance)
    item.Manufacturer = item.ManufacturerModelName = MANUFACTURER
    item.SoftwareVersions = software_version()
    item.DeviceUID = provenance.device_uid
    if provenance.profile.institution:
        item.InstitutionName = provenance.profile.institution
    item.ContributionDescription = "Ran the algorithm and wrote this object"
    return item


def _processing(provenance: Provenance) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [coded(standard.DCM.ProcessingEquipment)]
    item.DeviceSerialNumber = provenance.profile.device_serial_number
    item.ContributionDateTime = provenance.date + provenance.time
    return item
