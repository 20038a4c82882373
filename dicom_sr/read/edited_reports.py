"""An edited copy of a report of ours: what its editor accepted, changed and left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.assessment import Answer, Assessment, AssessmentDocument, Change
from dicom_sr.read.assessments import same
from dicom_sr.read.statements import Document, Group

_BESIDE = ("-SD", "-LO", "-HI")  # ends of the codes of a number's uncertainty; see `codes.spread_of`
_UNNAMED = (codes.VALUE_SD, codes.VALUE_LOW, codes.VALUE_HIGH)  # of a number that has no such code


class NotAnEdit(ValueError):
    """The report is no edited copy in which somebody takes a stand; says why, and names nobody."""


def edits(ours: Document, theirs: Document, *, succeeds: bool) -> AssessmentDocument:
    """What the editor of a copy says about each finding.

    A finding whose values are the same is accepted, one with others is modified, and one that a successor of our report
    no longer has is rejected: a successor stands for the whole of its predecessor (PS3.3 C.17.2). A copy in which
    nothing is changed says something only where it names the person who stands for it.

    Parameters
    ----------
    ours
        The report that the node wrote.
    theirs
        The copy.
    succeeds
        Whether the copy names ours, or its twin, as its predecessor.

    Raises
    ------
    NotAnEdit
        If it says nothing.
    """
    if not succeeds and not theirs.person:
        raise NotAnEdit("it names neither our report as its predecessor nor a person")
    before = ours.findings
    after = {uid: group for uid, group in theirs.findings.items() if uid in before}
    if not after:  # some viewers give every group a new one: then nothing was left out by anybody
        raise NotAnEdit("it has none of the tracking UIDs of our report, by which findings are known")
    said: list[Assessment] = []
    not_understood: list[str] = []
    for uid, group in before.items():
        if uid not in after:
            if succeeds:
                said.append(_said(group, ours, Answer.REJECT, reason=codes.LEFT_OUT))
            continue
        try:
            changes = tuple(_changes(group, after[uid]))
        except NotAnEdit as error:
            not_understood.append(f"{group.tracking_id}: {error}")
            continue
        answer = Answer.MODIFY if changes else Answer.ACCEPT
        said.append(_said(group, ours, answer, changes, comment=_comment(after[uid])))
    if not theirs.person and all(one.answer is Answer.ACCEPT for one in said):
        raise NotAnEdit("nothing in it is changed, and it names no person")
    return AssessmentDocument(
        theirs.sop_instance_uid,
        theirs.study_instance_uid,
        tuple(said),
        theirs.person,
        theirs.device,
        theirs.observed,
        tuple(not_understood),
    )


def _said(
    group: Group,
    ours: Document,
    answer: Answer,
    changes: tuple[Change, ...] = (),
    *,
    reason: Code | None = None,
    comment: str = "",
) -> Assessment:
    return Assessment(
        answer,
        group.tracking_uid,
        (ours.sop_instance_uid,),
        group.tracking_id,
        group.finding,
        group.site,
        reason,
        comment,
        changes,
    )


def _comment(group: Group) -> str:
    return "\n".join(text for name, text in group.texts if name == standard.DCM.Comment)


def _changes(ours: Group, theirs: Group) -> Iterator[Change]:
    """The values that differ.

    Raises
    ------
    NotAnEdit
        If a number has another unit: what it was cannot be told then.
    """
    for name, before, after in (
        (standard.DCM.Finding, ours.finding, theirs.finding),
        (standard.SCT.FindingSite, ours.site, theirs.site),
    ):
        if not same(before, after):
            yield Change(name, before, after)
    yield from _changed_numbers(ours, theirs)
    stated, stated_now = _coded(ours), _coded(theirs)
    for name in dict.fromkeys((*stated, *stated_now)):
        old, new = stated.get(name, {}), stated_now.get(name, {})
        if old.keys() != new.keys():
            yield Change(name, next(iter(old), None), next(iter(new), None))


def _changed_numbers(ours: Group, theirs: Group) -> Iterator[Change]:
    """Numbers that differ or are gone. What is only said of a number's uncertainty, an editor may drop."""
    names = {number.name for number in ours.numbers}
    before, after = _by_name(ours), _by_name(theirs)
    for name in dict.fromkeys((*before, *after)):
        if _is_uncertainty(name, names):
            continue
        (old, old_unit), (new, new_unit) = before.get(name, (None, None)), after.get(name, (None, None))
        if old is not None and new is not None and not same(old_unit, new_unit):
            raise NotAnEdit(f"{name.scheme_designator}:{name.value} has another unit")
        if not same(old, new):
            yield Change(name, old, new, new_unit or old_unit)


def _coded(group: Group) -> dict[Code, dict[Code, None]]:
    """The values of each name, in order."""
    found: dict[Code, dict[Code, None]] = {}
    for name, value in group.codes:
        found.setdefault(name, {})[value] = None
    return found


def _by_name(group: Group) -> Mapping[Code, tuple[float | None, Code | None]]:
    """The first number of each name: what follows under the same name is said of it."""
    return {number.name: (number.value, number.unit) for number in reversed(group.numbers)}


def _is_uncertainty(name: Code, names: set[Code]) -> bool:
    value = str(name.value)
    return name in _UNNAMED or any(
        value.endswith(end) and Code(value.removesuffix(end), name.scheme_designator, "") in names for end in _BESIDE
    )
