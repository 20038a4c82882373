"""`condyle verdicts --dataset`: what readers took over or corrected, as data for `condyle train`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_sr.words import counted
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.model import is_there
from node.commands.open_database import opened
from node.commands.terminal import console
from node.commands.verdict_report import is_free
from node.verdicts.cases import cases
from pipelines.registry import UnknownPipeline, pipeline_type

if TYPE_CHECKING:
    from pipelines.lab.corrected import CorrectedCase


def dataset(out: Path, config: Path, *, since: datetime | None = None, pipeline: str = "") -> int:
    """Write the data of a node's verdicts, and print what was written.

    Parameters
    ----------
    out
        The folder to write to; what an earlier export wrote is not replaced.
    config
        The configuration file.
    since, pipeline
        As for the list.
    """
    configuration, database = opened(config)
    found = cases(database, configuration, pipeline, since)
    if not found:
        console(error=True).print("No reader has taken over a result whose report is still kept.")
        return NOT_RIGHT
    if not is_free(out, "--dataset", list(found)):
        return USAGE
    for sentence in write_dataset(out, found):
        console().print(sentence, markup=False, soft_wrap=True)  # a command in it is to be copied whole
    return OK


def write_dataset(out: Path, found: Mapping[str, Sequence[CorrectedCase]]) -> Iterator[str]:
    """Write the cases into a folder for each pipeline, in the layout of its training; what was done, in sentences.

    Parameters
    ----------
    out
        The folder.
    found
        The cases by pipeline.
    """
    for pipeline, of in found.items():
        module = _module(pipeline)
        if module is None:
            yield f"{pipeline}: {counted(len(of), 'result')} left out, as its training takes no corrected results"
            continue
        folder = out / pipeline
        written = import_module(module).write_corrected(folder, of)
        yield f"{folder}: {counted(written.rows, 'row')} of {counted(len(of), 'result')}"
        yield from (f"left out: {sentence}" for sentence in written.left_out)
        if written.rows:
            yield f"condyle train {pipeline} --data {folder} --layout {written.layout} trains with them"


def _module(pipeline: str) -> str | None:
    """The module of a pipeline that writes its cases; None where it has none."""
    try:
        module = f"{pipeline_type(pipeline).__module__}.training.corrected"
    except UnknownPipeline:
        return None
    return module if is_there(module) else None
