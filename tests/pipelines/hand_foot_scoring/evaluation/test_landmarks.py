"""The landmark layouts, and the yardstick: real hands that no network was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pipelines.hand_foot_scoring import BUNDLE, SHAPE, weights
from pipelines.hand_foot_scoring.evaluation import evaluate
from pipelines.hand_foot_scoring.evaluation.landmarks import RSNA_SITES, Labelled, measure, read, summarise
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.shape import load_shapes


def rsna_folder(folder: Path) -> Path:
    names = list(RSNA_SITES)
    points = {name: (10.0 * n, 5.0 * n) for n, name in enumerate(names)}
    head = ",".join(["img_id", *(f"{n}_x" for n in names), *(f"{n}_y" for n in names)])
    values = [*(str(points[n][0]) for n in names), *(str(points[n][1]) for n in names)]
    (folder / "coord_list.csv").write_text(
        "\n".join([head, ",".join(["a.png", *values]), ",".join(["gone.png", *values])]) + "\n"
    )
    Pillow.fromarray(np.zeros((40, 30), np.uint8)).save(folder / "a.png")
    return folder


def test_the_table_of_15_joints_is_read_and_a_row_without_picture_is_left_out(tmp_path: Path) -> None:
    (picture,) = read(rsna_folder(tmp_path))
    assert picture.name == "a.png"
    assert picture.image.shape == (40, 30)
    assert len(picture.sites) == 15
    assert picture.sites["MC1B"] == (100.0, 50.0)  # W1, the eleventh column
    assert picture.pixel_mm is None


def test_the_table_of_37_landmarks_is_read_with_millimetres(shared_data: Path) -> None:
    pictures = {p.name: p for p in read(shared_data / "xray" / "hand-landmarks-dha")}
    assert set(pictures) == {"3229", "5245", "7088"}
    first = pictures["3229"]
    assert first.sites["MCP3"] == (544.0, 1078.0)
    assert first.sites["MULTNAV"] == ((636 + 690) / 2, (1869 + 1913) / 2)
    assert first.pixel_mm == pytest.approx(0.125876)
    assert first.hand_length == pytest.approx(np.hypot(584 - 423, 124 - 2084))


def test_a_folder_without_a_table_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither"):
        list(read(tmp_path))


def test_where_no_hand_is_found_every_site_counts_as_missed(tmp_path: Path) -> None:
    (picture,) = read(rsna_folder(tmp_path))
    rows = measure(picture, ())
    assert {row.site for row in rows} == set(picture.sites)
    assert not any(row.found for row in rows)
    assert summarise(rows).within_4_percent == 0


def test_the_median_is_of_the_found_and_the_share_of_all() -> None:
    from pipelines.hand_foot_scoring.evaluation.landmarks import Row

    rows = [Row("a", str(n), True, n, None, n / 100) for n in range(1, 6)] + [Row("a", "x", False, None, None, None)]
    summary = summarise(rows)
    assert summary.median == 0.03
    assert summary.within_4_percent == pytest.approx(4 / 6)


def test_real_hands_are_found_by_the_command_as_the_yardstick_asks(
    networks: None, shared_data: Path, tmp_path: Path
) -> None:
    rows = []
    for name in ("hand-joints-rsna", "hand-landmarks-dha"):
        out = tmp_path / f"{name}.json"
        folder = shared_data / "xray" / name
        assert (
            evaluate.main(["--data", str(folder), "--layout", "landmarks", "--json", str(out), "--threads", "2"]) == 0
        )
        rows += json.loads(out.read_text())
    keys = {"picture", "site", "found", "error_px", "error_mm", "error_hand_length"}
    assert all(set(row) == keys for row in rows)
    assert len(rows) == 8 * 15 + 3 * 19
    errors = [row["error_hand_length"] for row in rows if row["found"]]
    assert sum(error <= 0.04 for error in errors) >= 0.9 * len(rows)
    assert np.median(errors) <= 0.02


def test_a_label_that_lies_elsewhere_is_not_found_by_looking_at_it(networks: None, shared_data: Path) -> None:
    """The measurement would notice a localiser that is wrong: labels moved by a tenth of the hand are all missed."""
    picture = next(iter(read(shared_data / "xray" / "hand-landmarks-dha")))
    moved = {site: (x + 0.1 * picture.hand_length, y) for site, (x, y) in picture.sites.items()}
    wrong = Labelled(picture.name, picture.image, moved, picture.hand_length, picture.pixel_mm)
    rows = measure(wrong, Finder(weights.load_localiser(), load_shapes(BUNDLE / SHAPE)).find(picture.image))
    assert summarise(rows).within_4_percent < 0.2
