"""What the header of a film says."""

from __future__ import annotations

import pytest

from pipelines.hand_foot_scoring import films


def test_an_age_is_read_from_age_or_dates() -> None:
    from pydicom.dataset import Dataset

    ds = Dataset()
    assert films.read_header(ds).age_years is None
    ds.PatientBirthDate, ds.StudyDate = "20150601", "20261122"
    assert films.read_header(ds).age_years == pytest.approx(11.05, abs=0.1)
    ds.PatientAge = "018M"
    assert films.read_header(ds).age_years == 1.5
