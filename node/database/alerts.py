"""What rules have found: each alert begins, lasts and ends, is told once when it begins and once when it is over.

An alert is `pending` until it has lasted as long as its rule says, `firing` while it lasts, then `over`; the row of a
subject is used again when it begins anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, delete, func, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from node.config.alerts import Lasting, Told
from node.database.queries import in_chunks
from node.database.tables import AlertNoticeRow, AlertRow, AlertRuleRow

LONGEST_SUBJECT = 160


class AlertState(StrEnum):
    """How far an alert has come."""

    PENDING = "pending"  # it has not lasted long enough to be told
    FIRING = "firing"
    OVER = "over"


class Event(StrEnum):
    """What is told of an alert."""

    BEGUN = "begun"
    LASTING = "lasting"  # again, after `repeat`
    OVER = "over"


OPEN: ColumnElement[bool] = AlertRow.state != literal(AlertState.OVER.value, literal_execute=True)


@dataclass(frozen=True)
class Observation:
    """What a rule sees about one subject at the moment."""

    subject: str  # tells it from others of the rule
    title: str  # what is wrong, in a few words
    sentence: str  # with the facts
    advice: str = ""  # what to do
    ending: str = ""  # what is said when it is over
    link: str = ""  # path on the status page
    since: datetime | None = None  # None: since it was seen first
    job_id: str | None = None  # of a result


@dataclass(frozen=True)
class Change:
    """Something that is to be told."""

    alert: AlertRow
    event: Event


# ---- rules
def enter_rules(session: Session, rules: Collection[str], now: datetime) -> None:
    """Have a row for each rule of the configuration."""
    known = set(session.scalars(select(AlertRuleRow.rule)))
    for rule in rules:
        if rule not in known:
            _enter(session, rule, now)


def _enter(session: Session, rule: str, now: datetime) -> None:
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    # by the database's clock: a claim is held against it
    values = {"rule": rule, "owner": "", "seen": func.current_timestamp(), "looked_until": now}
    session.execute(dialect.insert(AlertRuleRow).values(**values).on_conflict_do_nothing())


def leave_rules(session: Session, rules: Collection[str], now: datetime) -> None:
    """Forget all rules but these: what others had found is over, and nobody is told of it."""
    session.execute(delete(AlertRuleRow).where(AlertRuleRow.rule.not_in(rules)))
    gone = {"state": AlertState.OVER, "ended": now, "absent": None}
    session.execute(update(AlertRow).where(OPEN, AlertRow.rule.not_in(rules)).values(gone))


def claim(session: Session, rules: Collection[str], owner: str, claim_s: float) -> set[str]:
    """The rules that are this node's to look at: of several nodes on one database, one at a time is.

    A claim lasts while it is renewed, by the clock of the database.
    """
    if session.get_bind().dialect.name != "postgresql":
        return set(rules)  # one node alone uses an SQLite database; the job engine's lock ensures it
    now = session.scalars(select(func.current_timestamp())).one()
    free = or_(
        AlertRuleRow.owner == owner, AlertRuleRow.owner == "", AlertRuleRow.seen < now - timedelta(seconds=claim_s)
    )
    taken = update(AlertRuleRow).where(AlertRuleRow.rule.in_(rules), free).values(owner=owner, seen=now)
    return set(session.scalars(taken.returning(AlertRuleRow.rule)))


def locked(session: Session, rule: str, owner: str) -> AlertRuleRow | None:
    """The row of a rule, locked until the session's transaction ends; None where it is not this node's any more."""
    where = [AlertRuleRow.rule == rule]
    if session.get_bind().dialect.name == "postgresql":
        where.append(AlertRuleRow.owner == owner)
    held = update(AlertRuleRow).where(*where).values(owner=owner).returning(AlertRuleRow.rule)
    return session.get(AlertRuleRow, rule, populate_existing=True) if session.scalar(held) is not None else None


def is_silenced(row: AlertRuleRow | None, now: datetime) -> bool:
    """Whether nobody is told of what the rule finds."""
    return row is not None and row.silenced_until is not None and row.silenced_until > now


def silence(session: Session, rule: str, until: datetime | None, who: str, now: datetime) -> None:
    """Have nobody told of what a rule finds until then; None: from now on everybody again."""
    _enter(session, rule, now)
    silenced = {"silenced_until": until, "silenced_by": who if until is not None else ""}
    session.execute(update(AlertRuleRow).where(AlertRuleRow.rule == rule).values(silenced))


# ---- alerts
def open_alerts(session: Session, rule: str, node: str) -> Sequence[AlertRow]:
    """What a rule has found that is not over."""
    return session.scalars(select(AlertRow).where(OPEN, AlertRow.rule == rule, AlertRow.node == node)).all()


def settle(
    session: Session,
    name: str,
    rule: Lasting,
    node: str,
    seen: Iterable[Observation],
    now: datetime,
    *,
    silenced: bool = False,
) -> list[Change]:
    """Write down what a rule sees now, and say what is to be told of it; each change is said once.

    Parameters
    ----------
    name
        Of the rule.
    rule
        How long what it sees must last, and be gone.
    node
        That it concerns; empty: all on this database.
    seen
        All that holds now; what is open and not among them is gone.
    now
        The time, timezone aware.
    silenced
        Whether nobody is told; what still lasts when that ends is told then.
    """
    known = {row.subject: row for row in open_alerts(session, name, node)}
    changes: list[Change] = []
    for one in seen:
        subject = one.subject[:LONGEST_SUBJECT]
        row = known.pop(subject, None) or _begun(session, name, node, subject, now)
        _describe(row, one, rule)
        if row.state == AlertState.PENDING and now - row.since >= rule.after:
            row.state, row.times = AlertState.FIRING, row.times + 1
        if row.state == AlertState.FIRING and not silenced and (event := _due(row, rule, now)) is not None:
            row.told = now
            changes.append(Change(row, event))
    for row in known.values():
        row.absent = row.absent or now
        if row.state == AlertState.PENDING or now - row.absent >= rule.calm:
            if row.state == AlertState.FIRING and row.told is not None and not silenced:
                changes.append(Change(row, Event.OVER))
            row.state, row.ended, row.absent = AlertState.OVER, row.absent, None
    session.flush()
    return changes


def _begun(session: Session, rule: str, node: str, subject: str, now: datetime) -> AlertRow:
    """The row of a subject that nothing was wrong with: that of the last time, or a new one."""
    where = (AlertRow.rule == rule, AlertRow.node == node, AlertRow.subject == subject)
    row = session.scalar(select(AlertRow).where(*where))
    if row is None:
        row = AlertRow(rule=rule, node=node, subject=subject, times=0, title="", sentence="")
        session.add(row)
    row.state, row.since = AlertState.PENDING, now
    row.told = row.ended = row.absent = None
    return row


def _describe(row: AlertRow, one: Observation, rule: Told) -> None:
    row.severity, row.job_id, row.absent = rule.severity, one.job_id, None
    row.title, row.sentence, row.advice = one.title, one.sentence, one.advice
    row.ending, row.link = one.ending, one.link
    if one.since is not None and row.state == AlertState.PENDING:
        row.since = one.since


def _due(row: AlertRow, rule: Lasting, now: datetime) -> Event | None:
    if row.told is None:
        return Event.BEGUN
    return Event.LASTING if rule.repeat is not None and now - row.told >= rule.repeat else None


def record(
    session: Session, name: str, rule: Told, seen: Iterable[Observation], now: datetime, *, silenced: bool = False
) -> list[Change]:
    """Write down what has happened, once for each subject, and say what is to be told: what nobody knew before."""
    changes: list[Change] = []
    for one in seen:
        where = (AlertRow.rule == name, AlertRow.node == "", AlertRow.subject == one.subject)
        if session.scalar(select(AlertRow.id).where(*where)) is not None:
            continue
        row = AlertRow(rule=name, node="", subject=one.subject, state=AlertState.OVER, times=1)
        row.since, row.told = one.since or now, None if silenced else now
        row.ended = row.since
        _describe(row, one, rule)
        session.add(row)
        changes += [] if silenced else [Change(row, Event.BEGUN)]
    session.flush()
    return changes


# ---- lists
def firing(session: Session) -> Sequence[AlertRow]:
    """What is wrong now, the worst first."""
    rows = session.scalars(select(AlertRow).where(OPEN, AlertRow.state == AlertState.FIRING)).all()
    order = ("critical", "warning", "info")
    return sorted(rows, key=lambda row: (order.index(row.severity), row.since))


def past(session: Session, limit: int) -> Sequence[AlertRow]:
    """What was told and is over, the latest beginning first."""
    over = (AlertRow.state == AlertState.OVER, AlertRow.times > 0)
    return session.scalars(select(AlertRow).where(*over).order_by(AlertRow.since.desc()).limit(limit)).all()


def rule_rows(session: Session) -> dict[str, AlertRuleRow]:
    """The rows of all rules, by name."""
    return {row.rule: row for row in session.scalars(select(AlertRuleRow))}


def forget_jobs(session: Session, job_ids: Iterable[str]) -> None:
    """Delete what was found of these jobs, and what anybody was or is to be told of it."""
    for chunk in in_chunks(job_ids):
        of_jobs = select(AlertRow.id).where(AlertRow.job_id.in_(chunk))
        session.execute(delete(AlertNoticeRow).where(AlertNoticeRow.alert_id.in_(of_jobs)))
        session.execute(delete(AlertRow).where(AlertRow.job_id.in_(chunk)))
