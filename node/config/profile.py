"""Which objects go to a destination, and in which form."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, model_validator

from dicom_sr.profile import DEFAULT_KINDS, DICOM_KINDS, FHIR_KINDS, FOREIGN_KINDS, Kind, Viewer
from dicom_sr.words import did_you_mean
from node.config.values import Section

_KINDS: tuple[Kind, ...] = (*DICOM_KINDS, "assessment")  # rejection notes go by `withdraw`
_VIEWERS = [viewer for viewer in get_args(Viewer) if viewer != "any"]


def _for_dicom(kind: object) -> object:
    if kind not in _KINDS:
        where = "fhir" if kind in FHIR_KINDS else "hl7" if kind == "oru" else "email and webhook"
        elsewhere = f"goes to destinations of kind {where} only; " if kind in FOREIGN_KINDS else ""
        if kind == "rejection_note":
            elsewhere = "goes by withdraw of the destination; "
        raise ValueError(f"{elsewhere}should be one of {', '.join(_KINDS)}{did_you_mean(kind, _KINDS)}")
    return kind


class Profile(Section):
    """Which kinds of object go to a destination, and in which form."""

    measurement_report: Literal["comprehensive_3d", "comprehensive"] = "comprehensive_3d"
    kinds: tuple[Annotated[Kind, BeforeValidator(_for_dicom)], ...] = DEFAULT_KINDS
    segmented_regions: Literal["segment", "outline"] = "segment"  # how a report says where a segmented finding lies
    viewer: Viewer = "any"  # in which the report is to look well; what that one does not show is left out
    not_run_reports: bool = False  # a pipeline due that did not run becomes a capture and a report
    synthetic_data: bool = True  # SyntheticData YES on derived series
    snomed_licence: bool = False  # SNOMED codes outside DICOM's own content in place of private ones

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: object) -> object:
        """The name of a viewer alone is short for a profile that sets nothing else."""
        if not isinstance(given, str):
            return given
        if given not in _VIEWERS:
            hint = did_you_mean(given, _VIEWERS)
            raise ValueError(f"should be {' or '.join(_VIEWERS)}, or a section with keys{hint}")
        return {"viewer": given}


NOTIFICATIONS_ONLY = Profile.model_construct(kinds=("notification",), not_run_reports=True)
