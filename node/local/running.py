"""A pipeline that is run on files: loaded once, and each series or study has a result of its own."""

from __future__ import annotations

import errno
import math
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dicom_sr.errors import DicomError, UnsuitableInput, of_the_machine
from dicom_sr.findings import Result
from dicom_sr.profile import EncodedObject, EncodingProfile
from dicom_sr.words import shown
from node.errors import NodeError
from node.local.device import AUTO, DEVICE, device_used, with_device
from node.local.inputs import LocalInputs, LocalJob, Watch, jobs_of, read_inputs
from node.local.pictures import MODALITIES, NOT_STATED
from node.local.result import LocalResult, LocalResults, State
from node.local.scratch import Scratch
from node.run.moment import moment_of
from node.run.result_summary import summary
from node.study.headers import study_header
from node.study.identity_in_text import identity_of, without
from node.study.patients import (
    Person,
    differing_names,
    patient_numbers,
    series_of_several_studies,
    several_patients,
)
from pipelines.base import answers_from_record
from pipelines.bundle import BundleError, BundleSettings
from pipelines.context import ClinicalContext
from pipelines.loading import LoadedPipeline, require_pinned
from pipelines.registry import pipeline_type

PROFILE = EncodingProfile()  # what a folder gets that a node delivers to
BROKE_CHECKING = "the pipeline broke while it looked at the images"
BROKE_LOADING = "the pipeline could not be loaded"
BROKE_RUNNING = "the pipeline broke while it ran"
BROKE_ENCODING = "the results could not be written as objects"
NO_RECORD = "the pipeline reads the patient's record, and none was given (--record FILE, in Python record=FILE)"


@dataclass
class _Run:
    """How far a job has come."""

    stage: str = BROKE_CHECKING
    found: Result | None = None
    objects: tuple[EncodedObject, ...] = ()
    left_out: tuple[str, ...] = ()
    scratch: Scratch = field(default_factory=Scratch)


class LocalPipeline:
    """A pipeline with its settings, to be called with files.

    Parameters
    ----------
    name
        Of an installed pipeline.
    device
        auto, cpu, cuda or cuda:N.
    settings
        Those of the pipeline, as the `settings` of a route in config.yaml.

    Raises
    ------
    pipelines.registry.UnknownPipeline
        If no pipeline of that name is installed.
    NoSuchDevice
        If the pipeline cannot use the device.
    pydantic.ValidationError
        If the settings are not the pipeline's.
    pipelines.bundle.BundleError
        If the bundle is not the one that the setting ``sha256`` names.
    OSError, ValueError
        If the files of the bundle are missing or cannot be used.
    """

    def __init__(self, name: str, device: str = AUTO, **settings: Any) -> None:
        self.name, self._kind = name, pipeline_type(name)
        told = with_device(self._kind, settings, device)
        takes_bundles = issubclass(self._kind.settings_type, BundleSettings)
        if takes_bundles and isinstance(told.get("bundle"), str | Path):
            told["bundle"] = Path(told["bundle"]).absolute()  # in config.yaml a path is relative to that file
        self._loaded = LoadedPipeline(self._kind, told)
        configured = self._loaded.fresh()
        self._level, self._version = configured.level, configured.version  # of a bundle they follow from its settings
        typed = self._kind.settings_type(**told)
        require_pinned(typed, configured.model)  # reads the files of the bundle
        self._settings = typed.model_dump(mode="json")

    def __repr__(self) -> str:
        return f"LocalPipeline({self.name!r})"

    def __call__(
        self, *paths: str | Path, as_modality: str | None = None, record: str | Path | None = None
    ) -> LocalResult | LocalResults:
        """Run the pipeline on files: a result, or a list of results where there are several series or studies.

        Parameters
        ----------
        paths
            DICOM files, folders, and pictures.
        as_modality
            ``"DX"`` takes pictures (PNG, JPEG) for radiographs; otherwise they are left out.
        record
            The patients' records, for a pipeline that reads them: a FHIR R4 bundle, HL7 v2 messages or OMOP tables.

        Raises
        ------
        FileNotFoundError
            If a path does not exist.
        TypeError
            If there is none.
        UnsuitableInput
            If there is nothing to run on, or the record cannot be used.
        """
        if not paths:
            raise TypeError("give at least one file or folder")
        named = [Path(path) for path in paths]
        for path in named:
            if not path.exists():
                raise FileNotFoundError(errno.ENOENT, "there is no such file or folder", str(path))
        left_out: list[str] = []

        def leave(path: Path, reason: str) -> None:
            left_out.append(f"{path} {reason}")

        scratch = Scratch()
        jobs = self.jobs(self.read(named, scratch, leave, as_modality=as_modality), leave)
        if not jobs:
            raise UnsuitableInput("; ".join([nothing_in(named), *left_out[:3]]))
        results = list(self.run(jobs, None if record is None else Path(record), scratch))
        if len(results) == 1:
            return replace(results[0], left_out=tuple(left_out))
        return LocalResults(results, left_out)

    def read(
        self,
        paths: Sequence[Path],
        scratch: Scratch,
        leave: Any,
        *,
        as_modality: str | None = None,
        results: Path | None = None,
        watch: Watch = lambda paths: paths,
    ) -> LocalInputs:
        """The studies in files; see `read_inputs`."""
        if as_modality not in (None, *MODALITIES):
            raise ValueError(f"{as_modality!r}: pictures can be taken for {' or '.join(MODALITIES)} only")
        return read_inputs(paths, scratch.path, leave, as_modality=as_modality, results=results, watch=watch)

    def jobs(self, inputs: LocalInputs, leave: Any) -> tuple[LocalJob, ...]:
        """What there is to run on; see `jobs_of`."""
        return jobs_of(inputs, self.name, self._level, leave)

    def run(
        self, jobs: Sequence[LocalJob], record: Path | None = None, scratch: Scratch | None = None
    ) -> Iterator[LocalResult]:
        """Run the jobs one after the other; an error costs the job that it befalls, and no other.

        Parameters
        ----------
        jobs
            As `jobs` gives them.
        record
            The patients' records.
        scratch
            Holds what was made of pictures; the results keep it.

        Raises
        ------
        UnsuitableInput
            If the record cannot be used at all.
        """
        records = None
        if record is not None and self._kind.needs_context:
            from node.local.record import GivenRecords  # what reads FHIR, HL7 and OMOP

            records = GivenRecords(record)
        try:
            for job in jobs:
                yield self._run(job, records, () if scratch is None else (scratch,))
        finally:
            if records is not None:
                records.close()

    def _run(self, job: LocalJob, records: Any, keep: tuple[Scratch, ...]) -> LocalResult:
        run = _Run()
        state: State = "done"
        reason = trace = ""
        try:
            self._do(job, run, records)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 (a bug costs one job; native code by PyO3 raises no Exception)
            state, reason, trace = self._why(error, run, job)
        if state != "done":
            run.found, run.objects = None, ()
        return LocalResult(
            state,
            reason,
            self._summary(job, run, state, reason),
            run.found,
            job,
            run.objects,
            trace,
            keep=(*keep, run.scratch),
        )

    def failed(self, job: LocalJob, reason: str) -> LocalResult:
        """The result of a job that came to no end."""
        return LocalResult("failed", reason, self._summary(job, _Run(), "failed", reason), job=job)

    def _do(self, job: LocalJob, run: _Run, records: Any) -> None:
        remarks = _require_one_patient(job)
        for series, others in job.other_studies.items():
            raise UnsuitableInput(series_of_several_studies(series, others))
        self._loaded.fresh().check(job.study)
        context = self._context(job, records)
        run.stage = BROKE_LOADING
        self._loaded.load()
        run.stage = BROKE_RUNNING
        found = self._loaded.run(job.study, context)
        if job.pictures:
            formats = " and ".join(sorted({picture.format for picture in job.pictures}))
            remarks = (*remarks, NOT_STATED.format(formats=formats))
        run.found = replace(found, limits=(*found.limits, *remarks)) if remarks else found
        run.stage = BROKE_ENCODING
        self._encode(job, run, context)

    def _context(self, job: LocalJob, records: Any) -> ClinicalContext | None:
        if not self._kind.needs_context:
            return None
        if records is not None:
            found: ClinicalContext = records.context(job.study)
            return found
        if answers_from_record(self._kind):
            raise UnsuitableInput(NO_RECORD)
        return None

    def _encode(self, job: LocalJob, run: _Run, context: ClinicalContext | None) -> None:
        from dicom_sr.write.encode import encode_what_can_be  # a second or two to import

        assert run.found is not None
        moment = moment_of(run.found, context) or _written(job)
        written = encode_what_can_be(run.found, PROFILE, moment, run.scratch.path)
        run.objects, run.left_out = written.objects, tuple(map(str, written.left_out))

    def _why(self, error: BaseException, run: _Run, job: LocalJob) -> tuple[State, str, str]:
        """State, reason and traceback of a job that ended with an error, without what identifies the patient."""
        try:
            identity = [*identity_of(instance.path for instance in job.study.instances)]
        except Exception:  # noqa: BLE001 (a file that broke the job may break this as well)
            return "failed", f"{run.stage} ({type(error).__name__}), and the images cannot be read", ""
        if isinstance(error, UnsuitableInput) and not of_the_machine(error):
            return "unsuitable", without(str(error), identity), ""
        trace = without("".join(traceback.format_exception(error)), identity)
        if isinstance(error, DicomError | NodeError | BundleError):
            return "failed", without(str(error), identity), trace
        return "failed", f"{run.stage} ({type(error).__name__}); the traceback says where", trace

    def _summary(self, job: LocalJob, run: _Run, state: State, reason: str) -> dict[str, Any]:
        """What `summary.json` says: the same keys in each state."""
        study = job.study
        stated = {
            "state": state,
            "reason": reason,
            "pipeline": self.name,
            "version": self._version,
            "folder": job.name,
            "about": shown(job.about),
            "study_instance_uid": study.study_instance_uid,
            "series_instance_uids": [series.series_instance_uid for series in study.series],
            "sop_instance_uids": [instance.sop_instance_uid for instance in study.instances],
            "pictures": [{"file": shown(one.path.name), "format": one.format} for one in job.pictures],
            "settings": self._settings,
            "device": device_used(self._settings) if run.found else self._settings.get(DEVICE, "cpu"),
            "conclusion": list(run.found.conclusion) if run.found else [],
        }
        nothing: dict[str, Any] = {
            "model": {"name": self.name, "version": self._version, "weights_digest": self._weights_digest()},
            "findings": {},
            "not_evaluable": {},
            "derived": [],
            "flags": [],
            "limits": [],
        }
        found = nothing if run.found is None else summary(run.found)
        finite: dict[str, Any] = _finite({**stated, **found, "left_out": list(run.left_out)})
        return finite

    def _weights_digest(self) -> str:
        try:
            return self._loaded.fresh().model.weights_digest
        except (OSError, ValueError):  # the files are gone
            return ""


def nothing_in(paths: Sequence[Path]) -> str:
    """The sentence for paths in which there is nothing to run on."""
    return f"{', '.join(map(str, paths))}: no images found that a pipeline can be run on"


def _require_one_patient(job: LocalJob) -> tuple[str, ...]:
    """What a reader must know of whose images these are.

    Raises
    ------
    UnsuitableInput
        If they are of several patients; the message names nobody.
    """
    instances = job.study.instances
    people = [Person.of(study_header(instance.path, "").who) for instance in instances]
    numbers = patient_numbers(people)
    if max(numbers, default=1) > 1:
        raise UnsuitableInput(several_patients(people, numbers, [one.sop_instance_uid for one in instances]))
    remark = differing_names(people)
    return (remark,) if remark else ()


def _written(job: LocalJob) -> datetime:
    """When the files of images that name no day were last written: so the same files give the same objects."""
    return datetime.fromtimestamp(int(max(one.path.stat().st_mtime for one in job.study.instances)), UTC)


def _finite(value: Any) -> Any:
    """The value with None in place of numbers that JSON has no form for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
