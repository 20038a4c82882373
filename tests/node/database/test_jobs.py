"""Names of jobs, and the table of their states."""

from __future__ import annotations

import pytest

from node.database.jobs import NEXT, JobState, job_id, revision_of


def test_the_same_images_make_the_same_job_in_whatever_order_they_come() -> None:
    one = job_id("knee", "mean_hu", "1.0", "digest", ["1.2", "1.1"])
    assert one == job_id("knee", "mean_hu", "1.0", "digest", ["1.1", "1.2"])
    assert len(one) == 32


@pytest.mark.parametrize(
    "other",
    [
        ("hip", "mean_hu", "1.0", "digest", ["1.1"]),
        ("knee", "max_hu", "1.0", "digest", ["1.1"]),
        ("knee", "mean_hu", "1.1", "digest", ["1.1"]),
        ("knee", "mean_hu", "1.0", "other", ["1.1"]),
        ("knee", "mean_hu", "1.0", "digest", ["1.1", "1.2"]),
        ("knee", "mean_hu", "1.0", "digest", ["1.1"], "revised"),
    ],
)
def test_whatever_changes_the_result_makes_another_job(other: tuple[object, ...]) -> None:
    assert job_id(*other) != job_id("knee", "mean_hu", "1.0", "digest", ["1.1"])  # type: ignore[arg-type]


def test_images_that_were_sent_again_changed_make_a_revision() -> None:
    assert revision_of({}) == revision_of({"1.1": 0}) == ""
    assert revision_of({"1.1": 1}) != revision_of({"1.1": 2})
    assert revision_of({"1.1": 1, "1.2": 0}) == revision_of({"1.1": 1})


def test_what_is_done_is_only_sent_once_more_by_an_operator() -> None:
    assert NEXT.keys() == set(JobState)
    assert NEXT[JobState.DONE] == {JobState.QUEUED, JobState.SENDING}
