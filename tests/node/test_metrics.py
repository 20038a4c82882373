"""Counters of the process: there from the start, and free of what a stranger can choose."""

from __future__ import annotations

from node import metrics
from tests.counting import counting, counts


def test_what_is_configured_is_there_with_nothing() -> None:
    metrics.begin([("wrist", "trial")], ["vna"], ["done"], ["lost"], ["0xA700"])
    found = counts()
    for key in (
        ("condyle_decisions_total", "true", "wrist"),
        ("condyle_jobs_ended_total", "trial", "wrist", "done"),
        ("condyle_deliveries_total", "vna", "refused"),
        ("condyle_deliveries_confirmed_total", "vna"),
        ("condyle_associations_total", "lost", "stow"),
        ("condyle_associations_total", "lost", "import"),
        ("condyle_instances_not_stored_total", "0xA700"),
    ):
        assert key in found


def test_beginning_again_sets_nothing_back() -> None:
    metrics.DECISIONS.labels("wrist", "true").inc()
    with counting() as added:
        metrics.begin([("wrist", "trial")], ["vna"], ["done"], ["lost"], ["0xA700"])
    assert added == {}


def test_labels_are_names_of_the_configuration_and_of_states() -> None:
    known = {"way", "outcome", "status", "route", "matched", "pipeline", "state", "step", "destination", "le"}
    labels = {name for family in metrics.REGISTRY.collect() for sample in family.samples for name in sample.labels}
    assert labels <= known
