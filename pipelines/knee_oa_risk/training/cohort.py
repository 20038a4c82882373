"""People to learn from: who they are at their index dates and what became of them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Cohort(Protocol):
    """People at their index dates with what became of them, simulated or from records; arrays over people (N,)."""

    @property
    def age(self) -> NDArray[np.float64]:
        """Years."""

    @property
    def female(self) -> NDArray[Any]:
        """1 or true for women; 0.5 where the record does not say."""

    @property
    def observed_weeks(self) -> NDArray[np.int64]:
        """Weeks of the window that were observed."""

    @property
    def visits_per_year(self) -> NDArray[np.float64]:
        """Weeks with a diagnosis, per observed year."""

    @property
    def static(self) -> dict[str, NDArray[np.float64]]:
        """Recorded values by their names in `window.STATIC`; NaN where missing."""

    @property
    def time(self) -> NDArray[np.float64]:
        """Years from the index date to whatever came first."""

    @property
    def status(self) -> NDArray[np.int64]:
        """0 left, 1 knee osteoarthritis, 2 died."""

    def __len__(self) -> int: ...
