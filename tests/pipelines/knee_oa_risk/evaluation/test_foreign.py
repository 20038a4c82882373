"""What the pipeline says of records that others made."""

from __future__ import annotations

from pathlib import Path

from pipelines.knee_oa_risk.evaluation.foreign import answers, details, summary


def test_every_shared_record_is_answered_and_the_table_names_nobody(shared_data: Path) -> None:
    emr = shared_data / "emr"
    found = answers([emr / "fhir-ra", emr / "fhir-knee-oa", emr / "hl7v2", emr / "hl7v2-imaging"])
    assert summary(found) == [
        ["fhir-ra", "2", "0 of 19 (0%)", "2", "0", "0"],
        ["fhir-knee-oa", "5", "0 of 50 (0%)", "0", "0", "5"],
        ["hl7v2", "6", "4 of 17 (24%)", "1", "2", "3"],
        ["hl7v2-imaging", "1", "1 of 1 (100%)", "0", "0", "1"],
    ]
    before = [answer for answer in found if answer.asked == "the day before the diagnosis"]
    assert len(before) == 6
    assert not any("already on record" in answer.text for answer in before)
    text = " ".join(" ".join(row) for row in details(found))
    assert "**5 years: " in text
    assert not any(name in text for name in ("Hegmann", "Becker", "Koepp", "Marvin"))
