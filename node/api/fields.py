"""The kinds of values that requests hold, no wider than what the node can take."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})$"
UID = r"^[0-9.]{1,64}$"
JOB_ID = r"^[0-9a-f]{4,32}$"
NAME = r"^[^\x00-\x1f\x7f/]{1,64}$"
LINE = r"^[^\x00-\x1f\x7f]*$"


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or re.fullmatch(MOMENT[1:-1], value, re.ASCII) is None:
        raise ValueError("should be a moment with its zone, as in 2026-05-31T08:30:00Z")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("should be a moment that there is") from None


def _yes_or_no(value: Any) -> Any:
    if value in ("true", "false"):
        return value == "true"
    if isinstance(value, bool):
        return value
    raise ValueError("should be true or false")


def _whole(value: Any) -> Any:
    """JSON does not tell 7.0 from 7."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-05-31T08:30:00Z"]}),
]
YesOrNo = Annotated[bool, BeforeValidator(_yes_or_no), WithJsonSchema({"type": "boolean"})]
Uid = Annotated[str, StringConstraints(pattern=UID)]
Name = Annotated[str, StringConstraints(pattern=NAME)]
Why = Annotated[str, StringConstraints(pattern=LINE, min_length=1, max_length=500)]

StudyUid = Annotated[str, Path(pattern=UID, description="Study Instance UID")]
JobId = Annotated[str, Path(pattern=JOB_ID, description="Of a job, or its first characters")]
NamePath = Annotated[str, Path(pattern=NAME)]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most")]
DryRun = Annotated[YesOrNo, Query(description="Only say what it would do")]


class Asked(BaseModel):
    """The body of a request: nothing in it that is not known, and nothing of another kind than it should be."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Reason(Asked):
    """Why something is done."""

    why: Why = Field(description="In words, for others who see it; without the patient's name")
