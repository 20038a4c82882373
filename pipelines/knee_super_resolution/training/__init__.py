"""Training.

Tests: `plan` holds settings without code; `test_fit` and `test_sampler` train by them.
"""
