"""Decisions that were made again about earlier studies."""

from __future__ import annotations

from node.listings.listing import Listing
from node.route.reroute import Action, Rerouted


class ReroutedListing(Listing):
    """What one route says now about a series, or a study."""

    study_instance_uid: str
    series_instance_uid: str | None
    route: str
    action: Action
    job: str | None
    why: str
    problem: str

    @classmethod
    def of(cls, one: Rerouted) -> ReroutedListing:
        """The listing of a decision."""
        return cls(
            study_instance_uid=one.complete.study_instance_uid,
            series_instance_uid=one.complete.series_instance_uid,
            route=one.route,
            action=one.action,
            job=one.job_id,
            why=one.why,
            problem=one.problem,
        )
