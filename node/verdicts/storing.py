"""Verdicts as rows of the database, and rows as verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydicom.sr.coding import Code
from sqlalchemy.orm import Session

from dicom_sr.assessment import Answer, Change
from node.database import verdicts
from node.database.tables import VerdictRow
from node.verdicts.verdict import Verdict, VerdictKind


def store(session: Session, said: Iterable[Verdict]) -> int:
    """Store the verdicts that are not stored yet; how many those were."""
    return verdicts.store(session, [_row(one) for one in said])


def verdict(row: VerdictRow) -> Verdict:
    """The verdict in a row."""
    return Verdict(
        VerdictKind(row.kind),
        row.source_uid,
        row.job_id,
        row.study_instance_uid,
        row.object_uid,
        row.tracking_uid,
        row.tracking_id,
        _code(row.finding),
        _code(row.site),
        Answer(row.answer),
        _code(row.reason),
        row.comment,
        tuple(_change(one) for one in row.changes),
        row.observer,
        row.device,
        row.sender,
        row.observed,
        row.received,
    )


def _row(said: Verdict) -> VerdictRow:
    return VerdictRow(
        id=said.id,
        kind=said.kind,
        source_uid=said.source_uid,
        job_id=said.job_id,
        study_instance_uid=said.study_instance_uid,
        object_uid=said.object_uid,
        tracking_uid=said.tracking_uid,
        tracking_id=said.tracking_id,
        finding=plain(said.finding),
        site=plain(said.site),
        answer=said.answer,
        reason=plain(said.reason),
        comment=said.comment,
        changes=plain_changes(said.changes),
        observer=said.observer,
        device=said.device,
        sender=said.sender,
        observed=said.observed,
        received=said.received,
        superseded=False,
    )


def plain_changes(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Changed values as the table has them."""
    return [
        {
            "name": plain(one.name),
            "before": _plain_value(one.before),
            "after": _plain_value(one.after),
            "unit": plain(one.unit),
        }
        for one in changes
    ]


def plain(code: Code | None) -> list[str] | None:
    """A code as the table has it."""
    return None if code is None else [str(code.value), str(code.scheme_designator), str(code.meaning)]


def _plain_value(value: float | Code | None) -> float | list[str] | None:
    return value if isinstance(value, float | int) else plain(value)


def _code(stored: list[str] | None) -> Code | None:
    return None if stored is None else Code(*stored)


def _value(stored: float | list[str] | None) -> float | Code | None:
    return _code(stored) if isinstance(stored, list) else stored


def _change(stored: dict[str, Any]) -> Change:
    return Change(Code(*stored["name"]), _value(stored["before"]), _value(stored["after"]), _code(stored["unit"]))
