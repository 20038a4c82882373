"""Annotation files in the format of COCO."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.hand_foot_scoring.training.data import coco
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData


def compressed(counts: list[int]) -> str:
    """Run lengths as text, written from the description of the format: 5 bits a character, a sixth for more."""
    text = ""
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        while True:
            bits, value = value & 0x1F, value >> 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr((bits | (0x20 if more else 0)) + 48)
            if not more:
                break
    return text


@pytest.mark.parametrize("seed", range(5))
def test_masks_come_back_from_run_lengths_and_from_their_text(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.repeat(np.repeat(rng.random((9, 7)) < 0.4, 11, axis=0), 13, axis=1)  # runs of 11 and more, and of 1
    mask[rng.integers(0, 99, 40), rng.integers(0, 91, 40)] ^= True
    runs = coco.encoded(mask)
    assert np.array_equal(coco.decoded(runs["counts"], (99, 91)), mask)
    assert np.array_equal(coco.decoded(compressed(runs["counts"]), (99, 91)), mask)


def test_the_runs_go_down_the_columns() -> None:
    mask = coco.decoded([1, 2, 3], (2, 3))
    assert mask.tolist() == [[False, True, False], [True, False, False]]


def test_run_lengths_that_do_not_fit_the_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="run lengths of 5 pixels for a picture of 2 x 3"):
        coco.decoded([1, 4], (2, 3))
    with pytest.raises(ValueError, match="end within a number"):
        coco.decoded("o", (2, 3))


def coco_file(folder: Path, **changes: object) -> Path:
    whole = {
        "categories": [{"id": 0, "name": "top"}, {"id": 4, "name": "Radius"}],
        "images": [
            {"id": 7, "file_name": "x_bmp.rf.1.jpg", "extra": {"name": "a.bmp"}, "height": 4, "width": 6},
            {"id": 8, "file_name": "b.bmp", "height": 4, "width": 6},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 4, "bbox": [1, 2, 3, 1], "segmentation": [[1, 1, 4, 1, 4, 2, 1, 2]]}
        ],
    }
    path = folder / "a.coco.json"
    path.write_text(json.dumps(whole | changes))
    return path


def test_annotations_are_told_by_picture_with_their_category_their_box_and_their_polygon(tmp_path: Path) -> None:
    found = coco.read(coco_file(tmp_path))
    assert list(found) == ["a.bmp", "b.bmp"]  # the name before an exporting tool changed it
    assert found["b.bmp"] == []
    (one,) = found["a.bmp"]
    assert (one.name, one.box) == ("Radius", (1.0, 2.0, 3.0, 1.0))
    mask = one.mask()
    assert mask.shape == (4, 6)
    assert mask[1, 1]
    assert mask[2, 4]
    assert not mask[0].any()


def test_what_is_not_in_this_format_says_so(tmp_path: Path) -> None:
    path = coco_file(tmp_path)
    path.write_text('{"categories": []}')
    with pytest.raises(UnreadableData, match=r"a\.coco\.json: an entry lacks or names an unknown 'images'"):
        coco.read(path)
    with pytest.raises(UnreadableData, match="names an unknown 9"):
        coco.read(coco_file(tmp_path, annotations=[{"image_id": 9, "category_id": 4}]))
    path.write_text("{")
    with pytest.raises(UnreadableData, match="cannot be read"):
        coco.read(path)
