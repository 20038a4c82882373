"""The layouts in which a folder may hold graded films."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

from pipelines.hand_foot_scoring.training.data import landmark_tables, own_table, ra2_dream, ram_h1200
from pipelines.hand_foot_scoring.training.data.graded_films import GradedSet

Layout = Literal["own", "ram-h1200", "ra2-dream", "landmarks"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
HELP = (
    "own: films.csv, a row for each limb on each film; ram-h1200: the set as published, or a part of it; ra2-dream:"
    " training.csv and JPEGs; landmarks: hand-joints-rsna or hand-landmarks-dha, places of joints only"
)
_READ: Mapping[Layout, Callable[[Path], GradedSet]] = {
    "own": own_table.read,
    "ram-h1200": ram_h1200.read,
    "ra2-dream": ra2_dream.read,
    "landmarks": landmark_tables.read,
}


def read(layout: Layout, folder: Path, *, places: bool = True) -> GradedSet:
    """The films of a folder.

    Parameters
    ----------
    layout
        How the folder is laid out.
    folder
        With the films.
    places
        Whether the places of the joints are wanted where finding them takes time.

    Raises
    ------
    UnreadableData
        If the folder is not laid out so, or something in it is not as it should be; the message says where.
    """
    if layout == "ram-h1200":
        return ram_h1200.read(folder, places=places)
    return _READ[layout](folder)
