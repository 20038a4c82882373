"""Traces of studies by OpenTelemetry, made of what the records say: an option.

Tests: `records`, `spans` and `exporter` are tested together, from records to a collector, in
tests/node/telemetry/test_traces.py.
"""
