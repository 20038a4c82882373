"""A study that only an archive has, and a route that would take it."""

from __future__ import annotations

from pathlib import Path

from dicom_sr import phantoms
from tests.orthanc import Archive
from tests.test_flow import Sent, fresh

SLICES = 6
MATCHES = {"Modality": "MR"}  # so that it would take everything that is sent here
KNEE = {
    "when": MATCHES,
    "pipeline": "knee_super_resolution",
    "settings": {"method": "tricubic", "spacing": 2.0},
    "destinations": ["out"],
}


def archived(archive: Archive, folder: Path, accession: str) -> Sent:
    """A simulated knee that only the archive has."""
    header = phantoms.study_header(phantoms.Person(), accession, "Simulated knee")
    new = fresh(phantoms.write_knee_mr(folder, header, (SLICES, 48, 44), (4.0, 1.25, 1.25)))
    for number, image in enumerate(new.images):
        image.AccessionNumber = accession
        path = folder / f"new-{number}.dcm"
        image.save_as(path)
        archive.upload(path)
    return new
