"""What the page asks a reader about a result: each finding of its report, with the values that can be changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.read.statements import Document, Group
from dicom_sr.words import unit_in_words
from node.run.result_summary import code_text

# why a reader may modify or reject, as the page offers it
REASONS = (
    codes.NOT_THERE,
    codes.MISSED,
    codes.WRONG_VALUE,
    codes.WRONG_PLACE,
    codes.WRONG_OUTLINE,
    codes.POOR_IMAGES,
    codes.NOT_RELEVANT,
)


@dataclass(frozen=True)
class NumberAsked:
    """A number that a reader may change."""

    name: Code
    unit: Code
    value: float

    @property
    def shown(self) -> str:
        """The value as the page shows it."""
        return f"{self.value:.6g}"

    @property
    def highest(self) -> float | None:
        """The end of the scale, where it is a score from 0 on."""
        return codes.highest_score(str(self.unit.value))

    @property
    def unit_shown(self) -> str:
        """The unit for people: what follows the number."""
        return f"of {self.highest:g}" if self.highest is not None else unit_in_words(str(self.unit.value))


@dataclass(frozen=True)
class CodeAsked:
    """A coded value that a reader may change."""

    name: Code
    value: Code
    choices: tuple[Code, ...]


@dataclass(frozen=True)
class FindingAsked:
    """One finding of the result."""

    tracking_uid: str
    tracking_id: str
    finding: Code | None
    site: Code | None
    numbers: tuple[NumberAsked, ...]
    codes: tuple[CodeAsked, ...]
    told: str = ""  # what else is said of it, for people


@dataclass(frozen=True)
class Questions:
    """All that can be asked about a result."""

    report_uid: str  # SOP Instance UID of the report that states it
    findings: tuple[FindingAsked, ...]


def questions(report: Document, summary: Mapping[str, Any]) -> Questions:
    """What can be asked about the result that a report states.

    Parameters
    ----------
    report
        The node's own.
    summary
        Of the same result. It tells values from what stands beside them in the report, such as their uncertainty.
    """
    stated = summary.get("findings", {})
    asked = (_finding(group, stated.get(group.tracking_id, {})) for group in report.findings.values())
    return Questions(report.sop_instance_uid, tuple(asked))


def _finding(group: Group, stated: Mapping[str, Any]) -> FindingAsked:
    measured, judged = stated.get("measurements", {}), stated.get("evaluations", {})
    numbers = {
        one.name: NumberAsked(one.name, one.unit, one.value) for one in group.numbers if code_text(one.name) in measured
    }
    coded = [(name, value) for name, value in group.codes if code_text(name) in judged]
    asked = tuple(CodeAsked(name, value, found) for name, value in coded if (found := codes.alternatives(value)))
    told = "; ".join(_told(group, {one.name for one in asked}))
    return FindingAsked(
        group.tracking_uid, group.tracking_id, group.finding, group.site, tuple(numbers.values()), asked, told
    )


def _told(group: Group, asked: Collection[Code]) -> Iterator[str]:
    for name, value in group.codes:
        if name not in asked and name.scheme_designator == codes.CONDYLE.designator:
            yield f"{name.meaning}: {value.meaning}"
