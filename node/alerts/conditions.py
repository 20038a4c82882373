"""What rules see in the node's records: each looks by an index, however many rows there are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, func, literal, or_, select
from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.config import Configuration
from node.config.alert_times import before_in_hours, in_words
from node.config.alerts import (
    DestinationDown,
    JobsFailed,
    NoImages,
    QueueLong,
    SendersRefused,
    SignInsRefused,
    WorkersDied,
)
from node.database import outbox
from node.database.alerts import Observation
from node.database.job_states import CANCELLED
from node.database.jobs import JobState
from node.database.queries import in_chunks
from node.database.states import AssociationOutcome
from node.database.tables import (
    NOT_STORED,
    SIGN_IN_REFUSED,
    WORKER_DIED,
    AssociationRow,
    AuditRow,
    EventRow,
    InstanceRow,
    Instant,
    JobRow,
    OutboxRow,
    StudyRow,
)

COUNTED_WITHIN = timedelta(hours=1)  # refusals of one kind are counted in one row for so long
LONGEST_ASSOCIATION = timedelta(hours=1)  # that still tells of a sender after it
PAGE = 200
MOST_ROWS = 5000  # of refusals that are looked at, the latest
MOST_SUBJECTS = 20  # of one rule at a time: a stranger makes up any
LONGEST_QUOTE = 300
ENDED = (JobState.DONE, JobState.UNSUITABLE, JobState.FAILED)
# Jobs are found by when they changed: SQLite would take the index of states, where a million are done.
STATE: ColumnElement[str] = func.coalesce(JobRow.state, "")
_UID = re.compile(r"\b[0-9]+(?:\.[0-9]+){4,}\b")  # an address has three dots


def destinations_down(
    session: Session, rule: DestinationDown, configuration: Configuration, now: datetime
) -> Iterator[Observation]:
    """The destinations at which something waits after a failed try; since then, not since it was seen."""
    for one in outbox.failing(session, now):
        if one.destination not in configuration.destinations:
            continue
        if rule.destinations and one.destination not in rule.destinations:
            continue
        how = "does not take everything" if one.takes_some else "is down"
        what = "Others arrive" if one.takes_some else "Nothing has arrived there since"
        answer = session.scalar(
            select(OutboxRow.answer)
            .where(OutboxRow.destination == one.destination, OutboxRow.failing_since.is_not(None))
            .order_by(OutboxRow.failing_since)
            .limit(1)
        )
        waiting = f"{counted(one.waiting, 'object')} to be sent {'waits' if one.waiting == 1 else 'wait'}"
        yield Observation(
            subject=one.destination,
            title=f"destination {one.destination} {how}",
            sentence=f"{what}; {waiting}, and {'is' if one.waiting == 1 else 'are'} tried again.{quoted(answer)}",
            advice="See whether the destination runs and can be reached, and what its own log says; "
            "condyle check --online asks it. What waits is sent as soon as it answers.",
            ending=f"Destination {one.destination} takes what it is sent.",
            link="/#destinations",
            since=one.since,
        )


def jobs_failed(
    session: Session, rule: JobsFailed, configuration: Configuration, now: datetime
) -> Iterator[Observation]:
    """The routes of which so many jobs have failed."""
    since = now - rule.within
    recent = [JobRow.cleaned.is_(None), JobRow.updated > since, of_rule(rule.routes, rule.pipelines)]
    counts: dict[str, Counter[str]] = {}
    query = select(JobRow.route, JobRow.state, func.count()).where(*recent, STATE.in_(ENDED))
    not_by_hand = or_(JobRow.state != JobState.FAILED, JobRow.reason != CANCELLED)
    for route, state, number in session.execute(query.where(not_by_hand).group_by(JobRow.route, JobRow.state)):
        counts.setdefault(route, Counter())[state] = number
    for route, of_state in counts.items():
        failed, ended = of_state[JobState.FAILED], of_state.total()
        if failed < rule.number or (rule.share is not None and failed < rule.share * ended):
            continue
        last = session.execute(
            select(JobRow.id, JobRow.reason)
            .where(*recent, JobRow.route == route, STATE == JobState.FAILED, JobRow.reason != CANCELLED)
            .order_by(JobRow.updated.desc())
            .limit(1)
        ).one()
        yield Observation(
            subject=route,
            title=f"jobs of route {route} fail",
            sentence=f"{failed} of {counted(ended, 'job')} that ended within {in_words(rule.within)} failed. "
            f"The last one is job {last.id[:8]}.{quoted(last.reason)}",
            advice=f"condyle jobs show {last.id[:8]} tells what happened; condyle jobs restart begins a job again.",
            ending=f"Fewer than {counted(rule.number, 'job')} of route {route} failed within {in_words(rule.within)}."
            if rule.share is None
            else f"Fewer jobs of route {route} fail.",
            link=f"/jobs/{last.id}",
        )


def of_rule(routes: Sequence[str], pipelines: Sequence[str]) -> ColumnElement[bool]:
    """The jobs that a rule is about: without routes, those of all but shadows."""
    wanted = JobRow.route.in_(routes) if routes else ~JobRow.shadow
    return wanted & JobRow.pipeline.in_(pipelines) if pipelines else wanted


def queue_long(session: Session, rule: QueueLong, configuration: Configuration, now: datetime) -> Iterator[Observation]:
    """The jobs that wait, where they are too many or one waits for too long."""
    oldest = func.min(JobRow.updated, type_=Instant)
    waiting, since = session.execute(select(func.count(), oldest).where(JobRow.state == JobState.QUEUED)).one()
    longest = now - since if since is not None else timedelta(0)
    too_many = rule.jobs is not None and waiting >= rule.jobs
    too_long = rule.older_than is not None and longest >= rule.older_than
    if too_many or too_long:
        yield Observation(
            subject="",
            title="jobs wait for too long" if too_long else "too many jobs wait",
            sentence=f"{counted(waiting, 'job')} {'waits' if waiting == 1 else 'wait'} for a worker, "
            f"the first for {in_words(longest)}.",
            advice="See what the workers do (condyle jobs list --state running) and whether the page names a problem; "
            "run.workers says how many jobs run at a time.",
            ending="The queue is short again.",
        )


def no_images(session: Session, rule: NoImages, configuration: Configuration, now: datetime) -> Iterator[Observation]:
    """Nobody, or not one of the senders named, has sent an image; a node that never had one says nothing."""
    since = before_in_hours(rule.after, rule.hours, rule.days, now)
    earlier = select(StudyRow.study_instance_uid).where(StudyRow.last_received <= now).limit(1)
    if session.scalar(earlier) is None:
        return
    for sender in rule.senders or ("",):
        if session.scalar(_some_image(sender, since).limit(1)) is not None:
            continue
        who = f"from {sender}" if sender else "from anybody"
        hours = " of the configured hours" if in_words(now - since) != in_words(rule.after) else ""
        yield Observation(
            subject=sender,
            title=f"no image from {sender}" if sender else "no images",
            sentence=f"No image has come {who} for {in_words(rule.after)}{hours}.",
            advice="See whether the sender works and still sends to the node, and whether the page lists it among the "
            "refused.",
            ending=f"Images come again{f' from {sender}' if sender else ''}.",
            since=since,
        )


def _some_image(sender: str, since: datetime) -> Select[str]:
    """Something that came since then: of anybody an image, of a sender an association that brought one."""
    if not sender:
        own = InstanceRow.made_by_us.is_(False)  # what an archive sends back says nothing of scanners
        return select(InstanceRow.sop_instance_uid).where(InstanceRow.received > since, own)
    brought = or_(AssociationRow.ended.is_(None), (AssociationRow.ended > since) & (AssociationRow.stored > 0))
    begun = AssociationRow.started > since - LONGEST_ASSOCIATION
    return select(AssociationRow.id).where(
        begun, brought, AssociationRow.calling_ae_title == sender, AssociationRow.outcome != AssociationOutcome.REFUSED
    )


def workers_died(
    session: Session, rule: WorkersDied, configuration: Configuration, now: datetime
) -> Iterator[Observation]:
    """How often a process died that ran a pipeline."""
    died = EventRow.what == literal(WORKER_DIED, literal_execute=True)
    events = session.execute(
        select(EventRow.job_id, EventRow.detail)
        .where(died, EventRow.at > now - rule.within)
        .order_by(EventRow.at.desc())
        .limit(MOST_ROWS)
    ).all()
    if len(events) < rule.number:
        return
    last, jobs = events[0], Counter(event.job_id for event in events)
    pipelines: Counter[str] = Counter()
    for chunk in in_chunks(jobs):
        for job_id, pipeline in session.execute(select(JobRow.id, JobRow.pipeline).where(JobRow.id.in_(chunk))):
            pipelines[pipeline] += jobs[job_id]
    told = ", ".join(f"{pipeline} ({times})" for pipeline, times in pipelines.most_common())
    yield Observation(
        subject="",
        title="workers die",
        sentence=f"{counted(len(events), 'worker')} died within {in_words(rule.within)}: {told}.{quoted(last.detail)}",
        advice=f"condyle jobs show {last.job_id[:8]} tells of the last one; the machine may lack memory "
        "(run.memory_limit_mb, run.workers).",
        ending="The workers live.",
        link=f"/jobs/{last.job_id}",
    )


def sign_ins_refused(
    session: Session, rule: SignInsRefused, configuration: Configuration, now: datetime
) -> Iterator[Observation]:
    """How often somebody was not let in."""
    rows = _audited(session, SIGN_IN_REFUSED, now - rule.within)
    number = sum(row.times for row in rows)
    if number >= rule.number:
        yield Observation(
            subject="",
            title="sign-ins are refused",
            sentence=f"{counted(number, 'attempt')} to sign in were refused within {in_words(rule.within)}.",
            advice="The audit trail names the accounts and addresses. Somebody may be guessing passwords.",
            ending="Hardly any sign-in is refused.",
        )


def senders_refused(
    session: Session, rule: SendersRefused, configuration: Configuration, now: datetime
) -> Iterator[Observation]:
    """Addresses whose associations were refused, and senders whose images were not stored."""
    since = now - rule.within
    found: dict[str, tuple[int, str]] = {}
    for row in session.execute(
        select(
            AssociationRow.peer_address, AssociationRow.calling_ae_title, AssociationRow.reason, AssociationRow.times
        )
        .where(
            AssociationRow.outcome == AssociationOutcome.REFUSED,
            AssociationRow.started > since - COUNTED_WITHIN,
            func.coalesce(AssociationRow.ended, AssociationRow.started) > since,
        )
        .order_by(AssociationRow.started.desc())
        .limit(MOST_ROWS)
    ):
        key = f"sender {row.peer_address or row.calling_ae_title or 'unknown'} is refused"
        number, why = found.get(key, (0, f"{row.calling_ae_title}: {row.reason}"))
        found[key] = (number + row.times, why)
    for one in _audited(session, NOT_STORED, since):
        key = f"images of {one.who} are not stored"
        number, why = found.get(key, (0, str(one.detail.get("reason", ""))))
        found[key] = (number + one.times, why)
    worst = sorted((key for key, (number, _) in found.items() if number >= rule.number), key=lambda key: -found[key][0])
    for key in worst[:MOST_SUBJECTS]:
        number, why = found[key]
        yield Observation(
            subject=key,
            title=key,
            sentence=f"{counted(number, 'time')} within {in_words(rule.within)}.{quoted(why)}",
            advice="If it should be let in, list it in peers with its AE title and address (docs/reception.md).",
            ending="It was hardly refused since.",
        )


class _Line(NamedTuple):
    """What is looked at of a line of the audit trail."""

    id: int
    at: datetime
    who: str
    times: int
    detail: dict[str, Any]

    @property
    def last(self) -> datetime:
        """The last time: a line that is counted on is older."""
        until = self.detail.get("until")
        return datetime.fromisoformat(until) if isinstance(until, str) else self.at


def _audited(session: Session, what: str, since: datetime) -> list[_Line]:
    """The lines of a kind that tell of something since then: the latest are read, until a page of them is older."""
    found: list[_Line] = []
    before: int | None = None
    for _ in range(MOST_ROWS // PAGE):
        query = select(AuditRow.id, AuditRow.at, AuditRow.who, AuditRow.times, AuditRow.detail)
        query = query.where(AuditRow.what == what).order_by(AuditRow.id.desc()).limit(PAGE)
        page = [_Line(*row) for row in session.execute(query if before is None else query.where(AuditRow.id < before))]
        found += [line for line in page if line.last > since]
        if len(page) < PAGE or all(line.at <= since - COUNTED_WITHIN for line in page):
            break
        before = page[-1].id
    return found


def quoted(answer: str | None) -> str:
    """What somebody said, as the end of a sentence; without UIDs."""
    if not answer:
        return ""
    told = _UID.sub("(UID)", " ".join(answer.split()))
    return f" It was said: {told[:LONGEST_QUOTE]}{'...' if len(told) > LONGEST_QUOTE else ''}"
