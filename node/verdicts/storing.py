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
        finding=_plain(said.finding),
        site=_plain(said.site),
        answer=said.answer,
        reason=_plain(said.reason),
        comment=said.comment,
        changes=[
            {
                "name": _plain(one.name),
                "before": _plain_value(one.before),
                "after": _plain_value(one.after),
                "unit": _plain(one.unit),
            }
            for one in said.changes
        ],
        observer=said.observer,
        device=said.device,
        sender=said.sender,
        observed=said.observed,
        received=said.received,
        superseded=False,
    )


def _plain(code: Code | None) -> list[str] | None:
    return None if code is None else [str(code.value), str(code.scheme_designator), str(code.meaning)]


def _plain_value(value: float | Code | None) -> float | list[str] | None:
    return value if isinstance(value, float | int) else _plain(value)


def _code(plain: list[str] | None) -> Code | None:
    return None if plain is None else Code(*plain)


def _value(plain: float | list[str] | None) -> float | Code | None:
    return _code(plain) if isinstance(plain, list) else plain


def _change(plain: dict[str, Any]) -> Change:
    return Change(Code(*plain["name"]), _value(plain["before"]), _value(plain["after"]), _code(plain["unit"]))
