"""A result in numbers and codes, as JSON: what a shadow's result is compared with."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.sr.coding import Code

from dicom_sr.findings import Finding, Result


def summary(result: Result) -> dict[str, object]:
    """What `result` states, without pixels and without the patient."""
    return {
        "model": {
            "name": result.model.name,
            "version": result.model.version,
            "weights_digest": result.model.weights_digest,
        },
        "findings": {finding.tracking_id: _finding(finding) for finding in result.findings},
        "not_evaluable": {item.tracking_id: code_text(item.reason) for item in result.not_evaluable},
        "derived": [
            {
                "label": volume.label,
                "shape": list(volume.volume.array.shape),
                "spacing_mm": list(volume.volume.spacing_mm),
            }
            for volume in result.derived
        ],
        "names": dict(sorted(_names(result))),
        "flags": [flag.image.sop_instance_uid for flag in result.flags],
        "limits": list(result.remarks),
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "finding": code_text(finding.finding),
        "measurements": {
            code_text(item.name): {"value": item.value, "unit": item.unit.value, "interval": item.interval}
            for item in finding.measurements
        },
        "evaluations": {code_text(item.name): code_text(item.value) for item in finding.evaluations},
    }


def _names(result: Result) -> Iterator[tuple[str, str]]:
    """The codes that the findings use, with what they mean, for people."""
    for item in result.not_evaluable:
        yield code_text(item.reason), item.reason.meaning
    for finding in result.findings:
        yield code_text(finding.finding), finding.finding.meaning
        for measurement in finding.measurements:
            yield code_text(measurement.name), measurement.name.meaning
        for evaluation in finding.evaluations:
            yield code_text(evaluation.name), evaluation.name.meaning
            yield code_text(evaluation.value), evaluation.value.meaning


def code_text(code: Code) -> str:
    """A code as a summary names it: scheme and value."""
    return f"{code.scheme_designator}:{code.value}"
