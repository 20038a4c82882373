"""An example of this pipeline's result: made-up scores at the joints of simulated pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dicom_sr import phantoms
from dicom_sr.findings import Model
from dicom_sr.profile import EncodingProfile
from dicom_sr.series import Study
from pipelines.example import CREATED, VERSION, Example, made_up_model, only_study
from pipelines.hand_foot_scoring import SERIES_BASE, HandFootScoring, HandFootScoringSettings
from pipelines.hand_foot_scoring.calibration import CalibrationMap, GradeCalibration
from pipelines.hand_foot_scoring.centres import Centre
from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.reading import LimbReading, PictureReading, Reader
from pipelines.hand_foot_scoring.scoring import CELLS, Cell, Kind, NotScored, Reason, Scored
from pipelines.hand_foot_scoring.scoring import Reading as CellReading
from pipelines.hand_foot_scoring.shape import ShapeModel
from pipelines.hand_foot_scoring.sights import Sight
from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.hand_foot_scoring.weights import Trained
from pipelines.hand_foot_scoring.windows import Window

LIMBS: tuple[tuple[Part, Side], ...] = (("hand", "R"), ("hand", "L"), ("foot", "R"), ("foot", "L"))
JOINTS = {"hand": phantoms.HAND_JOINTS, "foot": phantoms.FOOT_JOINTS}
REACH = {"hand": 0.78, "foot": 0.60}  # of the picture's height: what a limb's length is measured over
NOT_SCORED = {("hand", "L", "CMC5"): Reason.COVERED, ("foot", "L", "MTP5"): Reason.CROPPED}
PROGRESSION = 0.35  # of the grades, since the prior


def example(folder: Path, rows: int = 900, limbs: tuple[tuple[Part, Side], ...] = LIMBS) -> Example:
    """Hands and feet with two sites that are not evaluable, totals, and the change since a report of a year before.

    Parameters
    ----------
    folder
        Where the simulated study is written.
    rows
        Of each picture.
    limbs
        Part and side of each picture.
    """
    study = _radiographs(folder, "hands-feet", "20261120", rows, limbs)
    with tempfile.TemporaryDirectory() as name:
        prior = _prior_report(Path(name), rows, limbs)
        result = _pipeline(limbs, 1.0).run(replace(study, series=(*study.series, *prior.series)))
    return Example(study, result)


def _prior_report(folder: Path, rows: int, limbs: tuple[tuple[Part, Side], ...]) -> Study:
    """The report of an earlier study of the same limbs, by this pipeline."""
    from dicom_sr.write.encode import encode  # a second or two to import

    earlier = _radiographs(folder / "images", "hands-feet-earlier", "20251114", rows, limbs)
    result = _pipeline(limbs, 1.0 - PROGRESSION).run(earlier)
    profile = EncodingProfile(kinds=("report",), measurement_report="comprehensive")
    return only_study(one.path for one in encode(result, profile, CREATED, folder / "report"))


def _radiographs(folder: Path, name: str, date: str, rows: int, limbs: Iterable[tuple[Part, Side]]) -> Study:
    person = phantoms.Person("SIM-0002")
    header = phantoms.study_header(person, name, "SIMULATED HANDS AND FEET", date)
    paths = []
    for number, (part, side) in enumerate(limbs, start=1):
        if part == "hand":
            pixels = phantoms.hand(rows, int(rows * 0.8), side)
        else:
            pixels = phantoms.foot(rows, int(rows * 0.62), side)
        paths.append(phantoms.write_radiograph(folder, header, pixels, part.upper(), side, number))
    study = only_study(paths)
    return replace(study, series=tuple(sorted(study.series, key=lambda s: int(s.headers[0].SeriesNumber))))


def _pipeline(limbs: Iterable[tuple[Part, Side]], severity: float) -> HandFootScoring:
    pipeline = _WithoutNetworks(HandFootScoringSettings(pooling="alone", device="cpu"))  # grades by lot lean on nothing
    pipeline._reader = _MadeUpReader(limbs, severity)
    return pipeline


class _WithoutNetworks(HandFootScoring):
    """The pipeline, but for its networks."""

    version = VERSION

    @property
    def model(self) -> Model:
        return made_up_model(self.name, SERIES_BASE)


class _MadeUpReader(Reader):
    """What reads the simulated pictures, one after another, in place of the networks.

    Parameters
    ----------
    limbs
        Part and side of each picture, in the order in which they are read.
    severity
        Factor on all grades.
    """

    def __init__(self, limbs: Iterable[tuple[Part, Side]], severity: float) -> None:
        self._limbs, self._severity = iter(limbs), severity
        calibration = GradeCalibration({"alone": CalibrationMap({}, {}, {}, correlation=0.1)})
        self.trained = cast(Trained, SimpleNamespace(calibration=calibration))

    def remarks(self) -> tuple[str, ...]:
        """Nothing is computed."""
        return ()

    def read(self, picture: NDArray[np.float32]) -> PictureReading:
        """The one limb of a picture (H, W)."""
        part, side = next(self._limbs)
        height, width = picture.shape
        places = {name: (x if side == "R" else 1 - x, y) for name, (x, y) in JOINTS[part].items()}
        expected = {name: (x * width - 0.5, y * height - 0.5) for name, (x, y) in places.items()}
        centres = {name: Centre(p, 0.95) for name, p in expected.items() if (part, side, name) not in NOT_SCORED}
        whole = Window(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        sites = np.array(list(JOINTS[part].values()))
        stiff = ShapeModel(part, sites, np.zeros((0, sites.size)), np.zeros(0), 1.0)
        length = REACH[part] * height
        limb = Limb(part, side, 0, whole, centres, expected, length, quality=0.9, strain=0.5, arrangement=stiff)
        cells = {cell: self._grade(cell) for cell in CELLS if (cell.limb, cell.side) == (part, side)}
        reading = LimbReading(limb, cells, 0.02 if part == "hand" else None, too_small=False)
        return PictureReading((reading,), Sight(part, limb.view, 0.95), inverted=False)

    def _grade(self, cell: Cell) -> CellReading:
        reason = NOT_SCORED.get((cell.limb, cell.side, cell.site))
        if reason is not None:
            return NotScored(reason)
        generator = np.random.default_rng([CELLS.index(cell)])
        grade = self._severity * min(float(generator.gamma(0.6, 1.2)), float(cell.maximum))
        distance = np.arange(cell.maximum + 1) - grade
        weights = np.exp(-0.5 * (distance / 0.45) ** 2)
        return Scored(tuple((weights / weights.sum()).tolist()))

    def attention(self, picture: NDArray[np.float32], limb: Limb, site: str, kind: Kind) -> NDArray[np.float32]:
        """A spot at a joint, (H, W) in 0..1."""
        rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
        x, y = limb.centres[site].point
        width = 0.02 * limb.length
        spot = np.exp(-0.5 * (((columns - x) / width) ** 2 + ((rows - y) / (0.7 * width)) ** 2))
        return np.asarray(spot, np.float32)
