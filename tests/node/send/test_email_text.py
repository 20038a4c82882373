"""A notification as an e-mail: what stands in it where there is no result, and where there are many findings."""

from __future__ import annotations

from typing import Any

from node.config import EmailDestination
from node.send.email_text import FINDINGS_TOLD, email
from tests.node.send.telling import TOLD

TO = EmailDestination(kind="email", host="h", sender="a@example.org", recipients=("b@example.org",))
DATE = "Fri, 02 Jan 2026 03:04:05 +0000"


def text_of(**more: Any) -> tuple[str, str]:
    message = email({**TOLD, **more}, "2.25.1", TO, DATE)
    return str(message["Subject"]), str(message.get_content())


def test_a_pipeline_that_did_not_run_is_told_with_the_reason() -> None:
    told = {key: value for key, value in TOLD.items() if key not in ("findings", "not_evaluable")}
    message = email({**told, "state": "not run", "sentences": ["The series has 3 slices."]}, "2.25.1", TO, DATE)
    assert message["Subject"] == "Sharp/van der Heijde scores: no result"
    assert message.get_content().startswith("Sharp/van der Heijde scores has no result.\n\nThe series has 3 slices.\n")


def test_many_findings_are_counted_after_the_first() -> None:
    _, text = text_of(findings=TOLD["findings"] * (FINDINGS_TOLD + 3), findings_left_out=5)
    assert text.count("- Sum") == FINDINGS_TOLD
    assert "- and 8 more\n" in text


def test_a_title_cannot_add_a_header() -> None:
    subject, _ = text_of(pipeline={**TOLD["pipeline"], "title": "X\r\nBcc: c@example.org" + "y" * 200})
    assert subject.startswith(r"X\r\nBcc: c@example.org")
    assert len(subject) == 120
