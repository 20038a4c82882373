"""What of a record is read and how far ahead the risk looks: shared by inference, training and simulation."""

from __future__ import annotations

WEEKS = 157  # read, counted back from the wash-out: three years, as in the sibling models of Deep-KOA's authors
GAP = 13  # weeks of wash-out before the index date, which are not read
HORIZONS = (1, 3, 5)  # years after the index date that a risk is given for
YEARS = HORIZONS[-1]  # of follow-up that the network gives hazards for
YOUNGEST, OLDEST = 30, 90  # years of age, of the people the model is trained on
DAYS_PER_YEAR = 365.25
STATIC = ("bmi", "kl", "family", "old_injury", "urate", "crp", "hba1c")  # recorded values beside the weekly codes
