"""The mapping tables: every pattern leads somewhere, the most specific wins, and no SNOMED code is mistyped."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipelines.context import CodedEvent
from pipelines.knee_oa_risk.simulation.sample import representative
from pipelines.knee_oa_risk.vocabulary import concept_of, concepts, matrix_codes, table_rows, translate

ICD9, ICD10 = "http://hl7.org/fhir/sid/icd-9-cm", "http://hl7.org/fhir/sid/icd-10-cm"
ATC, RXNORM = "http://www.whocc.no/atc", "http://www.nlm.nih.gov/research/umls/rxnorm"
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
DAY = date(2020, 1, 1)


def named(system: str, code: str, kind: str = "condition", display: str = "") -> str | None:
    found = concept_of(CodedEvent(kind, system, code, DAY, display=display))  # type: ignore[arg-type]
    return found[0].code if found else None


@pytest.mark.parametrize(
    ("system", "code", "expected"),
    [
        (ICD9, "715.16", "KNEE_OA"),  # exact before 715*
        (ICD9, "71596", "KNEE_OA"),  # without its point, as HL7 v2 feeds have it
        (ICD9, "715.14", "OA_OTHER"),
        (ICD9, "836.0", "KNEE_MENISCUS"),
        (ICD9, "844.2", "KNEE_LIGAMENT"),  # exact before the range 840-848
        (ICD9, "845.0", "SPRAIN_OTHER"),
        (ICD9, "401.9", "HYPERTENSION"),
        (ICD10, "M17.11", "KNEE_OA"),
        (ICD10, "M1711", "KNEE_OA"),
        (ICD10, "M16.0", "OA_OTHER"),
        (ICD10, "S83.241A", "KNEE_MENISCUS"),  # prefix before the chapter's range
        (ICD10, "S06.9", "SPRAIN_OTHER"),
        (ICD10, "E11.9", "DIABETES"),
        (ICD10, "M25.561", "KNEE_PAIN"),
        (ICD10, "M25.511", "OTHER_DX"),  # a shoulder, not a knee
        (ATC, "M01AE01", "NSAID"),
        (ATC, "M01AX05", "GLUCOSAMINE"),
        (ATC, "B01AC06", "ANTIPLATELET"),
        (ATC, "B01AA03", "ANTICOAGULANT"),
        (ATC, "V03AB15", "OTHER_RX"),
        (SNOMED, "239873007", "KNEE_OA"),
        (LOINC, "39156-5", "BMI"),
        ("urn:oid:2.16.840.1.113883.6.96", "239873007", "KNEE_OA"),  # OID of the same system
        (SNOMED, "1234567", None),
        ("urn:local", "E11.9", None),
        ("", "", None),
    ],
)
def test_a_code_leads_to_the_most_specific_concept_that_names_it(system: Any, code: str, expected: str | None) -> None:
    assert named(system, code) == expected


def test_a_drug_that_no_table_lists_is_known_by_its_ingredient_and_counted_as_such() -> None:
    unlisted = CodedEvent("medication", RXNORM, "99999999", DAY, display="naproxen 375 MG Delayed Release Tablet")
    strange = CodedEvent("medication", RXNORM, "99999998", DAY, display="abracadabrine 5 MG")
    mapped, coverage = translate([unlisted, strange])
    assert [found.concept.code for found in mapped] == ["NSAID"]
    assert (coverage.by_name, coverage.unknown, coverage.diagnoses_and_drugs) == (1, 1, 2)
    assert coverage.unknown_share == 0.5
    assert coverage.systems == ((RXNORM, 1),)


def test_unknown_observations_and_procedures_do_not_count_against_a_record() -> None:
    events = [CodedEvent("observation", LOINC, "9999-9", DAY), CodedEvent("procedure", SNOMED, "1234567", DAY)]
    assert translate(events)[1].unknown_share == 0.0


@pytest.mark.parametrize("table", ["icd9cm", "icd10", "snomed", "atc", "rxnorm", "loinc", "condyle", "ingredients"])
def test_every_row_leads_to_a_concept_and_no_pattern_stands_twice(table: str) -> None:
    rows = table_rows(table)
    assert {row["code"] for row in rows} <= set(concepts())
    patterns = [row.get("pattern") or row["word"] for row in rows]
    assert len(patterns) == len(set(patterns))


@pytest.mark.parametrize("code", [code for code, concept in concepts().items() if concept.kind != "observation"])
def test_every_concept_that_a_record_can_hold_is_reached_by_a_code(code: Any) -> None:
    if code in ("PROCEDURE_OTHER", "KNEE_REPLACEMENT", "KNEE_OA"):
        return  # outcomes and what is outside the model: tested by name above
    system, value, _ = representative(code)
    assert named(system, value, concepts()[code].kind) == code


def test_leaking_codes_are_kept_out_of_the_matrix() -> None:
    assert set(matrix_codes(with_leaks=True)) - set(matrix_codes()) == {
        code for code, concept in concepts().items() if concept.role == "leak"
    }
    assert "KNEE_PAIN" not in matrix_codes()


# Verhoeff's check digit, worked out by the dihedral group itself rather than by tables
def _verhoeff_ok(code: str) -> bool:
    def times(a: int, b: int) -> int:  # of the dihedral group of the pentagon
        if a < 5:
            return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
        return 5 + (a - b) % 5 if b < 5 else (a - b) % 5

    permutation = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    total = 0
    for place, digit in enumerate(reversed(code)):
        value = int(digit)
        for _ in range(place % 8):
            value = permutation[value]
        total = times(total, value)
    return total == 0


def test_the_check_digit_finds_a_mistyped_code() -> None:
    assert _verhoeff_ok("239873007")
    assert not _verhoeff_ok("239873008")
    assert not _verhoeff_ok("239837007")


@pytest.mark.parametrize("row", table_rows("snomed"), ids=lambda row: row["pattern"])
def test_every_snomed_code_passes_its_check_digit(row: Any) -> None:
    assert _verhoeff_ok(row["pattern"])


def test_names_of_snomed_and_rxnorm_codes_are_those_of_the_omop_vocabulary(shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "emr/omop-synthea27/Synthea27Nj_5.4.zip") as archive:
        text = archive.read("CONCEPT.csv").decode("utf-8", "replace")
    theirs = {
        (row["vocabulary_id"], row["concept_code"]): row["concept_name"].lower()
        for row in csv.DictReader(io.StringIO(text))
    }
    checked = 0
    for table, vocabulary in (("snomed", "SNOMED"), ("rxnorm", "RxNorm")):
        for row in table_rows(table):
            name = theirs.get((vocabulary, row["pattern"]))
            if name is not None and "pack" not in row["name"] and "nuvaring" not in name:
                checked += 1
                ours, other = (set(text.replace("(", " ").split()) for text in (row["name"].lower(), name))
                assert ours & other, row
    assert checked > 120
