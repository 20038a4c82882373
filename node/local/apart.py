"""Jobs in a process of their own: what ends that process, in native code or for want of memory, costs one job."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from dicom_sr.errors import UnsuitableInput
from dicom_sr.series import read_studies
from node.local.inputs import LocalJob
from node.local.pictures import Picture
from node.local.running import LocalPipeline
from node.local.saving import read_summary
from node.run.worker import end_with_the_node

Summary = dict[str, Any]
END_S = 5.0  # that the process has to end in by itself


@dataclass(frozen=True)
class JobFiles:
    """A job as another process can be told it."""

    name: str
    paths: tuple[Path, ...]
    other_studies: Mapping[str, tuple[str, ...]]
    pictures: tuple[Picture, ...]

    @classmethod
    def of(cls, job: LocalJob) -> JobFiles:
        """The files of a job."""
        paths = tuple(instance.path for instance in job.study.instances)
        return cls(job.name, paths, dict(job.other_studies), job.pictures)

    def job(self) -> LocalJob:
        """The job of the files."""
        (study,) = read_studies(self.paths)
        return LocalJob(self.name, study, self.other_studies, self.pictures)


@dataclass(frozen=True)
class Task:
    """What is to be done, and where it goes."""

    pipeline: str
    device: str
    settings: Mapping[str, Any]
    record: Path | None
    out: Path
    nifti: bool
    overwrite: bool
    temporary: Path  # a folder for what is not to be kept
    jobs: tuple[JobFiles, ...] = ()


@dataclass(frozen=True)
class _Refused:
    """Why the record cannot be used."""

    reason: str


@dataclass(frozen=True)
class _NotWritten:
    """Why nothing can be written any more."""

    reason: str


def run_apart(task: Task, jobs: Sequence[LocalJob], pipeline: LocalPipeline) -> Iterator[Summary]:
    """Run jobs and save each result as soon as it is there; the summaries, as they were written.

    Parameters
    ----------
    task
        What to do, without the jobs.
    jobs
        What to do it on.
    pipeline
        The same pipeline in this process: says of a job that ended its process that it failed.

    Raises
    ------
    UnsuitableInput
        If the record cannot be used.
    OSError
        If a result cannot be written.
    """
    left = list(jobs)
    while left:
        ours, theirs = multiprocessing.Pipe()
        told = replace(task, jobs=tuple(map(JobFiles.of, left)))
        process = multiprocessing.get_context("spawn").Process(target=_work, args=(told, theirs))
        process.start()
        theirs.close()
        try:
            while left:
                answer = ours.recv()
                if isinstance(answer, _Refused):
                    raise UnsuitableInput(answer.reason)
                if isinstance(answer, _NotWritten):
                    raise OSError(None, answer.reason)
                left.pop(0)
                yield answer
        except EOFError:
            yield _save_failed(task, left.pop(0), pipeline, process)
        finally:
            ours.close()  # it ends by that
            _end(process)


def run_here(task: Task, jobs: Sequence[LocalJob], pipeline: LocalPipeline) -> Iterator[Summary]:
    """The same in this process, which ends with a job that ends its process."""
    for result in pipeline.run(jobs, task.record):
        folder = result.save(task.out, nifti=task.nifti, preview=False, overwrite=task.overwrite)
        yield read_summary(folder) or result.summary


def _save_failed(task: Task, job: LocalJob, pipeline: LocalPipeline, process: BaseProcess) -> Summary:
    process.join(END_S)
    code = process.exitcode or 0
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    hint = ", as the system does where memory ends" if code == -signal.SIGKILL else ""
    result = pipeline.failed(job, f"the pipeline ended its process ({how}{hint})")
    folder = result.save(task.out, nifti=False, preview=False, overwrite=task.overwrite)
    return read_summary(folder) or result.summary


def _end(process: BaseProcess) -> None:
    process.join(END_S)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()


# ---- in the process
def _work(task: Task, connection: Connection) -> None:
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")  # libraries warn programmers, and may quote values
    threading.Thread(target=end_with_the_node, args=(connection.fileno(),), daemon=True).start()
    tempfile.tempdir = str(task.temporary)
    try:
        _do(task, connection)
    except KeyboardInterrupt:
        sys.exit(1)
    except UnsuitableInput as error:
        connection.send(_Refused(str(error)))
    except OSError as error:
        connection.send(_NotWritten(error.strerror or type(error).__name__))


def _do(task: Task, connection: Connection) -> None:
    pipeline = LocalPipeline(task.pipeline, task.device, **task.settings)
    for summary in run_here(task, [files.job() for files in task.jobs], pipeline):
        connection.send(summary)
