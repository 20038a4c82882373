"""What a pipeline is to run on: the studies in files and folders, and the series or the whole of each as a job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.headers import is_image, made_by_us
from dicom_sr.series import Instance, Series, Study
from node.files import file_name
from node.folders import OWN_FOLDER, Leave
from node.local.pictures import Picture, picture_format, write_radiograph
from node.study.files import files_in, readable_studies

Level = Literal["series", "study"]
Watch = Callable[[Sequence[Path]], Iterable[Path]]  # shows how far the reading of files has come

RESULTS_FOLDER = "is the folder of the results, and nothing in it is read"
OWN_RESULTS = "are results of Condyle"
NO_IMAGES = "hold no images"
IS_A_PICTURE = "is a picture, not DICOM; --as DX takes it for a radiograph"


@dataclass(frozen=True)
class LocalJob:
    """One pipeline on one series or study of the files."""

    name: str  # of its folder
    study: Study  # with the series that the pipeline is given
    other_studies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # that use a SeriesInstanceUID of it
    pictures: tuple[Picture, ...] = ()  # that its images were made from

    @property
    def about(self) -> str:
        """What it is about, for a person."""
        if self.pictures:
            return ", ".join(picture.path.name for picture in self.pictures)
        if len(self.study.series) == 1:
            (series,) = self.study.series
            return f"{series.modality or '?'} series {series.series_instance_uid}"
        return f"study {self.study.study_instance_uid}"


@dataclass(frozen=True)
class LocalInputs:
    """The studies that files make up, and which of them were made from pictures."""

    studies: tuple[Study, ...]
    pictures: Mapping[str, Picture] = field(default_factory=dict)  # by SOPInstanceUID


def read_inputs(
    paths: Sequence[Path],
    folder: Path,
    leave: Leave,
    *,
    as_modality: str | None = None,
    results: Path | None = None,
    watch: Watch = lambda paths: paths,
) -> LocalInputs:
    """The studies in files and folders; what cannot be used is left out by name.

    Parameters
    ----------
    paths
        DICOM files, folders, and pictures; they are there.
    folder
        Where DICOM files that are made of pictures go.
    leave
        Called with the path and the reason of what is left out.
    as_modality
        What pictures are taken for; None: they are left out.
    results
        A folder that is not looked into.
    watch
        Shows how far the reading has come.
    """

    def leave_files(path: Path, reason: str) -> None:
        leave(path, RESULTS_FOLDER if reason is OWN_FOLDER else reason)

    pictures: dict[str, Picture] = {}

    def dicom_files(files: Iterable[Path]) -> Iterator[Path]:
        for path in files:
            if picture_format(path) is None:
                yield path
            elif as_modality is None:
                leave(path, IS_A_PICTURE)
            else:
                try:
                    written, picture = write_radiograph(path, folder)
                except UnsuitableInput as error:
                    leave(path, str(error))
                    continue
                known = pictures.setdefault(picture.sop_instance_uid, picture)
                if known is picture:
                    yield written
                else:
                    leave(path, f"is the same picture as {known.path}")

    found = dict.fromkeys(files_in(paths, leave_files, results))  # a file that is named twice is read once
    studies = readable_studies(dicom_files(watch(list(found))), leave)
    return LocalInputs(tuple(_acquired(study, leave) for study in _without_copies(studies, leave)), pictures)


def _without_copies(studies: Iterable[Study], leave: Leave) -> Iterator[Study]:
    """The studies with each SOPInstanceUID once, by whichever file comes first."""
    first: dict[str, Instance] = {}
    for study in studies:
        for instance in sorted(study.instances, key=lambda one: one.path):
            first.setdefault(instance.sop_instance_uid, instance)
    for study in studies:
        series = []
        for one in study.series:
            kept = tuple(i for i in one.instances if first[i.sop_instance_uid].path == i.path)
            for instance in one.instances:
                other = first[instance.sop_instance_uid]
                if other.path != instance.path:
                    leave(instance.path, _copy_of(instance, other))
            if kept:
                series.append(replace(one, instances=kept))
        if series:
            yield replace(study, series=tuple(series))


def _copy_of(instance: Instance, other: Instance) -> str:
    """Why a file is left out whose SOPInstanceUID another one has."""
    try:
        equal = instance.path.read_bytes() == other.path.read_bytes()
    except OSError:
        equal = False
    if equal:
        return f"is a copy of {other.path}"
    return f"cannot be read beside {other.path}: both have one SOPInstanceUID and differ"


def _acquired(study: Study, leave: Leave) -> Study:
    """The study without results of this software: they are never processed again."""
    series = []
    for one in study.series:
        try:
            ours = [made_by_us(header) for header in one.headers]
        except UnsuitableInput:  # the pipeline's check says so
            ours = [False]
        if all(ours):
            leave(one.instances[0].path, f"and its series {OWN_RESULTS}")
        elif any(ours):
            kept = (instance for instance, own in zip(one.instances, ours, strict=True) if not own)
            series.append(replace(one, instances=tuple(kept)))
        else:
            series.append(one)
    return replace(study, series=tuple(series))


def jobs_of(inputs: LocalInputs, pipeline: str, level: Level, leave: Leave) -> tuple[LocalJob, ...]:
    """What a pipeline is to run on, one job for each series or study that holds an image.

    Parameters
    ----------
    inputs
        The studies.
    pipeline
        Its name, part of the names of the jobs' folders.
    level
        What one job is about.
    leave
        Called with a file of a series or study that holds no image, and the reason.
    """
    of_series: dict[str, list[str]] = defaultdict(list)
    for study in inputs.studies:
        for series in study.series:
            of_series[series.series_instance_uid].append(study.study_instance_uid)
    jobs: list[LocalJob] = []
    taken: dict[str, int] = {}
    for study in inputs.studies:
        parts = [study] if level == "study" else [replace(study, series=(series,)) for series in study.series]
        for part in parts:
            if not part.series:
                continue
            uid = part.study_instance_uid if level == "study" else part.series[0].series_instance_uid
            if not any(_shows_something(series) for series in part.series):
                leave(part.instances[0].path, f"and its {level} {NO_IMAGES}")
                continue
            name = f"{file_name(pipeline.replace(':', '_'))}-{file_name(uid)}"
            taken[name] = taken.get(name, 0) + 1
            others = {
                series.series_instance_uid: tuple(
                    other for other in of_series[series.series_instance_uid] if other != study.study_instance_uid
                )
                for series in part.series
            }
            jobs.append(
                LocalJob(
                    name if taken[name] == 1 else f"{name}-{taken[name]}",
                    part,
                    {series: studies for series, studies in others.items() if studies},
                    tuple(
                        inputs.pictures[one.sop_instance_uid]
                        for one in part.instances
                        if one.sop_instance_uid in inputs.pictures
                    ),
                )
            )
    return tuple(jobs)


def _shows_something(series: Series) -> bool:
    try:
        return any(is_image(header) for header in series.headers)
    except UnsuitableInput:  # the pipeline's check says so
        return True
