"""Real radiographs whose bones and sites were marked by hand. The marks are kept here, the pictures are not.

One JSON file per picture lies in ``marked/``. Its keys: those in `REQUIRED`, and where they help those in `OPTIONAL`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from pipelines.hand_foot_scoring.sites import SITES, Part, Side

Use = Literal["training", "measuring"]
View = Literal["pa", "dp", "oblique", "lateral"]
Point = tuple[float, float]

FOLDER = Path(__file__).parent / "marked"
REQUIRED = (
    "picture",
    "sha256",
    "licence",
    "author",
    "use",
    "part",
    "side",
    "view",
    "quarter_turns",
    "finding",
    "sites",
    "bones",
)
ROOT: Mapping[Part, str] = {"hand": "radius", "foot": "navicular"}  # where a limb's length ends
OPTIONAL = ("tip", *ROOT.values(), "hand_length", "foot_length", "note", "covered")
# Sites of the simulated skeleton that are not scored but may be marked
UNSCORED_SITES: Mapping[Part, tuple[str, ...]] = {
    "hand": tuple(f"DIP{n}" for n in (2, 3, 4, 5)),
    "foot": tuple(f"toe {joint}{n}" for joint in ("PIP", "DIP") for n in (2, 3, 4, 5)),
}
_PHALANGES = (
    *(f"{row} phalanx {n}" for row in ("proximal", "distal") for n in (1, 2, 3, 4, 5)),
    *(f"middle phalanx {n}" for n in (2, 3, 4, 5)),
)
CARPALS = ("capitate", "hamate", "trapezoid", "trapezium", "scaphoid", "lunate", "triquetrum", "pisiform")
TARSALS = (
    *(f"{which} cuneiform" for which in ("medial", "middle", "lateral")),
    "cuboid",
    "navicular",
    "talus",
    "calcaneus",
)
# Names of bones; besides them, names that begin with "sesamoid"
BONES: Mapping[Part, tuple[str, ...]] = {
    "hand": (*(f"metacarpal {n}" for n in (1, 2, 3, 4, 5)), *_PHALANGES, *CARPALS, "radius", "ulna"),
    "foot": (*(f"metatarsal {n}" for n in (1, 2, 3, 4, 5)), *_PHALANGES, *TARSALS, "tibia", "fibula"),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "use": get_args(Use),
    "part": get_args(Part),
    "side": get_args(Side),
    "view": get_args(View),
}


class OtherPicture(ValueError):
    """A picture has the name of a marked one and is another: the marks would lie beside its bones."""


@dataclass(frozen=True, eq=False)
class MarkedPicture:
    """The marks of one picture.

    Points are (column, row) in pixels of the picture as it is stored, the centre of the upper left pixel at (0, 0).
    """

    name: str  # file name of the picture
    sha256: str  # of the picture's file
    licence: str  # of the picture
    author: str  # of the picture
    use: Use  # nothing that is shipped may be trained on or fitted to a picture that is for measuring
    part: Part
    side: Side
    view: View
    quarter_turns: int  # clockwise, 0 to 3; 0 means that fingers or toes point up
    finding: str  # "healthy", "rheumatoid arthritis", ...
    sites: Mapping[str, Point]  # the points that the simulated skeleton has, as far as they can be made out
    bones: Mapping[str, NDArray[np.float64]]  # name to (N, 2) closed outline; empty where only sites are marked
    covered: tuple[NDArray[np.float64], ...]  # outlines (N, 2) of what does not belong to the limb: arrows, fractures
    # Pixels from the bony tip of the middle finger to the middle of the radius's end, or from that of the great toe to
    # the back of the navicular, as in `sites.REACH_MM`; None where these are not marked
    length: float | None

    def picture(self, folder: Path) -> Path | None:
        """The picture's file, looked for by its name anywhere below a folder; None where it is not there.

        Raises
        ------
        OtherPicture
            If files of that name are there but none is the one that was marked.
        """
        paths = sorted(path for path in folder.rglob(self.name) if path.is_file())
        for path in paths:
            if hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256:
                return path
        if paths:
            raise OtherPicture(f"{paths[0]} is not the picture that was marked: its SHA-256 is not {self.sha256}")
        return None

    def read(self, folder: Path) -> NDArray[np.float32] | None:
        """(H, W) grey values, bone bright, 0 to 255; None where the picture is not below the folder.

        Raises
        ------
        OtherPicture
            As `picture`.
        """
        path = self.picture(folder)
        if path is None:
            return None
        with Pillow.open(path) as image:
            return np.asarray(image.convert("L"), np.float32)


def marked(use: Use | None = None) -> tuple[MarkedPicture, ...]:
    """The marked pictures that may serve for a use, or all of them, in the order of their file names."""
    return tuple(picture for picture in _all(FOLDER) if use in (None, picture.use))


def marked_parts() -> tuple[MarkedPicture, ...]:
    """Marked pictures of a part of a limb, such as a wrist: joints to train on, but no limb that could be found."""
    return _all(FOLDER / "parts")


@cache
def _all(folder: Path) -> tuple[MarkedPicture, ...]:
    return tuple(read_marks(path) for path in sorted(folder.glob("*.json")))


def read_marks(path: Path) -> MarkedPicture:
    """The marks in one JSON file.

    Raises
    ------
    ValueError
        If the file is not JSON, a key is missing or unknown, or a value is not of its kind; it names file and key.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    try:
        return _picture(content)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _picture(content: Mapping[str, Any]) -> MarkedPicture:
    if missing := [key for key in REQUIRED if key not in content]:
        raise ValueError(f"the key {_listed(missing)} is missing")
    if unknown := [key for key in content if key not in (*REQUIRED, *OPTIONAL)]:
        raise ValueError(f"the key {_listed(unknown)} is unknown")
    for key in ("picture", "sha256", "licence", "author", "finding"):
        if not isinstance(content[key], str) or not content[key]:
            raise ValueError(f"{key} must be a text, not {content[key]!r}")
    for key, choices in _CHOICES.items():
        if content[key] not in choices:
            raise ValueError(f"{key} must be one of {_listed(choices)}, not {content[key]!r}")
    if content["quarter_turns"] not in range(4):
        raise ValueError(f"quarter_turns must be 0 to 3, not {content['quarter_turns']!r}")
    part: Part = content["part"]
    known = SITES[part] + UNSCORED_SITES[part]
    if strange := [site for site in content["sites"] if site not in known]:
        raise ValueError(f"sites: a {part} has no site {_listed(strange)}")
    if strange := [bone for bone in content["bones"] if bone not in BONES[part] and not bone.startswith("sesamoid")]:
        raise ValueError(f"bones: a {part} has no bone {_listed(strange)}")
    sites = {site: _point(point, f"sites: {site}") for site, point in content["sites"].items()}
    bones = {bone: _outline(points, f"bones: {bone}") for bone, points in content["bones"].items()}
    return MarkedPicture(
        name=content["picture"],
        sha256=content["sha256"],
        licence=content["licence"],
        author=content["author"],
        use=content["use"],
        part=part,
        side=content["side"],
        view=content["view"],
        quarter_turns=content["quarter_turns"],
        finding=content["finding"],
        sites=sites,
        bones=bones,
        covered=tuple(_outline(points, "covered") for points in content.get("covered", [])),
        length=_length(content, bones, part),
    )


def _length(content: Mapping[str, Any], bones: Mapping[str, NDArray[np.float64]], part: Part) -> float | None:
    """As it stands in the file, or between its two points, or for a foot between its outlines' farthest points."""
    stated = content.get(f"{part}_length")
    if stated is not None:
        if isinstance(stated, bool) or not isinstance(stated, int | float) or stated <= 0:
            raise ValueError(f"{part}_length must be a number of pixels, not {stated!r}")
        return float(stated)
    root = ROOT[part]
    if "tip" in content and root in content:
        tip, end = _point(content["tip"], "tip"), _point(content[root], root)
        return float(np.hypot(tip[0] - end[0], tip[1] - end[1]))
    ends = (bones.get("distal phalanx 1"), bones.get("navicular"))
    if part == "foot" and ends[0] is not None and ends[1] is not None:
        return float(np.linalg.norm(ends[0][:, None] - ends[1][None], axis=2).max())
    return None


def _point(value: Any, where: str) -> Point:
    try:
        x, y = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: a point is [column, row], not {value!r}") from error
    if not np.isfinite((x, y)).all():
        raise ValueError(f"{where}: a point is [column, row], not {value!r}")
    return x, y


def _outline(value: Any, where: str) -> NDArray[np.float64]:
    points = [_point(point, where) for point in value]
    if len(points) < 3:
        raise ValueError(f"{where}: an outline has at least three points, not {len(points)}")
    return np.array(points, np.float64)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
