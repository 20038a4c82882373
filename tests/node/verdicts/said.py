"""A verdict that a reader might have given."""

from __future__ import annotations

from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.assessment import Answer, Change
from node.verdicts.verdict import Verdict, VerdictKind
from tests.node.backlog import NOW

MILLIMETRE = Code("mm", "UCUM", "millimeter")
SAID = Verdict(
    VerdictKind.ASSESSMENT,
    "1.2.3",
    "1",
    "1.2.1",
    "1.2.9",
    "2.25.7",
    "SvH R MCP2",
    codes.ABNORMAL,
    codes.HAND,
    Answer.MODIFY,
    codes.WRONG_VALUE,
    "",
    (Change(codes.OOD, 2.0, 3.5, MILLIMETRE), Change(codes.WHY, codes.WHY_QUALITY, None)),
    "somebody",
    "ACME Viewer",
    "READING",
    NOW,
    NOW,
)
