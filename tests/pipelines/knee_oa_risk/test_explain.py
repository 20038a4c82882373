"""What drove a risk: the parts add up, and lie where the record has entries."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from pipelines.context import ClinicalContext, CodedEvent
from pipelines.knee_oa_risk.explain import Attribution, attribute
from pipelines.knee_oa_risk.matrix import STATIC_NAMES, from_context
from pipelines.knee_oa_risk.model import Ensemble
from pipelines.knee_oa_risk.vocabulary import concepts, matrix_codes
from pipelines.knee_oa_risk.window import WEEKS

INDEX = date(2026, 1, 5)
ICD10 = "http://hl7.org/fhir/sid/icd-10"


def attribution(**weeks: float) -> Attribution:
    """A hand-made one: for each code what its tenth week contributes, and -0.02 for the body mass index."""
    cells, static = np.zeros((len(matrix_codes()), WEEKS)), np.zeros(len(STATIC_NAMES))
    for code, value in weeks.items():
        cells[matrix_codes().index(code), 10] = value
    static[STATIC_NAMES.index("bmi")] = -0.03
    static[STATIC_NAMES.index("bmi missing")] = 0.01
    return Attribution(cells, static, 0.1, 0.1 + cells.sum() + static.sum())


def test_groups_come_largest_first_whatever_their_sign() -> None:
    groups = attribution(HYPERTENSION=0.01, KNEE_MENISCUS=0.2).groups()
    injury, blood_pressure = (concepts()[code].group for code in ("KNEE_MENISCUS", "HYPERTENSION"))
    names, changes = zip(*groups[:3], strict=True)
    assert names == (injury, "Body mass index", blood_pressure)
    assert changes == pytest.approx((0.2, -0.02, 0.01))  # the index and the flag of its absence are one group


def test_a_group_is_shown_week_by_week_and_by_its_leading_codes() -> None:
    group = concepts()["KNEE_MENISCUS"].group
    made = attribution(HYPERTENSION=0.01, KNEE_MENISCUS=0.2, KNEE_LIGAMENT=-0.3, KNEE_SPRAIN=0.00001)
    assert concepts()["KNEE_LIGAMENT"].group == group
    weeks = made.by_week(group)
    assert np.flatnonzero(weeks).tolist() == [10]
    assert weeks[10] == pytest.approx(-0.09999)
    assert made.leading_codes(group) == [concepts()[code].name for code in ("KNEE_LIGAMENT", "KNEE_MENISCUS")]
    assert len(made.leading_codes(group, count=1)) == 1


def test_the_parts_add_up_to_the_difference_from_an_empty_record_and_an_empty_record_has_none() -> None:
    ensemble = Ensemble.load()
    tears = [CodedEvent("condition", ICD10, "S83.2", INDEX - timedelta(days=days)) for days in (300, 700)]
    why = attribute(ensemble, from_context(ClinicalContext(INDEX, date(1966, 1, 1), "F", tuple(tears))))
    assert why.cells.sum() + why.static.sum() == pytest.approx(why.end - why.start, abs=0.005)
    row = matrix_codes().index("KNEE_MENISCUS")
    assert set(np.flatnonzero(why.cells.any(axis=1))) == {row}
    assert why.cells[row].sum() > 0
    nothing = attribute(ensemble, from_context(ClinicalContext(INDEX, date(1966, 1, 1), "F")))
    assert not nothing.cells.any()
    assert nothing.start == pytest.approx(why.start, abs=1e-6)
