from __future__ import annotations

import pytest

from dicom_sr.decimal_string import decimal


@pytest.mark.parametrize("value", [0.1 + 0.2, -123456.789012345, 1e-17, 31.621600000000001, 4.0, -0.999999999999])
def test_a_decimal_string_fits_and_keeps_what_it_can(value: float) -> None:
    text = decimal(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-8)
