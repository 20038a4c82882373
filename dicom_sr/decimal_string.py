"""Numbers as decimal strings (VR DS), and how many digits of a number are told."""

from __future__ import annotations


def decimal(value: float | str) -> str:
    """`value` as a decimal string of at most 16 characters."""
    number = float(value)
    for digits in range(15, 4, -1):
        text = f"{number:.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{number:.8g}"


def rounded(value: float) -> float:
    """`value` with six significant digits: no model knows more."""
    return float(f"{value:.6g}")
