"""Graded films of a site or of a public set: their layouts, and how they are divided by patient.

Tests: `ra2_dream` and `landmark_tables` are tested with the other layouts, in `test_layouts`.
"""
