"""What all objects of one result have in common: the patient, the source images, the model and the time."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import astuple, dataclass, field
from datetime import datetime
from functools import cached_property
from importlib.metadata import version

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_sr.codes import CONDYLE, CodingScheme, in_snomed, scheme_of
from dicom_sr.current_patient import CurrentPatient
from dicom_sr.findings import DerivedVolume, ImageReference, Model, NotRun, Result, Subject
from dicom_sr.header_numbers import whole_number_in
from dicom_sr.lawful import unlawful
from dicom_sr.profile import EncodingProfile
from dicom_sr.read.headers import PATIENT, STUDY, chosen, is_image, offset_from_utc
from dicom_sr.segment_places import SegmentPlaces
from dicom_sr.uids import result_key, uid
from dicom_sr.versions import NOTHING_EARLIER, Earlier

SERIES_MARK = "AI"  # every SeriesDescription of the node starts with it

# SeriesNumber = source's number + 1000 * (base of the pipeline + number of the kind): unique within the study as
# long as its own numbers stay under 1000, last in a viewer's list, and the source's number reads at its end.
# A pipeline that names no base has one of 50 from here on by its name
_FIRST_BASE = 3300
_KINDS = {
    "derived_series": 0,
    "secondary_capture": 1,
    "parametric_map": 2,
    "report": 3,
    "report_comprehensive": 4,
    "segmentation_fractional": 5,
    "segmentation_binary": 6,
    "segmentation_labelmap": 7,
    "presentation_state": 8,
    "key_objects": 9,
    "document": 10,
}
_IDENTITY = ("PatientName", "PatientID", "IssuerOfPatientID")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SEVERAL = 11  # further series of a kind, as for several echoes: from this number on
_EACH = 20


def software_version() -> str:
    """Version of this package, as SoftwareVersions says it."""
    return version("condyle")


def device_uid(profile: EncodingProfile) -> str:
    """The UID of an installation as a device: the profile's, or one by its institution and serial number."""
    return profile.device_uid or uid(profile.uid_root, "device", profile.institution, profile.device_serial_number)


def first_series_number(model: str, base: int | None = None) -> int:
    """The thousands that the numbers of a model's series begin with: as given, or made from its name."""
    return _FIRST_BASE + 100 * (zlib.crc32(model.encode()) % 50) if base is None else base


@dataclass(frozen=True)
class Provenance:
    """What all objects of one result share. `headers` are the source images without pixels, in order."""

    result: Result | NotRun
    profile: EncodingProfile
    created: datetime
    job: str = ""  # id of the job that found it
    earlier_jobs: tuple[str, ...] = ()  # that it revises, the latest first
    earlier: Earlier = NOTHING_EARLIER  # the version that it revises
    left_out: tuple[str, ...] = ()  # what is missing beside this object, in sentences for a reader
    patient: CurrentPatient | None = None  # who it is now, where that was changed since the images were made
    # by index of the derived volume: what refers to its slices (`derived_series.derived_references`), made once
    references: dict[int, list[Dataset]] = field(default_factory=dict, compare=False, repr=False)
    # where the segments of the result lie in its segmentations, once those are written
    segments: SegmentPlaces = field(default_factory=SegmentPlaces, compare=False, repr=False)

    @cached_property
    def headers(self) -> tuple[Dataset, ...]:
        """The source images without pixels, in order; read once. What shows nothing (a presentation state) is none."""
        everything = tuple(header for series in self.result.evidence for header in series.headers)
        return tuple(header for header in everything if is_image(header)) or everything

    @cached_property
    def header_of(self) -> dict[str, Dataset]:
        """The source headers by SOPInstanceUID."""
        return {str(header.SOPInstanceUID): header for header in self.headers}

    @property
    def model(self) -> Model:
        """Which model made the result."""
        return self.result.model

    @property
    def limits(self) -> tuple[str, ...]:
        """What the reader must know: the remarks of the result, what is missing, and who the patient is said to be."""
        return (
            *getattr(self.result, "remarks", ()),
            *self._which_version,
            *self.left_out,
            *self._identity_changed,
        )

    @property
    def version(self) -> int:
        """Which version of the result it is: 1 for the first."""
        return self.earlier.number + 1

    @property
    def _which_version(self) -> tuple[str, ...]:
        """That the result takes the place of an earlier one."""
        if self.version == 1:
            return ()
        return (f"Version {self.version} of this result. It takes the place of the earlier one.",)

    @cached_property
    def _identity_changed(self) -> tuple[str, ...]:
        """That an archive may not find the patient again by what the objects carry."""
        changed = unlawful(self.header, _IDENTITY)
        if not changed:
            return ()
        named = f"{' and '.join(changed)} of the source {'is' if len(changed) == 1 else 'are'}"
        return (f"{named} not valid DICOM and changed here: an archive may file this result under another patient.",)

    @property
    def limits_key(self) -> tuple[str, ...]:
        """What names an object that shows the limits, beside the result: with other limits it is another object."""
        return (hashlib.sha256("\n".join(self.limits).encode()).hexdigest(),) if self.limits else ()

    @property
    def subject(self) -> Subject | None:
        """The patient, where the pipeline names one."""
        return self.result.subject if isinstance(self.result, Result) else None

    @cached_property
    def header(self) -> Dataset:
        """The header that patient and study are copied from; made from the subject where there is no image."""
        if self.headers:
            return self.headers[0]
        ds = Dataset()
        subject = self.subject or Subject("")
        ds.PatientID, ds.PatientName = subject.patient_id, subject.patient_name
        ds.PatientBirthDate, ds.PatientSex = subject.patient_birth_date, subject.patient_sex
        if subject.issuer_of_patient_id:
            ds.IssuerOfPatientID = subject.issuer_of_patient_id
        ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyID = subject.accession_number, "", ""
        ds.StudyInstanceUID = uid(
            self.profile.uid_root, "study", subject.issuer_of_patient_id, subject.patient_id, subject.accession_number
        )
        ds.StudyDate, ds.StudyTime = self.created.strftime("%Y%m%d"), self.created.strftime("%H%M%S")
        ds.StudyDescription = self.result.title
        return ds

    @property
    def study_instance_uid(self) -> str:
        """StudyInstanceUID of the study that the objects go into."""
        return str(self.header.StudyInstanceUID)

    # ---- time: as given, never the clock's
    @cached_property
    def _moment(self) -> datetime:
        offset = offset_from_utc(self.header)
        return self.created if offset is None or self.created.tzinfo is None else self.created.astimezone(offset)

    @property
    def date(self) -> str:
        """Day that the objects carry, YYYYMMDD."""
        return self._moment.strftime("%Y%m%d")

    @property
    def time(self) -> str:
        """Time that the objects carry, HHMMSS."""
        return self._moment.strftime("%H%M%S")

    @property
    def readable_date(self) -> str:
        """That day for people, e.g. 22 Nov 2026."""
        moment = self._moment  # not by strftime: its names of months follow the locale of the process
        return f"{moment.day:02} {_MONTHS[moment.month - 1]} {moment.year}"

    # ---- identity
    @cached_property
    def _key(self) -> tuple[str, ...]:
        sources = {instance.sop_instance_uid for series in self.result.evidence for instance in series.instances}
        for aside in getattr(self.result, "left_aside", ()):  # all that it was given names it, whatever it made of it
            sources |= {image.sop_instance_uid for image in aside.images}
        sources |= set(getattr(self.result, "compared_with", ()))
        profile = self.profile
        form = [software_version(), profile.institution, profile.device_serial_number]
        form += [profile.device_uid] if profile.device_uid else []
        form += [str(profile.synthetic_data), str(profile.snomed_licence)]
        if isinstance(self.result, NotRun):
            form += ["not run", self.result.reason]
        elif not self.headers or self.result.from_record is not None:
            # no image tells one record from another: what was found does
            form.append(hashlib.sha256(repr((self.subject, self.result.findings)).encode()).hexdigest())
        if self.version > 1:  # its objects say so
            form.append(f"version {self.version}")
        if self.patient is not None and self.whose is not self.header:
            # what names another patient than an object that may have gone out is another object
            form.append(hashlib.sha256("\n".join(astuple(self.patient)).encode()).hexdigest())
        return (*result_key(self.model, sources), *form)

    def uid(self, *what: str) -> str:
        """The UID of an object or a series of this result.

        Parameters
        ----------
        what
            The kind of its series first: where an earlier version lies in another series for another destination, the
            object is another one.
        """
        place = self.earlier.places.get(what[0])
        return uid(self.profile.uid_root, *self._key, *((place.series_instance_uid,) if place else ()), *what)

    @property
    def device_uid(self) -> str:
        """The UID of this installation as a device."""
        return device_uid(self.profile)

    def tracking_uid(self, tracking_id: str) -> str:
        """The UID of what `tracking_id` names in this patient: the same in every revision and every later study."""
        patient_id = str(self.whose.get("PatientID") or "")
        if patient_id:
            patient = (self.device_uid, str(self.whose.get("IssuerOfPatientID") or ""), patient_id)
        else:
            patient = ("", "", self.study_instance_uid)
        return uid(self.profile.uid_root, "tracking", *patient, self.model.name, tracking_id)

    def series_number(self, kind: str, index: int = 0) -> int:
        """SeriesNumber of the `index`-th series of `kind`."""
        base = first_series_number(self.model.name, self.model.series_base)
        slot = _KINDS[kind] if index == 0 else _SEVERAL + list(_KINDS).index(kind) * _EACH // 2 + index
        number = 1000 * (base + slot) + (whole_number_in(self.header, "SeriesNumber") or 0)
        return max(1, min(number, 2**31 - 1))

    def series_description(self, what: str, *, of_version: bool) -> str:
        """SeriesDescription, at most 64 characters: the mark, the pipeline, its version and `what`.

        Parameters
        ----------
        what
            End of it.
        of_version
            Whether the series is of one version of the result.
        """
        if of_version and self.version > 1:
            what = f"{what}, version {self.version}".removeprefix(", ")
        text = f"{SERIES_MARK} {self.result.title} {self.model.version}"
        return f"{text[: 63 - len(what)]} {what}" if what else text[:64]

    # ---- codes
    @cached_property
    def coding_schemes(self) -> tuple[CodingScheme, ...]:
        """The private schemes of the result's reports; that of the codes about any result comes first.

        Raises
        ------
        EncodingError
            If a private code of the result is not known here.
        """
        found = [scheme_of(code) for code in self.result.codes] if isinstance(self.result, Result) else []
        return tuple(dict.fromkeys([CONDYLE, *(scheme for scheme in found if scheme is not None)]))

    def reported(self, code: Code) -> Code:
        """`code` as it goes to the destination: in SNOMED CT where the site holds a licence and there is one."""
        return in_snomed(code) if self.profile.snomed_licence else code

    # ---- what is copied to every object, read once
    @cached_property
    def patient_and_study(self) -> Dataset:
        """The elements of the Patient, General and Patient Study modules, in Unicode; verbatim where lawful."""
        return self.whose if self.whose is not self.header else chosen(self.header, (*PATIENT, *STUDY))

    @cached_property
    def whose(self) -> Dataset:
        """What says who the patient is: the header, or patient and study of it as they are now."""
        if self.patient is None:
            return self.header
        ds = chosen(self.header, (*PATIENT, *STUDY))
        return ds if self.patient.put_on(ds) else self.header

    @cached_property
    def body_part(self) -> str:
        """BodyPartExamined of the sources where they agree."""
        keyword = "BodyPartExamined"
        parts = {str(chosen(header, [keyword]).get(keyword) or "") for header in self.headers} - {""}
        return parts.pop() if len(parts) == 1 else ""

    @cached_property
    def flags(self) -> Dataset:
        """The worst of all sources: lossy compression, synthetic content, burned-in annotation."""
        worst = Dataset()
        for header in self.headers:
            if str(header.get("LossyImageCompression") or "") == "01" and "LossyImageCompression" not in worst:
                keywords = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
                worst.update(chosen(header, keywords))
            for keyword in ("SyntheticData", "BurnedInAnnotation"):
                if header.get(keyword) == "YES":
                    setattr(worst, keyword, "YES")
        return worst

    @property
    def derived(self) -> tuple[DerivedVolume, ...]:
        """The derived volumes that go to the destination: nothing refers to those that stay behind."""
        sent = "derived_series" in self.profile.kinds
        return self.result.derived if sent and isinstance(self.result, Result) else ()

    # ---- which images a number rests on
    def derived_from(self, references: tuple[ImageReference, ...]) -> tuple[int, DerivedVolume] | None:
        """The derived volume made from the given images, and its place among the result's; else the first one."""
        for index, volume in enumerate(self.derived):
            if references and references[0] in volume.sources:
                return index, volume
        return (0, self.derived[0]) if self.derived else None
