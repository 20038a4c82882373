"""A result in, DICOM objects out: the one way from findings to files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from dicom_sr.capture import encode_capture
from dicom_sr.derived_series import encode_derived
from dicom_sr.findings import NotRun, Result
from dicom_sr.profile import EncodedObject, EncodingProfile
from dicom_sr.provenance import Provenance
from dicom_sr.report import encode_report

__all__ = ["EncodedObject", "EncodingProfile", "encode"]


def encode(
    result: Result | NotRun,
    profile: EncodingProfile,
    created: datetime,
    folder: Path,
    predecessors: Sequence[EncodedObject] = (),
) -> tuple[EncodedObject, ...]:
    """Write the objects of `result` that `profile` asks for, in the order in which they are to be sent.

    The same arguments give the same bytes: UIDs are made from names, times from `created`.

    Parameters
    ----------
    created
        When the job was made; the only time that the objects hold. Timezone aware, or in the site's local time.
    folder
        Where the Part 10 files go; made if absent. Existing files of the same names are replaced.
    predecessors
        The objects of the result that this one revises. Its reports are named in PredecessorDocumentsSequence.

    Raises
    ------
    EncodingError
        If the result does not fit together: a bug of the pipeline that made it.
    """
    if isinstance(result, NotRun) and not profile.not_run_reports:
        return ()
    folder.mkdir(parents=True, exist_ok=True)
    provenance = Provenance(result, profile, created)
    objects: list[EncodedObject] = []
    if "derived_series" in profile.kinds:
        objects += encode_derived(provenance, folder)
    if "secondary_capture" in profile.kinds:
        objects += encode_capture(provenance, folder)
    if "report" in profile.kinds:
        reports = [p for p in predecessors if p.kind == "report"]
        objects += encode_report(provenance, folder, reports)
    return tuple(sorted((replace(o, path=o.path) for o in objects), key=lambda o: o.order))
