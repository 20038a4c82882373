"""What every risk is held against: age and sex, visits, and the usual learners on counts of codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pipelines.knee_oa_risk.matrix import Batch
from pipelines.knee_oa_risk.training.cohort import Cohort
from pipelines.knee_oa_risk.training.measures import censoring_weights
from pipelines.knee_oa_risk.window import HORIZONS, STATIC

Floats = NDArray[np.float64]
Features = Callable[[Batch, Cohort], Floats]


def age_sex(batch: Batch, _people: Cohort) -> Floats:
    """Age spline and sex, with the spline of each sex."""
    spline, female = batch.static[:, :4].astype(float), batch.static[:, 4:5].astype(float)
    return np.hstack([spline, female, spline * female])


def age_sex_visits(batch: Batch, people: Cohort) -> Floats:
    """Age spline, sex and use of care, (N, F)."""
    return np.hstack([age_sex(batch, people), batch.static[:, 5:6].astype(float)])


def code_counts(batch: Batch) -> Floats:
    """Sum of each code's cells over the window, (N, codes)."""
    counts = coo_matrix((batch.value, (batch.person, batch.row)), shape=(len(batch), batch.rows))
    dense: Floats = np.asarray(counts.todense(), dtype=np.float64)
    return dense


def linear_counts(batch: Batch, people: Cohort) -> Floats:
    """Counts, presence and static values with missing flags, for a linear model."""
    counts = code_counts(batch)
    return np.hstack([age_sex(batch, people), batch.static[:, 5:].astype(float), np.log1p(counts), counts > 0])


def tree_counts(batch: Batch, people: Cohort) -> Floats:
    """Counts and static values as they are, missing ones as NaN, for trees."""
    static = [people.age, people.female, people.visits_per_year, people.observed_weeks]
    static += [people.static[name] for name in STATIC]
    return np.column_stack([code_counts(batch), *static])


def _logistic() -> Any:
    return LogisticRegression(C=0.05, max_iter=2000)


def _boosting() -> Any:
    return HistGradientBoostingClassifier(
        max_iter=400,
        learning_rate=0.06,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        early_stopping=True,
        validation_fraction=0.1,
        random_state=0,
    )


BASELINES: dict[str, tuple[Features, Callable[[], Any], bool]] = {
    "age + sex": (age_sex, _logistic, True),
    "age + sex + visits": (age_sex_visits, _logistic, True),
    "logistic regression on code counts": (linear_counts, _logistic, True),
    "gradient boosting on code counts": (tree_counts, _boosting, False),
}


def baseline_risks(
    name: str, train: tuple[Batch, Cohort], test: tuple[Batch, Cohort], horizons: tuple[int, ...] = HORIZONS
) -> Floats:
    """Risks (N, H) of the baseline `name` on `test`, fitted per horizon with censoring weights on `train`.

    Parameters
    ----------
    name
        One of `BASELINES`.
    train, test
        Matrices and people, to fit on and to predict.
    horizons
        Years.
    """
    features, learner, scaled = BASELINES[name]
    x, x_test = features(*train), features(*test)
    if scaled:
        scaler = StandardScaler().fit(x)
        x, x_test = scaler.transform(x), scaler.transform(x_test)
    out = []
    for horizon in horizons:
        weight, case = censoring_weights(train[1].time, train[1].status, horizon)
        known = weight > 0
        model = learner().fit(x[known], case[known], sample_weight=weight[known])
        out.append(model.predict_proba(x_test)[:, 1])
    return np.stack(out, axis=1)
