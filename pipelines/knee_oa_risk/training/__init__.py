"""Training.

Tests: `cohort` is a type without code, which mypy holds the simulated population and the register to.
"""
