"""A result in, DICOM objects out: the one way from findings to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_sr.current_patient import CurrentPatient
from dicom_sr.errors import EncodingError
from dicom_sr.findings import NotRun, Result
from dicom_sr.lawful import is_uid, unlawful
from dicom_sr.profile import UNSHOWN, EncodedObject, EncodingProfile, Kind
from dicom_sr.provenance import Provenance
from dicom_sr.read.headers import PATIENT, STUDY
from dicom_sr.versions import NOTHING_EARLIER, Earlier
from dicom_sr.write.derived_series import COPIED, encode_derived
from dicom_sr.write.diagnostic_report import encode_diagnostic_report
from dicom_sr.write.document import encode_document, encode_enhanced_report
from dicom_sr.write.equipment import EQUIPMENT
from dicom_sr.write.key_objects import encode_key_objects
from dicom_sr.write.left_out import OPTIONAL, Attempts, LeftOut, sentences
from dicom_sr.write.notification import encode_notification
from dicom_sr.write.oru import encode_oru
from dicom_sr.write.parametric_map import encode_parametric_maps
from dicom_sr.write.presentation_state import FOR_DISPLAY, encode_presentation
from dicom_sr.write.report import encode_report
from dicom_sr.write.risk_assessment import encode_risk_assessment
from dicom_sr.write.secondary_capture import encode_capture
from dicom_sr.write.segmentation import encode_segmentation

__all__ = ["EncodedObject", "Encoding", "EncodingProfile", "Written", "encode", "encode_what_can_be"]


@dataclass(frozen=True)
class Written:
    """The objects of a result, and the optional ones that could not be made."""

    objects: tuple[EncodedObject, ...]  # in the order in which they are to be sent
    left_out: tuple[LeftOut, ...] = ()
    mended: tuple[str, ...] = ()  # keywords of what the source holds in no lawful form: cleaned here, or not here


def encode(
    result: Result | NotRun,
    profile: EncodingProfile,
    created: datetime,
    folder: Path,
    earlier: Earlier = NOTHING_EARLIER,
    job: str = "",
    earlier_jobs: Sequence[str] = (),
) -> tuple[EncodedObject, ...]:
    """Write the objects of `result` that `profile` asks for, in the order in which they are to be sent.

    The same arguments give the same bytes: UIDs are made from names, times from `created`.

    Parameters
    ----------
    created
        The only time that the objects hold. Timezone aware, or in the site's local time. A node takes it from the
        images (`dicom_sr.read.moments`), so that it makes the same objects of the same images at any time.
    folder
        Where the Part 10 files go; made if absent. Existing files of the same names are replaced.
    earlier
        The version of the result that this one revises, if there is one. Its reports are named in
        PredecessorDocumentsSequence, and documents and overlays go into its series (`dicom_sr.versions`).
    job
        Id of the job that found the result: the identifier of a FHIR resource.
    earlier_jobs
        The jobs that this one revises, the latest first: what FHIR and HL7 v2 say takes the place of what they said.

    Raises
    ------
    EncodingError
        If the result does not fit together: a bug of the pipeline that made it. Also if an object cannot be made.
    """
    written = encode_what_can_be(result, profile, created, folder, earlier, job, earlier_jobs)
    if written.left_out:
        first = next((one.cause for one in written.left_out if one.cause), None)
        raise EncodingError("; ".join(str(one) for one in written.left_out)) from first
    return written.objects


def encode_what_can_be(
    result: Result | NotRun,
    profile: EncodingProfile,
    created: datetime,
    folder: Path,
    earlier: Earlier = NOTHING_EARLIER,
    job: str = "",
    earlier_jobs: Sequence[str] = (),
) -> Written:
    """As `encode` does, but an optional object that cannot be made is left out: reports and captures say so.

    Raises
    ------
    EncodingError
        If the result does not fit together, an object that is not optional cannot be made, or an image cannot be
        referred to.
    """
    encoding = Encoding(result, profile, created, folder, earlier, job, earlier_jobs)
    series = encoding.derived_series()
    rest = encoding.rest()
    return replace(rest, objects=(*series, *rest.objects))


class Encoding:
    """The objects of a result in two parts: the derived series first, which can be sent while the rest is written.

    The bytes are those of `encode_what_can_be`, which has the parameters, and each part raises as it does. `patient` is
    who the patient is now, where that was changed since the images were made.
    """

    def __init__(
        self,
        result: Result | NotRun,
        profile: EncodingProfile,
        created: datetime,
        folder: Path,
        earlier: Earlier = NOTHING_EARLIER,
        job: str = "",
        earlier_jobs: Sequence[str] = (),
        patient: CurrentPatient | None = None,
    ) -> None:
        self._provenance = Provenance(result, profile, created, job, tuple(earlier_jobs), earlier, patient=patient)
        self._folder = folder
        self._revised = [one for one in earlier.objects if one.kind == "report"]
        nobody_asks = isinstance(result, NotRun) and not profile.not_run_reports
        kinds = [] if nobody_asks else list(dict.fromkeys(profile.kinds))
        self._kinds: list[Kind] = [kind for kind in kinds if kind not in UNSHOWN[profile.viewer]]
        if self._kinds:
            folder.mkdir(parents=True, exist_ok=True)
            _refuse_what_is_no_uid(self._provenance.headers)

    def derived_series(self) -> tuple[EncodedObject, ...]:
        """Write the derived series, in the order in which they are to be sent."""
        return encode_derived(self._provenance, self._folder) if "derived_series" in self._kinds else ()

    def rest(self) -> Written:
        """Write everything else, which is sent after the derived series."""
        if not self._kinds:
            return Written(())
        provenance, attempts = self._provenance, Attempts()
        objects: list[EncodedObject] = []
        for kind in (kind for kind in self._kinds if kind in OPTIONAL):
            objects += attempts.several(kind, partial(_OPTIONAL_ENCODERS[kind], provenance, self._folder, attempts))
        if attempts.left_out:  # what says so comes after it
            provenance = replace(provenance, left_out=sentences(attempts.left_out))
        for kind in (kind for kind in self._kinds if kind in _ENCODERS):
            objects += _ENCODERS[kind](provenance, self._folder)
        if "report" in self._kinds:  # the last one: it refers to all others
            others = tuple(sorted((one for one in objects if one.sop_class_uid), key=lambda one: one.order))
            objects += _report(provenance, self._folder, self._revised, others)
        header = provenance.header
        mended = unlawful(header, (*PATIENT, *STUDY, *EQUIPMENT, *COPIED, *FOR_DISPLAY, "FrameOfReferenceUID"))
        return Written(tuple(sorted(objects, key=lambda o: o.order)), tuple(attempts.left_out), mended)


def _refuse_what_is_no_uid(headers: Iterable[Dataset]) -> None:
    """What is referred to keeps its UID to the letter: what is none has no place in a result."""
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        if not all(is_uid(str(header.get(keyword) or "")) for header in headers):
            raise EncodingError(f"an image has a {keyword} that is no UID, so no object can refer to it")


Encoder = Callable[[Provenance, Path], tuple[EncodedObject, ...]]
OptionalEncoder = Callable[[Provenance, Path, Attempts], tuple[EncodedObject, ...]]


def _report(
    provenance: Provenance, folder: Path, revised: Sequence[EncodedObject], others: Sequence[EncodedObject]
) -> tuple[EncodedObject, ...]:
    """TID 1500 for what images show; Enhanced SR for what the record says, or where there is no image."""
    result = provenance.result
    from_record = isinstance(result, Result) and result.from_record is not None
    encoder = encode_enhanced_report if from_record or not provenance.headers else encode_report
    return encoder(provenance, folder, revised, others)


def _document(provenance: Provenance, folder: Path) -> tuple[EncodedObject, ...]:
    """A document only for what the record says: an imaging result is read beside its images."""
    result = provenance.result
    from_record = isinstance(result, Result) and result.from_record is not None
    return encode_document(provenance, folder) if from_record else ()


_ENCODERS: dict[Kind, Encoder] = {
    "secondary_capture": encode_capture,
    "document": _document,
    "risk_assessment": encode_risk_assessment,
    "notification": encode_notification,
}
_OPTIONAL_ENCODERS: dict[Kind, OptionalEncoder] = {
    "presentation_state": encode_presentation,
    "segmentation_binary": partial(encode_segmentation, "binary"),
    "segmentation_fractional": partial(encode_segmentation, "fractional"),
    "segmentation_labelmap": partial(encode_segmentation, "labelmap"),
    "parametric_map": encode_parametric_maps,
    "key_objects": lambda provenance, folder, _: encode_key_objects(provenance, folder),
    "diagnostic_report": lambda provenance, folder, _: encode_diagnostic_report(provenance, folder),
    "oru": lambda provenance, folder, _: encode_oru(provenance, folder),
}
