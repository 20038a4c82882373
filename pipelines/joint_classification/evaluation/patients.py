"""The simulated patients that a model is measured on: others than those it was trained and calibrated on."""

from __future__ import annotations

TEST_SEED = 31_337  # other patients than those trained and calibrated on
PATIENTS = {2: 200, 3: 80}
