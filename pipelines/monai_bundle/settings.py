"""What the configuration says of a bundle: the `bundles:` block of config.yaml, one entry for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from dicom_sr.read.conditions import WrongCondition
from pipelines.monai_bundle.conditions import conditions

PREFIX = "bundle:"  # of a route's pipeline
LONGEST_NAME = 64  # characters of a segment's label and of the meaning of a code (PS3.5, LO)


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """A relative path means the same wherever the node is started from."""
    folder = (info.context or {}).get("folder")
    return folder / path.expanduser() if folder else path


def _code(value: object) -> object:
    fit = isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(one, str | int) for one in value)
    if not fit or not isinstance(value, list | tuple):
        raise ValueError('should be a list of scheme, code and meaning, such as [SCT, "78961009", Spleen]')
    scheme, code, meaning = (str(one).strip() for one in value)
    if scheme.startswith("99"):
        raise ValueError(f"{scheme} is a private scheme; leave the code out, and one is made from the name")
    for what, text, longest in (("scheme", scheme, 16), ("code", code, 16), ("meaning", meaning, 64)):
        if not 0 < len(text) <= longest:
            raise ValueError(f"the {what} {text!r} has {len(text)} characters; should have 1 to {longest}")
    return scheme, code, meaning


def _digest(text: str) -> str:
    if re.fullmatch("[0-9a-f]{64}", text) is None:
        raise ValueError("should be the digest that `condyle bundle add` or `condyle bundle check` prints, in quotes")
    return text


def _some(named: dict[str, Any]) -> dict[str, Any]:
    if not named:
        raise ValueError("is empty; should have at least one entry")
    return {_line(name): one for name, one in named.items()}


def _several(named: dict[str, Any]) -> dict[str, Any]:
    if len(named) < 2:
        raise ValueError("should have at least two entries")
    return _some(named)


def _line(text: str) -> str:
    if not (0 < len(text) <= LONGEST_NAME and text.isprintable() and text.strip()):
        raise ValueError(f"{text!r}: a name should have 1 to {LONGEST_NAME} characters, on one line")
    return text


def _held(clauses: object) -> object:
    if not isinstance(clauses, Mapping):
        raise ValueError("should hold conditions such as Modality: CT")
    try:
        conditions(clauses)
    except WrongCondition as error:
        raise ValueError(str(error)) from error
    return _without_dates(clauses)


def _without_dates(value: Any) -> Any:
    """YAML makes dates of texts such as 2026-11-22; the settings of a route are plain values."""
    if isinstance(value, Mapping):
        return {str(key): _without_dates(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_dates(one) for one in value]
    return value.strftime("%Y%m%d") if isinstance(value, date) else value


ExistingPath = Annotated[Path, AfterValidator(_beside_the_file)]
CodeTriple = Annotated[tuple[str, str, str], BeforeValidator(_code)]
Conditions = Annotated[dict[str, Any], BeforeValidator(_held)]


class Part(BaseModel):
    """Base of what stands below a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Named(Part):
    """One thing that a bundle finds: a segment, a class, a kind of box, a point."""

    type: CodeTriple | None = None  # what it is; None: a private code with its name as meaning
    side: Literal["R", "L", "B", "U"] = "U"  # right, left, both; U: it has none
    value: int | None = Field(
        default=None, ge=0
    )  # label, class or channel; None: as metadata.json names it, or by order


class SegmentNamed(Named):
    """One segment of a segmentation."""

    category: CodeTriple = ("SCT", "123037004", "Anatomical Structure")


class Segmentation(Part):
    """A label for each voxel or pixel: DICOM SEG, and the volumes in the report."""

    kind: Literal["segmentation"]
    segments: Annotated[dict[str, SegmentNamed], AfterValidator(_some)]


class Classes(Part):
    """A probability for each class: measurements in the report."""

    kind: Literal["classes"]
    classes: Annotated[dict[str, Named], AfterValidator(_several)]


class Number(Part):
    """One number: a measurement in the report."""

    kind: Literal["number"]
    name: Annotated[str, AfterValidator(_line)]
    type: CodeTriple | None = None  # the measurement; None: a private code with its name as meaning
    unit: str = Field(default="1", min_length=1, max_length=16)  # UCUM
    unit_meaning: str = Field(default="", max_length=64)  # in words; empty: as the unit


class Boxes(Part):
    """Boxes with scores: outlines and measurements in the report."""

    kind: Literal["boxes"]
    findings: Annotated[dict[str, Named], AfterValidator(_some)]
    min_score: float = Field(default=0.5, ge=0, le=1)  # boxes with less are left out


class Points(Part):
    """Points, as places or as the peaks of heat maps: marks in the report."""

    kind: Literal["points"]
    points: Annotated[dict[str, Named], AfterValidator(_some)]


Output = Annotated[Segmentation | Classes | Number | Boxes | Points, Field(discriminator="kind")]


class BundleEntry(Part):
    """One entry of `bundles:`; light to import, for every process that reads the configuration."""

    path: ExistingPath  # the folder of the bundle
    sha256: Annotated[str, AfterValidator(_digest)]  # over configs, weights and scripts
    trust: Literal["declarative", "code"] = "declarative"
    python: ExistingPath | None = None  # interpreter of the bundle's own, for trust: code
    device: str = "auto"  # auto: a GPU where there is one; cpu; cuda:N
    autocast: bool = False  # half precision on a GPU, as MONAI's `amp` has it; on the CPU it changes nothing
    title: str = Field(default="", max_length=40)  # for people; empty: as metadata.json names it
    inputs: Annotated[dict[str, Conditions], AfterValidator(_some)]
    reference: str | None = None  # input whose grid the others are brought to; None: the first
    output: Output
    series_base: int | None = Field(default=None, ge=10_000, le=1_000_000)  # thousands of its SeriesNumbers

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.reference is not None and self.reference not in self.inputs:
            raise ValueError(f"reference: should be one of the inputs: {', '.join(self.inputs)}")
        values = [one.value for _, one in self.named() if one.value is not None]
        if len(set(values)) < len(values):
            raise ValueError("output: two entries have the same value")
        return self

    @property
    def reference_input(self) -> str:
        """The input that results lie on."""
        return self.reference or next(iter(self.inputs))

    def named(self) -> Iterator[tuple[str, Named]]:
        """What the output names, in order."""
        match self.output:
            case Segmentation(segments=found) | Classes(classes=found) | Boxes(findings=found) | Points(points=found):
                yield from found.items()
