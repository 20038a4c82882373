"""Simulated data with a known answer."""
