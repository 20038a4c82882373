"""What commands print with `--json`, and what the HTTP API answers: one form for both.

Fields are added, and never change their meaning; a moment is ISO 8601 with its zone.

Tests: `listing`, `checks`, `decisions`, `jobs`, `model_versions`, `pauses`, `people`, `verdicts` and `versions` are
read as the commands print them, in tests/node/commands; `actions`, `alerts`, `audit`, `failures`, `imports`, `present`,
`routes` and `studies` as the API answers them, in tests/node/api.
"""
