"""The three classes, in the order of every vector of probabilities."""

from __future__ import annotations

from typing import Literal

Condition = Literal["healthy", "ra", "psa"]
CLASSES: tuple[Condition, ...] = ("healthy", "ra", "psa")
NAMES = {"healthy": "healthy", "ra": "rheumatoid arthritis", "psa": "psoriatic arthritis"}
SHORT = {"healthy": "healthy", "ra": "RA", "psa": "PsA"}
