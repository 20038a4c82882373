"""Objects -> lines of the outbox: which of them a destination gets, and in which form it wants them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from dicom_sr.profile import LATER_KINDS, EncodedObject, EncodingProfile
from node.config import Configuration, Destination, FhirDestination, Hl7Destination, Notification
from node.database import job_states, outbox
from node.database.jobs import JobState
from node.database.tables import JobRow
from node.errors import JobFailed
from node.run.choice import Choice, choose
from node.run.job_folder import JobFolder
from node.run.notes import ObjectsNote

_PLAIN = EncodingProfile()
# fields of a profile that nodes of earlier versions did not know
_NEWER = (
    *("identifier_system", "segmented_regions", "viewer", "report_status", "message"),
    *("patient_details", "page_url"),
)


def destination_of(configuration: Configuration, name: str) -> Destination:
    """The destination of that name.

    Raises
    ------
    JobFailed
        If the configuration has none any more.
    """
    try:
        return configuration.destinations[name]
    except KeyError:
        raise JobFailed(f"destination {name} is no longer in the configuration") from None


def encoding(configuration: Configuration, destination: Destination) -> tuple[str, EncodingProfile]:
    """What a destination asks the encoders for, behind a short digest of it."""
    node, profile = configuration.node, destination.profile
    wanted = EncodingProfile(
        measurement_report=profile.measurement_report,
        kinds=tuple(kind for kind in profile.kinds if kind not in LATER_KINDS),
        segmented_regions=profile.segmented_regions,
        viewer=profile.viewer,
        not_run_reports=True,  # whether anybody wants them is decided when a job has no result
        synthetic_data=profile.synthetic_data,
        snomed_licence=profile.snomed_licence,
        uid_root=node.uid_root,
        institution=node.institution,
        identifier_system=destination.identifier_system if destination.kind == "fhir" else "",
        report_status=destination.status
        if isinstance(destination, FhirDestination | Hl7Destination)
        else "preliminary",
        message=destination.message_header(node.institution) if isinstance(destination, Hl7Destination) else None,
        patient_details=destination.include if isinstance(destination, Notification) else (),
        page_url=destination.page_url if isinstance(destination, Notification) else "",
    )
    return profile_digest(wanted), wanted


def profile_digest(profile: EncodingProfile) -> str:
    """What a profile is known by in a job's folder.

    What only newer nodes know counts only where it is set: what was encoded before an upgrade is handed over after it.
    """
    fields = asdict(profile)
    for of_the_installation in ("device_serial_number", "device_uid"):
        del fields[of_the_installation]  # what was encoded before it was given another one is handed over as it is
    for name in _NEWER:
        if fields[name] == getattr(_PLAIN, name):
            del fields[name]
    return digest(fields)[:12]


def digest(of: object) -> str:
    """SHA-256 of what JSON can hold, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()


def queue(session: Session, configuration: Configuration, job_id: str, name: str, note: ObjectsNote) -> int:
    """Have the objects that a destination takes wait for it; returns how many do."""
    destination = destination_of(configuration, name)
    form, _ = encoding(configuration, destination)
    due = [item for item in note.of_profile(form) if item.kind in destination.profile.kinds]
    return outbox.queue(session, job_id, name, due, confirm=destination.confirms, now=datetime.now(UTC))


@dataclass(frozen=True)
class Further:
    """Destinations that a job is to go to as well."""

    names: Sequence[str]
    detail: str  # for the timeline
    conditions: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # as `Job.conditions`


def queue_further(
    session: Session, configuration: Configuration, job: JobRow, further: Further, folder: JobFolder, note: ObjectsNote
) -> bool:
    """Have what a job has made wait for further destinations too, whether or not it is still sent to others.

    Nothing changes for the others: what waits for one goes on waiting, and what one refused is not offered again.

    Parameters
    ----------
    job
        Its row, locked; it is being sent, or was.
    further
        The destinations.
    folder
        Of the job.
    note
        Its objects.

    Returns
    -------
    bool
        Whether it was done; not where one of them wants a form that the objects do not have.
    """
    forms = {encoding(configuration, destination_of(configuration, name))[0] for name in further.names}
    if not forms <= set(note.twins):
        return False
    job_states.add_destinations(job, further.names, kept=job.destinations, conditions=further.conditions)
    choice = choose(folder, job, JobState.DONE, further.names)
    if job.state == JobState.SENDING:
        job_states.note(session, job.id, "sending", further.detail)
    else:
        job_states.move(session, job.id, JobState.SENDING, detail=further.detail)
    note_choice(session, job, choice)
    for name in choice.names:
        queue(session, configuration, job.id, name, note)
    job_states.settle(session, job.id)
    return True


def queue_later(
    session: Session, configuration: Configuration, job: JobRow, folder: JobFolder, item: EncodedObject
) -> tuple[str, ...]:
    """Have an object that came after the result wait for whoever gets the result and takes its kind; their names.

    The state of the job stays: what it made is delivered or not, whatever becomes of this.
    """
    known = configuration.destinations
    taking = [name for name in job.destinations if name in known and item.kind in known[name].profile.kinds]
    names = () if job.shadow else choose(folder, job, JobState.DONE, taking).names
    for name in names:
        outbox.queue(session, job.id, name, [item], confirm=known[name].confirms, now=datetime.now(UTC))
    return names


def note_choice(session: Session, job: JobRow, choice: Choice) -> None:
    """Write down why destinations with conditions get what the job has made, or do not."""
    if choice.traces:
        job_states.note_hand_over(session, job.id, choice.traces)
        for sentence in choice.sentences:
            job_states.note(session, job.id, "destination", sentence)
