"""Traces of studies by OpenTelemetry, made of what the records say: an option."""
