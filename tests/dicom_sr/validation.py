"""The gate: every object of every example result against every validator that applies, as a table.

``python -m tests.dicom_sr.validation`` writes the table to docs/validation.md. With ``--full`` PixelMed is also given
the report over both hands and feet, which takes it minutes (its XPath tests grow with the square of the groups).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import highdicom as hd
import pydicom
from pydicom.dataset import Dataset

from dicom_sr.findings import NotRun, Result
from dicom_sr.write.encode import EncodedObject, EncodingProfile, encode
from pipelines.example import CREATED, Example
from pipelines.examples import NOT_RUN, PROFILE, not_run
from pipelines.hand_foot_scoring.example import example as hand_foot_example
from pipelines.joint_classification import JointClassification
from pipelines.knee_oa_risk import KneeOaRisk
from pipelines.knee_super_resolution.example import example as knee_example
from tests.dicom_sr import assessed, every_kind, taken_back, validators

PAGE = Path(__file__).parents[2] / "docs" / "validation.md"
TOOLS = ("dciodvfy", "dcentvfy", "PixelMed", "dcmqi", "DCMTK", "highdicom")
WORKERS = 2

# PixelMed's DicomSRValidator is of 2022; what it calls an error and is none stands here with the reason.
# Nothing at present: the codes and templates were chosen so that it finds none.
KNOWN_FALSE: dict[str, str] = {}

ROOT_TEMPLATES = {
    "1.2.840.10008.5.1.4.1.1.88.33": "TID_1500",
    "1.2.840.10008.5.1.4.1.1.88.34": "TID_1500",
    "1.2.840.10008.5.1.4.1.1.88.59": "TID_2010",
}
ASSESSED = "hand_foot_scoring"  # the example that a reader speaks about, and that is taken back
_TREES = ("report", "key_objects", "assessment", "rejection_note")  # objects that are trees of content items
_BESIDE = {"assessment": ", assessment", "rejection_note": ", rejection note"}  # what is not of the result itself
_KINDS = {"1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage"}  # pydicom 3.0.2 has no name for it


@dataclass
class Row:
    """One kind of object of one example: how many there are, and what each tool found."""

    example: str
    kind: str
    count: int = 0
    problems: dict[str, list[str]] = field(default_factory=dict)  # by tool; absent where the tool does not apply


def small_examples(folder: Path) -> dict[str, Example]:
    """All examples with small pictures; the scores with one group of every kind that four limbs have."""
    makers: dict[str, Callable[[Path], Example]] = {
        "knee_super_resolution": lambda source: knee_example(source, (6, 64, 64)),
        "hand_foot_scoring": lambda source: one_group_of_a_kind(
            hand_foot_example(source, 300, (("hand", "R"), ("foot", "L")))
        ),
        "joint_classification": JointClassification.example,
        "knee_oa_risk": KneeOaRisk.example,
        NOT_RUN: not_run,
        every_kind.NAME: lambda source: every_kind.every_kind(source, (6, 64, 64)),
    }
    return {name: make(folder / name / "source") for name, make in makers.items()}


def one_group_of_a_kind(example: Example) -> Example:
    """The example with the last finding of each finding, names of measurements and names of evaluations.

    Of what hand and foot have alike that is the foot's; the hand has kinds of its own.
    """
    if isinstance(example.result, NotRun):
        return example
    kinds = {
        (f.finding, *(m.name for m in f.measurements), *(e.name for e in f.evaluations)): f
        for f in example.result.findings
    }
    findings = tuple(f for f in example.result.findings if any(f is kept for kept in kinds.values()))
    return replace(example, result=replace(example.result, findings=findings))


def validate(
    folder: Path,
    examples: Mapping[str, Example],
    everything: bool = True,
    profile: EncodingProfile = PROFILE,
) -> list[Row]:
    """Encode the examples into `folder` and run every tool that applies over every object.

    Without `everything`, PixelMed, which takes seconds a file, is given one object of each kind with a tree of its
    own: a Comprehensive SR holds the tree of the Comprehensive 3D SR beside it, and key objects are all alike.
    """
    by_pixelmed: list[tuple[Row, EncodedObject]] = []
    rows: dict[tuple[str, str], Row] = {}
    checks: list[tuple[Row, str, Callable[[], list[str]]]] = []
    for title, example in examples.items():
        objects = encode(example.result, profile, CREATED, folder / title / "result")
        if title == ASSESSED and isinstance(example.result, Result):
            said = assessed.assessment_of(example.result.findings, objects, PROFILE, folder / title / "said")
            objects = (*objects, said, taken_back.note_of(objects, folder / title / "said"))
        files = validators.all_files([folder / title])
        of_example: list[Row] = []
        for one in objects:
            name = _KINDS.get(one.sop_class_uid, pydicom.uid.UID(one.sop_class_uid).name)
            name += _BESIDE.get(one.kind, "")
            row = rows.setdefault((title, name), Row(title, name))
            row.count += 1
            of_example.append(row)
            checks += [(row, tool, check) for tool, check in _checks(example, one, row.count == 1)]
            alike = one.twin_of is not None or one.kind == "key_objects"
            known = alike and (one.kind, one.sop_class_uid) in {(it.kind, it.sop_class_uid) for _, it in by_pixelmed}
            if one.kind in _TREES and (everything or not known):
                by_pixelmed.append((row, one))
        # one run over the whole study, its sources too, told of each of its rows
        study = _once(lambda files=files: _study(files))  # type: ignore[misc]
        checks += [(row, "dcentvfy", study) for row in {id(r): r for r in of_example}.values()]
    with ThreadPoolExecutor(WORKERS) as pool:
        templates = pool.submit(_templates, [one for _, one in by_pixelmed])
        for (row, tool, _), found in zip(checks, pool.map(lambda c: c[2](), checks), strict=True):
            row.problems.setdefault(tool, []).extend(found)
        for (row, _), found in zip(by_pixelmed, templates.result(), strict=True):
            row.problems.setdefault("PixelMed", []).extend(found)
    return list(rows.values())


def _once(function: Callable[[], list[str]]) -> Callable[[], list[str]]:
    found: list[list[str]] = []

    def run() -> list[str]:
        if not found:
            found.append(function())
        return found[0]

    return run


def _study(files: list[Path]) -> list[str]:
    errors, warnings = validators.dcentvfy(files)
    return [*errors, *(w for w in warnings if "present in one instance but not the other" in w)]


def _checks(example: Example, one: EncodedObject, first: bool) -> list[tuple[str, Callable[[], list[str]]]]:
    """The tools that apply to one object."""
    path, sop_class = one.path, one.sop_class_uid
    checks: list[tuple[str, Callable[[], list[str]]]] = [
        ("dciodvfy", lambda: _iod(path)),
        ("highdicom", lambda: _read_back(path)),
    ]
    if one.kind in _TREES:
        checks.append(("DCMTK", lambda: validators.exits_with_zero("dsrdump", path)))
    if one.kind in ("report", "assessment") and sop_class in ROOT_TEMPLATES:
        checks.append(
            ("dcmqi", lambda: _dcmqi("tid1500reader", "--inputDICOM", path, "--outputMetadata", "values.json"))
        )
    has_geometry = "FrameOfReferenceUID" in pydicom.dcmread(path, specific_tags=["FrameOfReferenceUID"])
    if one.kind.startswith("segmentation") and has_geometry:
        checks.append(("dcmqi", lambda: _dcmqi("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", ".")))
    if one.kind == "parametric_map":
        checks.append(("dcmqi", lambda: _dcmqi("paramap2itkimage", "--inputDICOM", path, "--outputDirectory", ".")))
    if one.kind == "presentation_state" and path.name.startswith("presentation-grey"):
        checks.append(("DCMTK", lambda: _rendered(path, example)))
    if one.kind in ("secondary_capture", "derived_series") and first:
        checks.append(("DCMTK", lambda: validators.exits_with_zero("dcmdump", "-q", path)))
    return checks


def _iod(path: Path) -> list[str]:
    errors, warnings = validators.dciodvfy(path)
    return [*errors, *warnings]


def _templates(objects: list[EncodedObject]) -> list[list[str]]:
    told = validators.pixelmed([one.path for one in objects])
    return [_template(*told[one.path], one.sop_class_uid) for one in objects]


def _template(errors: list[str], text: str, sop_class: str) -> list[str]:
    found = [line for line in errors if not any(known in line for known in KNOWN_FALSE)]
    template = ROOT_TEMPLATES.get(sop_class)
    if template and f"Found Root Template {template}" not in text:
        found.append(f"root template {template} not found")
    return found


def _dcmqi(name: str, *arguments: str | Path) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        placed = [
            str(Path(folder) / a) if a in (".", "values.json") else str(a)  # outputs go to a folder of their own
            for a in arguments
        ]
        found = validators.exits_with_zero(validators.program(name), *placed)
        return found if found or any(Path(folder).iterdir()) else [f"{name} wrote nothing"]


def _rendered(path: Path, example: Example) -> list[str]:
    """Whether DCMTK renders the image through the presentation state."""
    reference = pydicom.dcmread(path).ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID
    image = next(i.path for i in example.study.instances if i.sop_instance_uid == reference)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "out.pgm"
        found = validators.exits_with_zero("dcmp2pgm", "-p", path, image, picture)
        pixels = pydicom.dcmread(image, stop_before_pixels=True)
        whole = picture.stat().st_size > int(pixels.Rows) * int(pixels.Columns)  # a byte each, below a short header
        return found if found or whole else ["dcmp2pgm wrote an empty picture"]


def _read_back(path: Path) -> list[str]:
    """Whether highdicom reads the object; its readers check more than they return."""
    ds = pydicom.dcmread(path)
    try:
        _reader(ds)(path)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        return [f"{type(error).__name__}: {error}"]
    return []


def _reader(ds: Dataset) -> Callable[[Path], object]:
    match str(ds.Modality):
        case "SR":
            return hd.sr.srread
        case "KO":
            return lambda path: hd.ko.KeyObjectSelectionDocument.from_dataset(pydicom.dcmread(path))
        case "SEG":
            return hd.seg.segread
        case "PR" | "DOC":
            return lambda path: pydicom.dcmread(path).to_json()  # highdicom has no reader for these
        case "OT" if "FloatPixelData" in ds:
            return lambda path: hd.imread(path).get_volume()
        case _:
            return lambda path: hd.imread(path).get_frame(1)


def as_markdown(rows: list[Row]) -> str:
    """The table as the page docs/validation.md."""
    lines = [
        "# Validation",
        "",
        "Every validator that applies was run on every object of every example result. The table shows the number of",
        "errors; for dciodvfy and dcentvfy it includes unexpected warnings. A dash means that a tool does not apply.",
        "This page is written by `python -m tests.dicom_sr.validation`; a test keeps it up to date.",
        "",
        "| pipeline | object | count | " + " | ".join(TOOLS) + " |",
        "| --- | --- | --- | " + " | ".join("---" for _ in TOOLS) + " |",
    ]
    lines += [f"| {row.example} | {row.kind} | {row.count} | {' | '.join(cells(row))} |" for row in rows]
    lines += [
        "",
        "- `every_kind` is not a pipeline: it is a result of the tests, with segments on derived slices.",
        "- dciodvfy checks IOD, modules and value representations. Expected warnings: the private coding scheme, an",
        "  empty StudyID, an empty Laterality if the source names no side.",
        "- dcentvfy checks that all files of a study, sources included, agree on patient, study and series, and that",
        "  every reference resolves. It runs once over each whole study.",
        "- PixelMed's DicomSRValidator checks the templates of structured reports, including the root template. The",
        "  Enhanced SR has its own title and no root template. The reports of hand_foot_scoring that are checked here",
        "  hold one group of every kind, but not all 61 groups, which would take minutes (`--full`).",
        "- dcmqi: `tid1500reader`, `segimage2itkimage` and `paramap2itkimage`, which stand for what 3D Slicer can",
        "  open. They need geometry and so do not apply to segmentations of radiographs or ultrasound images.",
        "- DCMTK: `dsrdump`, `dcmp2pgm` with the presentation state, `dcmdump`.",
        "- highdicom reads back what was written. It has no reader for presentation states and documents; pydicom",
        "  reads those.",
        "",
    ]
    return "\n".join(lines)


def cells(row: Row) -> list[str]:
    """What the table says of a row, tool by tool."""
    return [str(len(row.problems[tool])) if tool in row.problems else "–" for tool in TOOLS]


def main(arguments: list[str]) -> int:
    """Write the page; with --full say also what PixelMed thinks of the report over four limbs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = validate(folder, small_examples(folder))
        PAGE.write_text(as_markdown(rows), encoding="utf-8")
        problems = [
            f"{r.example} {r.kind} {tool}: {p}" for r in rows for tool, found in r.problems.items() for p in found
        ]
        if "--full" in arguments:
            example = hand_foot_example(folder / "four-limbs" / "source", 300)
            for one in encode(example.result, EncodingProfile(kinds=("report",)), CREATED, folder / "four-limbs"):
                found, _ = validators.pixelmed([one.path], timeout_s=3600)[one.path]
                sys.stdout.write(f"{one.path.name} over four limbs: PixelMed {len(found)} errors\n")
                problems += found
    sys.stdout.write("\n".join([*problems, f"{PAGE}: {len(problems)} problems\n"]))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
