"""What commands print with `--json`, and what the HTTP API answers: one form for both.

Fields are added, and never change their meaning; a moment is ISO 8601 with its zone.

Tests: `listing`, `checks`, `decisions`, `jobs`, `model_versions` and `versions` are read as the commands print them, in
tests/node/commands.
"""
