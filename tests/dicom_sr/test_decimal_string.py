from __future__ import annotations

import pytest

from dicom_sr.decimal_string import decimal, rounded


@pytest.mark.parametrize("value", [0.1 + 0.2, -123456.789012345, 1e-17, 31.621600000000001, 4.0, -0.999999999999])
def test_a_decimal_string_fits_and_keeps_what_it_can(value: float) -> None:
    text = decimal(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-8)


def test_six_significant_digits_of_a_number_are_told() -> None:
    assert [rounded(value) for value in (1.23456789, 1234567.0, 0.000012345678, -0.0)] == [
        1.23457,
        1234570.0,
        1.23457e-05,
        0.0,
    ]
