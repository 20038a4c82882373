"""What a result states, in the order of its report: for objects that say the same in another form than DICOM SR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.findings import Finding, Measurement, NotEvaluable, NotRun, RecordReport, Result, Site
from dicom_sr.profile import RESEARCH_USE
from dicom_sr.provenance import Provenance
from dicom_sr.words import capital

TITLE = standard.DCM.ImagingMeasurementReport
FINDING, FINDING_SITE = standard.DCM.Finding, standard.SCT.FindingSite
LATERALITY, TOPOGRAPHICAL_MODIFIER = standard.SCT.Laterality, standard.SCT.TopographicalModifier
TRACKING_IDENTIFIER = standard.DCM.TrackingIdentifier
STUDY_INSTANCE_UID = standard.DCM.StudyInstanceUID


def title(provenance: Provenance) -> Code:
    """The name of the report."""
    record = _record(provenance)
    return TITLE if record is None else record.title


def _record(provenance: Provenance) -> RecordReport | None:
    return provenance.result.from_record if isinstance(provenance.result, Result) else None


def sentences(provenance: Provenance) -> list[tuple[Code, str]]:
    """Conclusions first, then what could not be evaluated, the limits, and that it is research: each with its name."""
    result, comment, conclusion = provenance.result, standard.DCM.Comment, standard.DCM.Conclusion
    limits = [(comment, text) for text in provenance.limits]
    if isinstance(result, NotRun):
        return [(conclusion, f"Analysis not performed: {result.reason}"), *limits, (comment, RESEARCH_USE)]
    return [
        *((conclusion, text) for text in result.conclusion),
        *((comment, f"Not evaluable: {item.tracking_id}: {item.sentence}") for item in result.not_evaluable),
        *limits,
        (comment, f"{RESEARCH_USE} {_sentence(result.model.trained_on)}".strip()),
    ]


def findings(provenance: Provenance) -> tuple[Finding | NotEvaluable, ...]:
    """Everything that was found or could not be judged; that there is nothing, where there is nothing."""
    result = provenance.result
    if isinstance(result, NotRun):
        return (Finding(f"{result.title} not performed", codes.NOT_RUN),)
    return (*result.findings, *result.not_evaluable) or (Finding(f"{result.title}: no finding", codes.NO_FINDING),)


@dataclass(frozen=True)
class Uncertainty:
    """A number that says how sure another is."""

    name: Code  # its own, which tells it from the other
    derivation: Code
    value: float


def uncertainties(measurement: Measurement, provenance: Provenance) -> Iterator[Uncertainty]:
    """Standard deviation and interval of a number, where they are known."""
    if measurement.standard_deviation is not None:
        yield Uncertainty(codes.spread_of(measurement.name), codes.STANDARD_DEVIATION, measurement.standard_deviation)
    if measurement.interval is not None:
        record = _record(provenance)
        low, high = (record.interval_low, record.interval_high) if record else codes.interval_of(measurement.name)
        yield Uncertainty(low, codes.INTERVAL_LOW, measurement.interval[0])
        yield Uncertainty(high, codes.INTERVAL_HIGH, measurement.interval[1])


def uncertainty_in_words(measurement: Measurement) -> str:
    """The same for a reader; empty where nothing is known."""
    words = []
    if measurement.standard_deviation is not None:
        words.append(f"standard deviation {measurement.standard_deviation:.6g}")
    if measurement.interval is not None:
        low, high = measurement.interval
        words.append(f"{measurement.interval_level:.0%} interval {low:.6g} to {high:.6g}")
    return ", ".join(words)


def site_in_words(site: Site) -> str:
    """E.g. ``Right Finger joint, 2nd metacarpophalangeal joint``."""
    side = [] if site.laterality is None else [codes.LATERALITY[site.laterality].meaning]
    region = " ".join([*side, site.region.meaning])
    return region if site.modifier is None else f"{region}, {site.modifier.meaning}"


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{capital(text).removesuffix('.')}." if text else ""
