"""What a reader says about results in a structured report: accepted, modified, rejected, with reasons and values.

Neither the Standard's codes (PS3.16, edition 2026b) nor its templates have an answer of this kind, so that those who
write one bring codes of their own. Those of `dicom_sr.codes` are known, and others that a `Vocabulary` names; an answer
that is not known is never guessed from its words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.assessment import Answer, Assessment, AssessmentDocument, Change
from dicom_sr.read.statements import Document, Group

_ANSWERS = (
    (codes.ACCEPTED, Answer.ACCEPT),
    (codes.MODIFIED, Answer.MODIFY),
    (codes.REJECTED, Answer.REJECT),
)


@dataclass(frozen=True)
class Vocabulary:
    """The codes by which a verdict is known."""

    concepts: tuple[Code, ...] = (codes.VERDICT,)  # names of the item that has the answer
    reasons: tuple[Code, ...] = (codes.VERDICT_REASON,)  # names of the item that has the reason
    answers: tuple[tuple[Code, Answer], ...] = _ANSWERS

    def more(
        self, concepts: tuple[Code, ...], reasons: tuple[Code, ...], answers: tuple[tuple[Code, Answer], ...]
    ) -> Vocabulary:
        """The same, and codes of others."""
        return Vocabulary((*self.concepts, *concepts), (*self.reasons, *reasons), (*self.answers, *answers))


def assessments_in(document: Document, vocabulary: Vocabulary) -> AssessmentDocument:
    """The verdicts in a report that states some; of others there are none.

    The values of a modified finding are those of its group, and what they were before is not known here.
    """
    said: list[Assessment] = []
    not_understood: list[str] = []
    for number, group in enumerate(document.groups, 1):
        answers = [value for name, value in group.codes if name in vocabulary.concepts]
        if not answers:
            continue
        where = f"group {number}"
        if len(set(answers)) > 1:
            not_understood.append(f"{where} has several answers")
        elif (answer := dict(vocabulary.answers).get(answers[0])) is None:
            not_understood.append(f"{where}: {_named(answers[0])} is no answer that is known")
        elif not group.tracking_uid and not (group.objects or document.objects):
            not_understood.append(f"{where} names neither a finding nor an object")
        else:
            said.append(_assessment(group, answer, document, vocabulary))
    return AssessmentDocument(
        document.sop_instance_uid,
        document.study_instance_uid,
        tuple(said),
        document.person,
        document.device,
        document.observed,
        tuple(not_understood),
    )


def _assessment(group: Group, answer: Answer, document: Document, vocabulary: Vocabulary) -> Assessment:
    reasons = [value for name, value in group.codes if name in vocabulary.reasons]
    comments = [text for name, text in group.texts if name == standard.DCM.Comment or name in vocabulary.reasons]
    return Assessment(
        answer,
        group.tracking_uid,
        group.objects or document.objects,
        group.tracking_id,
        group.finding,
        group.site,
        reasons[0] if reasons else None,
        "\n".join(comments),
        tuple(_values(group, vocabulary)) if answer is Answer.MODIFY else (),
    )


def _values(group: Group, vocabulary: Vocabulary) -> Iterator[Change]:
    """The values that a reader gives, each as one that was not there before."""
    for number in group.numbers:
        yield Change(number.name, None, number.value, number.unit)
    for name, value in group.codes:
        if name not in {*vocabulary.concepts, *vocabulary.reasons, standard.SCT.Laterality}:
            yield Change(name, None, value)


def with_values_before(said: Assessment, ours: Group) -> Assessment:
    """A verdict with what the result's own report says about the finding; values that are the same are no change."""
    before: dict[Code, float | Code] = {number.name: number.value for number in reversed(ours.numbers)}
    units = {number.name: number.unit for number in reversed(ours.numbers)}
    before |= dict(reversed(ours.codes))
    changes = []
    for change in said.changes:
        known = before.get(change.name)
        comparable = same(units.get(change.name), change.unit)
        if known is None or not comparable:
            changes.append(change)
        elif not same(known, change.after):
            changes.append(replace(change, before=known))
    return replace(
        said,
        tracking_id=ours.tracking_id or said.tracking_id,
        finding=ours.finding or said.finding,
        site=ours.site or said.site,
        changes=tuple(changes),
    )


def same(one: float | Code | None, other: float | Code | None) -> bool:
    """Whether two values are one: numbers to what a decimal string of 16 characters holds.

    Codes are compared with codes only: pydicom's comparison fails with anything else.
    """
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other) <= 1e-9 + 1e-6 * max(abs(one), abs(other))
    if isinstance(one, Code) and isinstance(other, Code):
        return bool(one == other)
    return one is other


def _named(code: Code) -> str:
    return f"({code.value}, {code.scheme_designator})"
