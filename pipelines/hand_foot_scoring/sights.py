"""What a picture shows as a whole: how likely each part is in each view, and the most likely one in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.network import POSES, VIEWS
from pipelines.hand_foot_scoring.sites import SITES, Part

View = Literal["pa", "dp", "oblique", "lateral"]
MIN_SIGHT = 0.4  # probability below which a hand or a foot that was not found is not named


@dataclass(frozen=True)
class Sight:
    """What a picture shows most probably, as a whole."""

    part: Part | Literal["other"]
    view: View | Literal[""]  # "" of another part
    confidence: float  # probability

    @property
    def words(self) -> str:
        """What it is, as a noun: "a lateral view of a hand"."""
        names = {"pa": "a posteroanterior", "dp": "a dorsoplantar", "oblique": "an oblique", "lateral": "a lateral"}
        return f"{names[self.view]} view of a {self.part}" if self.view else "neither a hand nor a foot"


SIGHTS: tuple[tuple[Part | Literal["other"], View | Literal[""]], ...] = (
    ("hand", "pa"),
    ("foot", "dp"),
    *VIEWS,
    ("other", ""),
)


def of_sights(pose: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Probabilities of `SIGHTS`, from those of the poses."""
    straight = [float(pose[straight_places(part)].sum()) for part in SITES]
    return np.array([*straight, *pose[len(POSES) :]], np.float64)


def straight_places(part: Part) -> list[int]:
    """The poses of a part in the view that is scored."""
    return [index for index, pose in enumerate(POSES) if pose[0] == part]


def view_place(part: Part, view: str) -> int:
    """The place of a part in another view."""
    return len(POSES) + VIEWS.index((part, view))


def part_share(
    part: Part, pose: NDArray[np.floating[Any]], rival: NDArray[np.floating[Any]], odds: float = 1.0
) -> float:
    """Probability of a part against the other one where the picture could show either.

    Parameters
    ----------
    part
        Which one.
    pose
        Probabilities of the poses on the window that stands round a limb of that part.
    rival
        The same on the window that stands round one of the other part.
    odds
        How much more sites speak for the part than for the other one: the few of a foot fit by chance sooner than the
        many of a hand.
    """
    logs = {}
    for one in SITES:
        either = [*straight_places(one), view_place(one, "oblique")]
        logs[one] = np.mean([np.log(seen[either].sum() + 1e-4) for seen in (pose, rival)])
    logs[part] += np.log(odds)
    return float(1 / sum(np.exp(value - logs[part]) for value in logs.values()))


def on_picture(pose: NDArray[np.float32], turns: int, mirrored: bool) -> NDArray[np.float64]:
    """Probabilities of the poses on the picture, from those on a canvas that shows it in an orientation."""
    result = pose.astype(np.float64)
    for index, (part, seen_mirrored, seen_turns) in enumerate(POSES):
        # a limb on a mirrored canvas turns the other way round on the picture
        whole = (turns + (-seen_turns if mirrored else seen_turns)) % 4
        result[POSES.index((part, seen_mirrored != mirrored, whole))] = pose[index]
    return result
