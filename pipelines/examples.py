"""Example results of every pipeline that brings one, with simulated content, for trying in any viewer.

A pipeline brings an example by a function ``example(folder) -> Example`` of its class: it writes a simulated study into
the folder and returns the result that its own code builds from made-up answers. No network runs, and the text of the
model states that in every report and on every page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pydicom

from dicom_sr import codes, phantoms
from dicom_sr.assessment import Answer, Assessment
from dicom_sr.findings import NotRun, Result
from dicom_sr.profile import FOREIGN_KINDS, EncodedObject, EncodingProfile, MessageHeader
from dicom_sr.read.statements import document_in
from pipelines import registry
from pipelines.example import CREATED, Example, made_up_model, only_study

PROFILE = EncodingProfile(not_run_reports=True, kinds=(*EncodingProfile().kinds, "segmentation_labelmap"))
# what goes to reporting, not to an archive
REPORTING = EncodingProfile(
    not_run_reports=True,
    kinds=FOREIGN_KINDS,
    identifier_system="urn:condyle:simulated-patients",
    message=MessageHeader(sending_facility="SIMULATED"),
)
NOT_RUN = "not_run"
READER = "Simulated^Reader"


def makers(names: Iterable[str] | None = None) -> dict[str, Callable[[Path], Example]]:
    """What makes the examples, by name: of all installed pipelines, or of those named, and of one that did not run."""
    found: dict[str, Callable[[Path], Example]] = {}
    for name in registry.names() if names is None else names:
        maker = getattr(registry.pipeline_type(name), "example", None)
        if maker is not None:
            found[name] = maker
    return found | {NOT_RUN: not_run}


def write_examples(
    folder: Path,
    profile: EncodingProfile = PROFILE,
    reporting: EncodingProfile | None = None,
    *,
    assessed: bool = False,
) -> dict[str, tuple[EncodedObject, ...]]:
    """Write every example, source and objects, to `folder`/<name>/source and `folder`/<name>/result.

    Parameters
    ----------
    reporting
        Where given, what goes to reporting is written too, to `folder`/<name>/reporting.
    assessed
        Write what a reader says of each result, too, to `folder`/<name>/assessment.

    Returns
    -------
    dict
        The objects by the name of the example, which is that of its pipeline or `NOT_RUN`.
    """
    from dicom_sr.write.encode import encode  # a second or two to import

    written = {}
    for name, make in makers().items():
        example = make(folder / name / "source")
        written[name] = encode(example.result, profile, CREATED, folder / name / "result")
        if reporting is not None:
            written[name] += encode(example.result, reporting, CREATED, folder / name / "reporting")
        if assessed and isinstance(example.result, Result):
            written[name] += (_assessment(written[name], profile, folder / name / "assessment"),)
    return written


def _assessment(objects: Iterable[EncodedObject], profile: EncodingProfile, folder: Path) -> EncodedObject:
    """What a made-up reader says of a result: its first finding is accepted, its second one is not there."""
    from dicom_sr.write.assessment import Reader, encode_assessment

    report = next(one for one in objects if one.kind == "report" and one.twin_of is None)
    groups = [one for one in document_in(report.path.read_bytes(), ()).groups if one.tracking_uid]
    said = [Assessment(Answer.MODIFY, comment="SIMULATED: a made-up verdict of a made-up reader.")]
    for group, answer, reason in zip(groups, (Answer.ACCEPT, Answer.REJECT), (None, codes.NOT_THERE), strict=False):
        about = (group.tracking_uid, (), group.tracking_id, group.finding, group.site, reason)
        said.insert(len(said) - 1, Assessment(answer, *about))
    return encode_assessment(pydicom.dcmread(report.path), [report], said, Reader(READER, CREATED), profile, folder)


def not_run(folder: Path) -> Example:
    """What a radiologist sees where a pipeline was due and could not run."""
    from pipelines.knee_super_resolution import SERIES_BASE, KneeSuperResolution

    header = phantoms.study_header(phantoms.Person("SIM-0005"), "knee-short", "SIMULATED KNEE MR")
    study = only_study(phantoms.write_knee_mr(folder, header, (3, 64, 64), (4.0, 2.5, 2.5)))
    reason = "the series has 3 slices; at least 4 are needed"
    model = made_up_model(KneeSuperResolution.name, SERIES_BASE)
    return Example(study, NotRun(model, KneeSuperResolution.title, study.series, reason))
