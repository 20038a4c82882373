from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from dicom_sr.profile import EncodedObject, EncodingProfile
from dicom_sr.versions import Earlier, SeriesPlace
from node.run import messages
from node.run.messages import (
    Answer,
    Check,
    Checked,
    Encode,
    Encoded,
    Failed,
    Infer,
    Inferred,
    Load,
    Ready,
    Request,
    Tried,
    Try,
    Unsuitable,
)

REPORT = EncodedObject("1.2.840.2", "1.4", "1.5", "1.2.3", Path("/data/2.dcm"), "report", 4, "bb", 20, "1.9")
SETTINGS: dict[str, object] = {"limit": 0.5, "names": ["a", "b"], "model": None}


@pytest.mark.parametrize(
    "request_",
    [
        Load((("trial", SETTINGS),)),
        Check(Path("/jobs/a"), "trial", SETTINGS),
        Infer(Path("/jobs/a"), "trial", SETTINGS),
        Try(Path("/jobs/a"), "trial", SETTINGS),
        Encode(
            Path("/jobs/a"),
            "trial",
            SETTINGS,
            result=None,
            not_run="too few slices",
            earlier={"ab": Earlier(1, (REPORT,), {"report": SeriesPlace("1.5", {"SeriesNumber": "7"})})},
            profiles={"ab": EncodingProfile(kinds=("report",), institution="St. Elsewhere")},
            created=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
            revision="r",
            key="k",
        ),
    ],
)
def test_a_request_arrives_as_it_was_sent(request_: Request) -> None:
    assert messages.request(messages.pack(request_)) == request_


@pytest.mark.parametrize(
    "answer",
    [
        Ready(),
        Checked("1.0"),
        Inferred("ab", "1.0", 0.25, "cd"),
        Tried("cd", "nothing", 3),
        Encoded(7),
        Unsuitable("no knee"),
        Failed("ValueError"),
    ],
)
def test_an_answer_arrives_as_it_was_sent(answer: Answer) -> None:
    assert messages.answer(messages.pack(answer)) == answer


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(ValidationError):
        messages.request(b'{"do": "delete"}')
