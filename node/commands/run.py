"""`condyle run`: a pipeline on files, without a node."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from dicom_sr.errors import UnsuitableInput
from dicom_sr.words import counted, did_you_mean
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.route import LeftOut, shown_reading
from node.commands.terminal import console, print_whole
from node.config import read
from node.config.mistakes import mistakes
from node.folders import lies_in
from node.local import overview, saving
from node.local.apart import Task, run_apart
from node.local.device import NoSuchDevice
from node.local.inputs import LocalJob
from node.local.running import LocalPipeline, nothing_in
from node.local.scratch import Scratch
from pipelines.bundle import BundleError
from pipelines.monai_bundle.settings import PREFIX
from pipelines.registry import UnknownPipeline, names, pipeline_type

WORDS_WIDTH = 24  # columns, at least; the name of a folder is never broken


class _WrongUsage(Exception):
    """The command line cannot be done; the message says why."""


def run(
    name: str,
    paths: Sequence[Path],
    out: Path,
    *,
    as_json: bool = False,
    nifti: bool = False,
    preview: bool = False,
    device: str = "auto",
    as_modality: str | None = None,
    record: Path | None = None,
    settings: Sequence[str] = (),
    overwrite: bool = False,
    config: Path = Path("config.yaml"),
) -> int:
    """Run a pipeline on files, write each result to a folder of its own, and print what became of each.

    Parameters
    ----------
    name
        Of the pipeline.
    paths
        DICOM files, folders and pictures; they are there.
    out
        The folder that the results' folders go into.
    as_json
        Print the summaries as JSON, and nothing else.
    nifti
        Also write volumes as NIfTI.
    preview
        Also write a page that shows all results of the folder.
    device
        auto, cpu or cuda:N.
    as_modality
        What pictures are taken for.
    record
        The patients' records.
    settings
        Of the pipeline, each KEY=VALUE.
    overwrite
        Replace earlier results of the same images.
    config
        The configuration that a bundle stands in, for the pipeline ``bundle:NAME``; not read for any other.

    Returns
    -------
    int
        `NOT_RIGHT` if something was unsuitable, failed or could not be read; `USAGE` if the command line is wrong.
    """
    complaints = console(error=True)
    left_out = LeftOut(paths, complaints)
    scratch = Scratch()
    try:
        with _standard_output_kept(as_json):
            given, device = _given(name, device, settings, config)
            pipeline = _prepared(name, device, given)
            _require_apart(out, paths)
            inputs = pipeline.read(
                paths,
                scratch,
                left_out,
                as_modality=as_modality,
                results=out,
                watch=lambda files: shown_reading(files, complaints),
            )
            jobs = pipeline.jobs(inputs, left_out)
            if jobs:
                _require_room(out, jobs, preview=preview, overwrite=overwrite)
            task = Task(name, device, given, record, out, nifti, overwrite, scratch.inner("jobs"))
            summaries = _shown(run_apart(task, jobs, pipeline), len(jobs), name, complaints)
            if preview and jobs:
                overview.write_index(out)
    except _WrongUsage as error:
        complaints.print(str(error), markup=False)
        return USAGE
    except UnsuitableInput as error:  # the record
        complaints.print(f"--record: {error}", markup=False)
        return USAGE
    except OSError as error:
        complaints.print(f"--out: {out}: cannot be written: {error.strerror or type(error).__name__}", markup=False)
        return NOT_RIGHT
    finally:
        scratch.close()
    if as_json:
        console().print_json(json.dumps(summaries))
    elif summaries:
        _print_table(summaries, out)
    if not jobs:
        complaints.print(nothing_in(paths), markup=False)
    done = bool(jobs) and all(one["state"] == "done" for one in summaries)
    return OK if done and not left_out.problems else NOT_RIGHT


def _given(name: str, device: str, settings: Sequence[str], config: Path) -> tuple[dict[str, Any], str]:
    """The settings, those of a bundle from the configuration, and the device, which may be among them."""
    given = dict(_setting(text) for text in settings)
    if name.startswith(PREFIX):
        given = {**_of_bundle(name.removeprefix(PREFIX), config), **given}
    named = str(given.pop("device", device))
    return given, named if device == "auto" else device  # the option counts where both say something


def _prepared(name: str, device: str, given: Mapping[str, Any]) -> LocalPipeline:
    try:
        return LocalPipeline(name, device, **given)
    except UnknownPipeline as error:
        raise _WrongUsage(f"{error}{did_you_mean(name, names())}") from error
    except NoSuchDevice as error:
        raise _WrongUsage(f"--device: {error}") from error
    except ValidationError as error:
        wrong = mistakes(error, pipeline_type(name).settings_type)
        sentences = (f"--settings {one.key}: {one.sentence.replace('no such key', 'no such setting')}" for one in wrong)
        raise _WrongUsage("\n".join(sentences)) from error
    except (
        BundleError,
        OSError,
        TypeError,
        ValueError,
    ) as error:  # of the files of a bundle
        raise _WrongUsage(f"{name}: cannot be used: {error}") from error


def _of_bundle(name: str, config: Path) -> dict[str, Any]:
    """The entry of a bundle in the configuration, as the settings of its pipeline."""
    bundles = read(config).bundles
    if name not in bundles:
        there = f"there are: {', '.join(bundles) or 'none'}"
        raise _WrongUsage(f"{PREFIX}{name}: no bundle of {config} is called so; {there}{did_you_mean(name, bundles)}")
    return bundles[name].model_dump(mode="json")


def _setting(text: str) -> tuple[str, Any]:
    """A key, and the value as config.yaml would have it."""
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise _WrongUsage(f"--settings: {text!r}: should be KEY=VALUE, such as heatmaps=false")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise _WrongUsage(f"--settings: {key}: {value!r}: cannot be read as a value of config.yaml") from error


def _require_apart(out: Path, paths: Sequence[Path]) -> None:
    for path in paths:
        if lies_in(path, out):
            raise _WrongUsage(f"--out: {out}: {path} lies in it; name another folder, as nothing in this one is read")


def _require_room(out: Path, jobs: Sequence[LocalJob], *, preview: bool, overwrite: bool) -> None:
    """Before time is spent on results, make sure that they can be written."""
    try:
        saving.require_free(out, [job.name for job in jobs], overwrite=overwrite)
        if preview:
            overview.require_index(out)
    except FileExistsError as error:
        if not out.is_dir():
            raise _WrongUsage(f"--out: {out}: is a file; should be a folder") from error
        hint = "" if "not replaced" in (error.strerror or "") else " (--overwrite replaces them)"
        raise _WrongUsage(f"--out: {out}: {error.strerror}; name another folder{hint}") from error
    except OSError as error:
        raise _WrongUsage(f"--out: {out}: cannot be written: {error.strerror}") from error


def _shown(summaries: Iterable[dict[str, Any]], count: int, name: str, complaints: Console) -> list[dict[str, Any]]:
    """The summaries, with a bar on a terminal that shows how many there are."""
    with Progress(console=complaints, transient=True, disable=not complaints.is_terminal) as progress:
        return list(progress.track(summaries, total=count, description=name))


@contextmanager
def _standard_output_kept(wanted: bool) -> Iterator[None]:
    """Send to standard error what a pipeline or its native code prints meanwhile, where standard output is for JSON."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _print_table(summaries: Sequence[dict[str, Any]], out: Path) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("State", no_wrap=True)
    table.add_column("What", overflow="fold", min_width=WORDS_WIDTH)
    table.add_column("Result", overflow="fold", min_width=WORDS_WIDTH)
    table.add_column("Folder", no_wrap=True)
    for one in summaries:
        said = one["reason"] or " ".join(one["conclusion"][:1])
        table.add_row(*(Text(str(cell)) for cell in (one["state"], one["about"], said, one["folder"])))
    print_whole(console(), table)
    done = sum(one["state"] == "done" for one in summaries)
    console().print(f"{done} of {counted(len(summaries), 'job')} done; results in {out}", markup=False)
