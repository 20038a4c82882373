"""The result that a job revises, as each of its destinations has it: what the new objects refer to and lie beside."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy.orm import Session

from dicom_sr.profile import EncodedObject
from dicom_sr.versions import IN_ONE_SERIES, Earlier, earlier_version
from node.config import Configuration
from node.database import job_states, outbox, withdrawals
from node.database.tables import JobRow
from node.run.hand_over import destination_of, encoding


def earlier_results(
    session: Session, configuration: Configuration, job: JobRow, profiles: Iterable[str], data: Path
) -> dict[str, Earlier]:
    """What was queued of the result that a job revises for the destinations of each profile; empty where there is none.

    What was withdrawn is not built on, but its number is not given again.
    """
    revised = job_states.revised(session, job)
    number = outbox.number_sent(session, revised)
    if not number:
        return {}
    found: dict[str, dict[str, EncodedObject]] = {name: {} for name in profiles}
    for destination in job.destinations:
        profile, _ = encoding(configuration, destination_of(configuration, destination))
        for earlier in revised:  # the latest of which the destination has something: one that failed is passed over
            sent = outbox.sent_to(session, earlier, destination, IN_ONE_SERIES, data)
            withdrawn = withdrawals.withdrawn_objects(session, (item.sop_instance_uid for item in sent))
            kept = {item.sop_instance_uid: item for item in sent if item.sop_instance_uid not in withdrawn}
            found.setdefault(profile, {}).update(kept)
            if sent:
                break
    return {name: earlier_version(number, tuple(objects.values())) for name, objects in found.items()}
