"""Marks of real pictures: what is in the files that ship, and what a wrong one says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from pipelines.hand_foot_scoring.simulation.marked import FOLDER, OtherPicture, marked, marked_parts, read_marks
from pipelines.hand_foot_scoring.sites import SITES

FINGER = [[0, 0], [4, 0], [4, 9], [0, 9]]


def marks(folder: Path, **changes: Any) -> Path:
    """A file of marks with some keys changed, or left out where the value is None."""
    content = {
        "picture": "hand.png",
        "sha256": "0" * 64,
        "licence": "CC0 1.0",
        "author": "nobody",
        "use": "measuring",
        "part": "hand",
        "side": "L",
        "view": "pa",
        "quarter_turns": 0,
        "finding": "healthy",
        "sites": {"MCP2": [12.5, 40]},
        "bones": {"distal phalanx 3": FINGER},
        **changes,
    }
    path = folder / "hand.json"
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return path


def test_a_file_of_marks_is_read(tmp_path: Path) -> None:
    hand = read_marks(marks(tmp_path, tip=[0, 0], radius=[30, 40]))
    assert (hand.part, hand.side, hand.use) == ("hand", "L", "measuring")
    assert hand.sites == {"MCP2": (12.5, 40.0)}
    assert hand.bones["distal phalanx 3"].shape == (4, 2)
    assert hand.length == 50


def test_the_length_of_a_foot_follows_from_its_outlines_where_they_are_marked(tmp_path: Path) -> None:
    navicular = [[x, y + 100] for x, y in FINGER]
    changes = {"part": "foot", "view": "dp", "sites": {}, "bones": {"distal phalanx 1": FINGER, "navicular": navicular}}
    assert read_marks(marks(tmp_path, **changes)).length == pytest.approx(np.hypot(4, 109))
    assert read_marks(marks(tmp_path, **changes, foot_length=120)).length == 120


def test_a_length_that_is_not_marked_is_not_made_up(tmp_path: Path) -> None:
    assert read_marks(marks(tmp_path)).length is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sha256": None}, 'hand.json: the key "sha256" is missing'),
        ({"bone": {}}, 'hand.json: the key "bone" is unknown'),
        ({"use": "fun"}, 'hand.json: use must be one of "training", "measuring", not \'fun\''),
        ({"quarter_turns": 90}, "hand.json: quarter_turns must be 0 to 3, not 90"),
        ({"author": ""}, "hand.json: author must be a text, not ''"),
        ({"sites": {"MTP1": [1, 2]}}, 'hand.json: sites: a hand has no site "MTP1"'),
        ({"sites": {"MCP2": [1]}}, r"hand.json: sites: MCP2: a point is \[column, row\], not \[1\]"),
        ({"bones": {"thumb": FINGER}}, 'hand.json: bones: a hand has no bone "thumb"'),
        ({"bones": {"ulna": FINGER[:2]}}, "hand.json: bones: ulna: an outline has at least three points, not 2"),
        ({"hand_length": -1}, "hand.json: hand_length must be a number of pixels, not -1"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_marks(marks(tmp_path, **changes))


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "hand.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"hand\.json is not JSON"):
        read_marks(path)


def test_a_picture_is_found_below_a_folder_by_its_name_and_its_bytes(tmp_path: Path) -> None:
    place = tmp_path / "films" / "hand.png"
    place.parent.mkdir()
    Pillow.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(place)
    hand = read_marks(marks(tmp_path, sha256=hashlib.sha256(place.read_bytes()).hexdigest()))
    assert hand.picture(tmp_path) == place
    image = hand.read(tmp_path)
    assert image is not None
    assert image.shape == (3, 4)
    assert image[2, 3] == 11
    place.unlink()
    assert hand.picture(tmp_path) is None


def test_another_picture_of_the_same_name_is_not_taken_for_the_marked_one(tmp_path: Path) -> None:
    hand = read_marks(marks(tmp_path))
    (tmp_path / "hand.png").write_bytes(b"another")
    with pytest.raises(OtherPicture, match=r"hand\.png is not the picture that was marked"):
        hand.picture(tmp_path)


def test_the_marks_that_ship_can_be_read_and_say_what_they_may_serve_for() -> None:
    everything = marked()
    assert len(everything) == len(list(FOLDER.glob("*.json"))) > 0
    assert len(marked("training")) + len(marked("measuring")) == len(everything)
    assert not {picture.name for picture in marked("training")} & {picture.name for picture in marked("measuring")}


@pytest.mark.parametrize("picture", marked(), ids=lambda picture: picture.name)
def test_the_marks_that_ship_lie_on_their_picture(picture: Any, shared_data: Path) -> None:
    image = picture.read(shared_data / "xray")
    assert image is not None
    height, width = image.shape
    points = np.array([*picture.sites.values(), *(point for outline in picture.bones.values() for point in outline)])
    assert (points >= -1).all()
    assert (points <= (width, height)).all()


@pytest.mark.parametrize("picture", marked("training"), ids=lambda picture: picture.name)
def test_only_pictures_whose_licence_allows_it_are_marked_for_training(picture: Any) -> None:
    assert picture.licence.startswith(("CC0", "CC BY 4.0", "CC BY 3.0"))
    if picture.view in ("pa", "dp"):
        assert set(picture.sites) >= set(SITES[picture.part])


def test_a_part_of_a_limb_is_for_training_and_is_not_among_the_limbs() -> None:
    parts = marked_parts()
    assert parts
    for part in parts:
        assert part.use == "training"
        assert part.name not in {limb.name for limb in marked()}
        assert part.bones


def test_what_does_not_belong_to_the_limb_is_marked_too(tmp_path: Path) -> None:
    assert [outline.shape for outline in read_marks(marks(tmp_path, covered=[FINGER])).covered] == [(4, 2)]
    assert read_marks(marks(tmp_path)).covered == ()
