"""Measures the shipped model, its gate and its maps, and rivals; `condyle evaluate joint_classification`.

Tests: `patients` holds constants.
"""
