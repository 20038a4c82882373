"""The time that the objects of a result hold."""

from __future__ import annotations

from datetime import UTC, datetime, time

from dicom_sr.findings import NotRun, Result
from dicom_sr.read.moments import taken
from pipelines.context import ClinicalContext


def moment_of(what: Result | NotRun, context: ClinicalContext | None) -> datetime | None:
    """When the images were taken, or the day that a risk was asked for; None where the headers name no day.

    It is not that of the clock: any node makes the same objects of the same images, whenever it does.

    Parameters
    ----------
    what
        The result.
    context
        The patient's record, for a result without images.
    """
    if what.evidence:
        return taken(header for series in what.evidence for header in series.headers)
    return None if context is None else datetime.combine(context.index_date, time.min, UTC)
