"""Codes of what bundles find: those that the configuration gives, and private ones with a name as meaning."""

from __future__ import annotations

import hashlib

from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.codes import CONDYLE, CodingScheme, register
from pipelines.monai_bundle.settings import BundleEntry, CodeTriple, Number

NAMES = register(
    CodingScheme("99CONDYLEBUNDLE", "2.25.187432960413280175366219846430270105521", "Names that bundles give", "1")
)
PROBABILITY = CONDYLE.add(
    "PROBABILITY", "Probability of the finding", "As the model gives it, 0-1; calibrated only where the model says so."
)
SCORE = CONDYLE.add("SCORE", "Score of the detection", "How sure the model is of what it marks, 0-1; no probability.")
VOLUME, CUBIC_CENTIMETRE = standard.SCT.Volume, standard.UCUM.CubicCentimeter
AREA, SQUARE_CENTIMETRE = standard.SCT.Area, standard.UCUM.SquareCentimeter
LENGTH, MILLIMETRE = standard.SCT.Length, standard.UCUM.Millimeter
FRACTION = codes.FRACTION


def code(name: str, triple: CodeTriple | None) -> Code:
    """The code that was given, or a private one that means `name`: the same for one name in every bundle."""
    if triple is not None:
        scheme, value, meaning = triple
        return Code(value, scheme, meaning)
    value = hashlib.sha256(name.encode()).hexdigest()[:14].upper()
    return NAMES.add(f"N-{value}", name[:64], "A name that a site gave to what a bundle finds.")


def make_known(settings: BundleEntry) -> None:
    """Make the private codes of a bundle known to the encoders of this process."""
    for name, one in settings.named():
        code(name, one.type)
    if isinstance(settings.output, Number):
        code(settings.output.name, settings.output.type)
