from __future__ import annotations

import json
from pathlib import Path

from node.run.result_summary import summary
from tests.factories import joint_result, knee_result, knee_study, ultrasound_study


def test_a_summary_is_json_and_names_no_patient(tmp_path: Path) -> None:
    study = ultrasound_study(tmp_path)
    header = study.series[0].headers[0]
    text = json.dumps(summary(joint_result(study)))
    assert str(header.PatientID) not in text
    assert str(header.PatientName) not in text


def test_findings_are_listed_by_tracking_id_with_codes_and_numbers(tmp_path: Path) -> None:
    result = joint_result(ultrasound_study(tmp_path))
    found = summary(result)["findings"]
    assert isinstance(found, dict)
    assert list(found) == [finding.tracking_id for finding in result.findings]
    first = result.findings[0]
    stated = found[first.tracking_id]
    assert stated["finding"] == f"{first.finding.scheme_designator}:{first.finding.value}"
    assert [item["value"] for item in stated["measurements"].values()] == [item.value for item in first.measurements]


def test_a_derived_volume_is_told_by_shape_and_spacing(tmp_path: Path) -> None:
    result = knee_result(knee_study(tmp_path))
    (derived,) = result.derived
    assert summary(result)["derived"] == [
        {
            "label": derived.label,
            "shape": list(derived.volume.array.shape),
            "spacing_mm": list(derived.volume.spacing_mm),
        }
    ]
