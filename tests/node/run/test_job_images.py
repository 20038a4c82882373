"""The images of a job that are not as they were recorded."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.database import job_states
from node.database.tables import InstanceRow, SeriesRow
from node.errors import JobFailed
from node.reading import HERE
from node.run.job_images import JobImages
from tests.node.run.trial import bench


@pytest.mark.parametrize("added", [0, 4])
def test_images_whose_length_is_another_than_was_recorded_are_handed_over_to_be_corrected(
    tmp_path: Path, added: int
) -> None:
    with bench(tmp_path) as made:
        job = made.job()
        with Session(made.database) as session, session.begin():
            job_states.record(session, job)
            session.execute(update(InstanceRow).values(size=InstanceRow.size + added))
        asked: list[Collection[Path]] = []
        away = JobImages(made.database, made.data, HERE, asked.append).away(made.record(job))
        assert (away is not None) == bool(added)
        found = [sorted(path.name for path in paths) for paths in asked]
        assert found == ([sorted(f"{uid}.dcm" for uid in job.sop_instance_uids)] if added else [])


def test_a_job_that_was_made_before_one_of_its_images_was_rejected_ends_with_that_reason(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        job = made.job()
        with Session(made.database) as session, session.begin():
            job_states.record(session, job)
            one = InstanceRow.sop_instance_uid == job.sop_instance_uids[0]
            session.execute(update(InstanceRow).where(one).values(rejected="113001"))
            stored = session.scalars(select(InstanceRow).where(one)).one()
            seen = dict.fromkeys(("instances", "routed_instances", "study_routed_instances"), 3)
            session.add(
                SeriesRow(
                    study_instance_uid=stored.study_instance_uid,
                    series_instance_uid=stored.series_instance_uid,
                    first_received=job.created,
                    last_received=job.created,
                    **seen,
                )
            )
        images = len(job.sop_instance_uids)
        with pytest.raises(JobFailed, match=f"1 of {images} images? of the job rejected: Rejected for Quality Reasons"):
            JobImages(made.database, made.data, HERE).require_its_own(made.record(job))
        with Session(made.database) as session:  # it was decided upon before the note came
            assert session.scalars(select(SeriesRow).where(SeriesRow.instances > SeriesRow.routed_instances)).all()
