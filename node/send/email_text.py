"""A notification as an e-mail: short, plain text, in the words of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from typing import Any

from dicom_sr.words import escaped, unit_in_words
from node.config import EmailDestination
from node.network.smtp_client import plain_mail

FINDINGS_TOLD = 12  # more stand on the page and in the report
NAMES = {
    "accession_number": "Accession number",
    "study_instance_uid": "Study",
    "patient_id": "Patient ID",
    "patient_name": "Patient",
}


def email(told: Mapping[str, Any], uid: str, destination: EmailDestination, date: str) -> EmailMessage:
    """The message.

    Parameters
    ----------
    told
        As `dicom_sr.write.notification` wrote it.
    uid
        Of the notification: the message has the same id however often it is sent.
    destination
        From whom, and to whom.
    date
        As RFC 5322 has it.
    """
    title = escaped(str(told["pipeline"]["title"]))
    how = "result" if told["state"] == "done" else "no result"
    return plain_mail(destination, f"{title}: {how}", list(_lines(told)), uid, date)


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    pipeline = told["pipeline"]
    done = told["state"] == "done"
    yield f"{escaped(str(pipeline['title']))} has {'a result' if done else 'no result'}."
    yield ""
    for sentence in told["sentences"]:
        yield escaped(str(sentence))
    findings = told.get("findings", ())
    if findings:
        yield ""
        for finding in findings[:FINDINGS_TOLD]:
            yield f"- {_finding(finding)}"
        more = len(findings) - FINDINGS_TOLD + told.get("findings_left_out", 0)
        if more > 0:
            yield f"- and {more} more"
    if unjudged := told.get("not_evaluable"):
        yield f"- not evaluable: {len(unjudged)}"
    yield ""
    for detail, value in told.get("patient", {}).items():
        yield f"{NAMES[detail]}: {escaped(str(value))}"
    yield f"Job: {told['job']} ({escaped(str(pipeline['name']))} {escaped(str(pipeline['version']))})"
    if "link" in told:
        yield f"Page: {told['link']}"
    yield ""
    yield str(told["research_use"])


def _finding(finding: Mapping[str, Any]) -> str:
    parts = [str(finding["finding"]["meaning"])]
    if "site" in finding:
        parts.append(" ".join(filter(None, (str(finding["site"]["meaning"]), str(finding["laterality"])))))
    numbers = [
        f"{one['name']['meaning']} {one['value']:.4g}{_unit(str(one['unit']))}" for one in finding["measurements"]
    ]
    stated = [f"{one['name']['meaning']}: {one['value']['meaning']}" for one in finding["evaluations"]]
    return escaped(", ".join([*parts, *numbers, *stated]))


def _unit(ucum: str) -> str:
    text = unit_in_words(ucum)
    return f" {text}" if text else ""
