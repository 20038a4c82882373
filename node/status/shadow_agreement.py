"""How far the results of a shadow agree with those of its route, for the page: the latest pairs of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from node.config import Configuration
from node.database.connection import Database
from node.models.agreement import FEWEST, Kappa, Limits
from node.models.comparison import Disagreement, Values, compared, paired
from node.run.kept_summaries import kept_summaries
from node.run.result_summary import code_text
from pipelines.base import own_scale
from pipelines.registry import UnknownPipeline, pipeline_type

PAIRS = 200  # the latest, of which results are read
DISAGREEMENTS = 40


@dataclass(frozen=True)
class AgreementView:
    """Two routes on the same images."""

    first: str
    second: str
    since: datetime
    pairs: int
    usable: int  # both have a result
    looked_into: int
    only_first: int
    only_second: int
    under_way: int
    states: Sequence[tuple[str, str, int]]  # of pairs that ended otherwise
    measurements: Sequence[tuple[Values, Limits]]
    grades: Sequence[tuple[Values, Kappa]]
    disagreements: Sequence[Disagreement]

    @property
    def is_little(self) -> bool:
        """Whether there are too few pairs for more than their number."""
        return self.usable < FEWEST


def agreement(
    configuration: Configuration, database: Database, first: str, second: str, since: datetime
) -> AgreementView:
    """The agreement of two routes, by their jobs since then."""
    found = paired(database, first, second, since)
    usable = [pair for pair in found.pairs if pair.both_have_results]
    latest = sorted(found.pairs, key=lambda pair: pair.second.created)[-PAIRS:]
    jobs = [job.id for pair in latest for job in (pair.first, pair.second)]
    summaries = kept_summaries(configuration.node.data, jobs)
    comparison = compared(latest, summaries, _own_scale(configuration, first))
    limits, kappas = comparison.limits(), comparison.kappas()
    states = Counter((pair.first.state, pair.second.state) for pair in found.pairs)
    return AgreementView(
        first,
        second,
        since,
        len(found.pairs),
        len(usable),
        len(latest),
        found.only_first,
        found.only_second,
        found.under_way,
        [(one, two, number) for (one, two), number in sorted(states.items()) if one != two],
        [(comparison.measurements[key], of) for key, of in limits.items()],
        [(comparison.grades[key], of) for key, of in kappas.items()],
        comparison.disagreements[:DISAGREEMENTS],
    )


def _own_scale(configuration: Configuration, route: str) -> frozenset[str]:
    try:
        return frozenset(map(code_text, own_scale(pipeline_type(configuration.routes[route].pipeline))))
    except UnknownPipeline:  # it is no longer installed
        return frozenset()
