"""What a pipeline said of a series or study in files: as numbers, pictures and volumes, and as files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from PIL import Image

from dicom_sr.findings import Result
from dicom_sr.profile import EncodedObject
from node.local import overview, saving
from node.local.inputs import LocalJob
from node.local.measurements import Row, as_data_frame, rows
from node.local.scratch import Scratch
from node.local.volumes import LocalVolume, volumes
from node.status.capture_png import png

if TYPE_CHECKING:
    import pandas

State = Literal["done", "unsuitable", "failed"]
SHOWN_WIDTH = 1000  # pixels of a capture in a notebook


@dataclass(frozen=True, repr=False)
class LocalResult:
    """What a pipeline said of one series or study. A notebook shows its captures and its conclusion."""

    state: State
    reason: str  # why it is not done; empty where it is
    summary: dict[str, Any]  # as `summary.json` has it
    found: Result | None = None  # what the pipeline returned
    job: LocalJob | None = None
    objects: tuple[EncodedObject, ...] = ()  # as DICOM, in a temporary folder
    traceback: str = ""  # of a failure, without what identifies the patient
    left_out: tuple[str, ...] = ()  # files that were not used, each with the reason
    # the files lie here as long as the result is in use
    keep: tuple[Scratch, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        reason = f", reason={self.reason!r}" if self.reason else ""
        return f"LocalResult(state={self.state!r}{reason}, name={self.name!r})"

    @property
    def name(self) -> str:
        """The name of its folder, made from pipeline and UID: the same images have the same."""
        return str(self.summary["folder"])

    @property
    def measurement_rows(self) -> list[Row]:
        """Its numbers, and what could not be evaluated, a row each."""
        return [] if self.found is None else rows(self.found)

    @property
    def measurements(self) -> pandas.DataFrame:
        """Its numbers, and what could not be evaluated, a row each.

        Raises
        ------
        ImportError
            If pandas is not installed; the message says how to install it.
        """
        return as_data_frame(self.measurement_rows)

    @property
    def captures(self) -> list[Image.Image]:
        """Its captures, RGB, in order."""
        return [Image.open(io.BytesIO(content)) for content in self.capture_files(None)]

    def capture_files(self, width: int | None) -> list[bytes]:
        """Its captures as PNG files, not wider than `width` pixels where it is given."""
        return [png(one.path, width) for one in self.objects if one.kind == "secondary_capture"]

    @cached_property
    def volumes(self) -> list[LocalVolume]:
        """Derived volumes, their uncertainty, and segmentations in patient space."""
        return [] if self.found is None else volumes(self.found)

    def save(self, folder: str | Path, *, nifti: bool = True, preview: bool = True, overwrite: bool = False) -> Path:
        """Write everything into a folder of its own in `folder`; returns that folder.

        Parameters
        ----------
        folder
            Made if it is not there. An ``index.html`` in it shows all results that it holds.
        nifti
            Also write the volumes as NIfTI.
        preview
            Also write the ``index.html``.
        overwrite
            Replace an earlier result of the same images.

        Raises
        ------
        FileExistsError
            If there is an earlier result of the same images, and it is not to be replaced.
        OSError
            If it cannot be written.
        """
        content = saving.Content(
            self.name,
            self.summary,
            self.objects,
            self.capture_files(None),
            self.volumes if nifti else (),
            self.traceback,
        )
        made = saving.save(content, Path(folder), overwrite=overwrite)
        if preview:
            overview.write_index(Path(folder))
        return made

    def __iter__(self) -> Iterator[LocalResult]:
        """Itself, as a list of one result would."""
        yield self

    def _repr_html_(self) -> str:
        return overview.fragment(self.summary, [overview.inline(one) for one in self.capture_files(SHOWN_WIDTH)])

    def _repr_png_(self) -> bytes | None:
        return next(iter(self.capture_files(SHOWN_WIDTH)), None)


class LocalResults(Sequence[LocalResult]):
    """The results of several series or studies, in the order in which they were read."""

    def __init__(self, results: Sequence[LocalResult], left_out: Sequence[str] = ()) -> None:
        self._results = tuple(results)
        self.left_out = tuple(left_out)  # files that were not used, each with the reason

    @overload
    def __getitem__(self, at: int) -> LocalResult: ...
    @overload
    def __getitem__(self, at: slice) -> LocalResults: ...
    def __getitem__(self, at: int | slice) -> LocalResult | LocalResults:
        """One of them, or some."""
        return LocalResults(self._results[at], self.left_out) if isinstance(at, slice) else self._results[at]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._results)

    def __repr__(self) -> str:
        return f"LocalResults({list(self._results)!r})"

    @property
    def state(self) -> State:
        """done if all are, else failed if one has failed, else unsuitable."""
        states = {one.state for one in self}
        return "failed" if "failed" in states else "unsuitable" if "unsuitable" in states else "done"

    @property
    def reason(self) -> str:
        """Why some are not done, each reason once."""
        return "; ".join(dict.fromkeys(one.reason for one in self if one.reason))

    @property
    def summary(self) -> dict[str, Any]:
        """That of the only result.

        Raises
        ------
        ValueError
            If there are several; `summaries` has them all.
        """
        if len(self) != 1:
            raise ValueError(f"there are {len(self)} results: take one, such as results[0].summary, or summaries")
        return self[0].summary

    @property
    def summaries(self) -> list[dict[str, Any]]:
        """That of each result."""
        return [one.summary for one in self]

    @property
    def measurement_rows(self) -> list[Row]:
        """The numbers of all results."""
        return [row for one in self for row in one.measurement_rows]

    @property
    def measurements(self) -> pandas.DataFrame:
        """The numbers of all results; see `LocalResult.measurements`."""
        return as_data_frame(self.measurement_rows)

    @property
    def captures(self) -> list[Image.Image]:
        """The captures of all results."""
        return [capture for one in self for capture in one.captures]

    @property
    def volumes(self) -> list[LocalVolume]:
        """The volumes of all results."""
        return [volume for one in self for volume in one.volumes]

    def save(
        self, folder: str | Path, *, nifti: bool = True, preview: bool = True, overwrite: bool = False
    ) -> list[Path]:
        """Write each result into a folder of its own in `folder`; see `LocalResult.save`. Writes all or none."""
        if not overwrite:
            saving.require_free(Path(folder), [one.name for one in self])
        made = [one.save(folder, nifti=nifti, preview=False, overwrite=overwrite) for one in self]
        if preview:
            overview.write_index(Path(folder))
        return made

    def _repr_html_(self) -> str:
        return "".join(one._repr_html_() for one in self)
