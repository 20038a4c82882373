"""The landmark layouts, and the yardstick: real hands that no network was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pipelines.hand_foot_scoring import BUNDLE, SHAPE, weights
from pipelines.hand_foot_scoring.centres import Centre
from pipelines.hand_foot_scoring.evaluation import evaluate
from pipelines.hand_foot_scoring.evaluation.landmarks import SCORED_VIEWS, measure, read_marked, summarise
from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.shape import load_shapes
from pipelines.hand_foot_scoring.simulation.marked import MarkedPicture, marked
from pipelines.hand_foot_scoring.sites import FOOT_SITES, Part
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.landmark_tables import RSNA_SITES, Labelled, labelled
from pipelines.hand_foot_scoring.windows import Window


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


def limb(part: Part, sites: Mapping[str, tuple[float, float]]) -> Limb:
    """A left limb that was found with its sites in given places."""
    centres = {site: Centre(point, 1.0) for site, point in sites.items()}
    window = Window(np.eye(2, 3))
    return Limb(part, "L", 0, window, centres, sites, 100.0, 1.0, 0.0, load_shapes(BUNDLE / SHAPE)[part])


def test_the_table_of_15_joints_is_read_and_a_row_without_picture_is_left_out(tmp_path: Path) -> None:
    (picture,) = labelled(rsna_folder(tmp_path))
    assert picture.name == "a.png"
    assert picture.image.shape == (40, 30)
    assert len(picture.sites) == 15
    assert picture.sites["MC1B"] == (100.0, 50.0)  # W1, the eleventh column
    assert picture.pixel_mm is None


def test_the_table_of_37_landmarks_is_read_with_millimetres(shared_data: Path) -> None:
    pictures = {p.name: p for p in labelled(shared_data / "xray" / "hand-landmarks-dha")}
    assert set(pictures) == {"3229", "5245", "7088"}
    first = pictures["3229"]
    assert first.sites["MCP3"] == (544.0, 1078.0)
    assert first.sites["MULTNAV"] == ((636 + 690) / 2, (1869 + 1913) / 2)
    assert first.pixel_mm == pytest.approx(0.125876)
    assert first.length == pytest.approx(np.hypot(584 - 423, 124 - 2084))


def test_a_folder_without_a_table_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match="neither"):
        list(labelled(tmp_path))


def test_marked_pictures_below_a_folder_are_read_with_the_sites_that_are_scored(shared_data: Path) -> None:
    pictures = {p.name: p for p in read_marked(shared_data / "xray" / "limbs-adult-commons")}
    assert set(pictures) == {"haggstrom_hand_pa.jpg", "haggstrom_foot_dp.jpg", "braegelmann_ra_hand_severe_pa.jpg"}
    foot = pictures["haggstrom_foot_dp.jpg"]
    assert (foot.part, foot.use) == ("foot", "training")
    assert set(foot.sites) == set(FOOT_SITES)  # and not the other joints of the toes, which are marked as well
    assert pictures["braegelmann_ra_hand_severe_pa.jpg"].use == "measuring"


@pytest.mark.parametrize("marks", marked(), ids=lambda marks: marks.name)
def test_every_marked_picture_that_can_be_measured_has_a_length(marks: MarkedPicture) -> None:
    assert marks.length is not None or marks.view not in SCORED_VIEWS


def test_marked_pictures_are_measured_one_by_one_and_by_foot_and_hand(
    networks: None,
    shared_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")  # of the table
    for name in (
        "limbs-adult-commons/haggstrom_foot_dp.jpg",
        "limbs-adult-commons-sharealike/hellerhoff_boxer_hand_pa.png",
    ):
        (tmp_path / Path(name).name).write_bytes((shared_data / "xray" / name).read_bytes())
    out = tmp_path / "rows.json"
    assert evaluate.main(["--data", str(tmp_path), "--layout", "landmarks", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert {(row["part"], row["use"]) for row in rows} == {("foot", "training"), ("hand", "measuring")}
    assert len(rows) == 6 + 22
    assert {row["limb"] for row in rows if row["part"] == "hand"} == {"R hand"}
    lines = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert [[cell.strip() for cell in line[1:4]] for line in lines] == [
        ["haggstrom_foot_dp.jpg", "training", "R foot"],
        ["hellerhoff_boxer_hand_pa.png", "measuring", "R hand"],
        ["all", "training", "foot"],
        ["all", "measuring", "hand"],
    ]


def test_a_picture_that_only_has_the_name_of_a_marked_one_ends_the_command_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], networks: None
) -> None:
    (tmp_path / "haggstrom_hand_pa.jpg").write_bytes(b"another")
    assert evaluate.main(["--data", str(tmp_path), "--layout", "landmarks"]) == 1
    assert "is not the picture that was marked" in " ".join(capsys.readouterr().out.split())


def test_a_foot_is_measured_against_a_foot(tmp_path: Path) -> None:
    (picture,) = labelled(rsna_folder(tmp_path))
    foot = replace(picture, part="foot")
    hand = limb("hand", picture.sites)
    assert {row.limb for row in measure(foot, (hand,))} == {None}
    rows = measure(foot, (hand, limb("foot", picture.sites)))
    assert {row.limb for row in rows} == {"L foot"}
    assert {row.error_px for row in rows if row.found} == {0.0}


def test_where_no_hand_is_found_every_site_counts_as_missed(tmp_path: Path) -> None:
    (picture,) = labelled(rsna_folder(tmp_path))
    rows = measure(picture, ())
    assert {row.site for row in rows} == set(picture.sites)
    assert not any(row.found for row in rows)
    assert summarise(rows).within_4_percent == 0


def test_the_median_is_of_the_found_and_the_share_of_all() -> None:
    from pipelines.hand_foot_scoring.evaluation.landmarks import Row

    missed = Row("a", "hand", "measuring", "L hand", "x", False, None, None, None)
    rows = [missed, *(replace(missed, found=True, error_px=n, error_limb_length=n / 100) for n in range(1, 6))]
    summary = summarise(rows)
    assert summary.median == 0.03
    assert summary.worst == 0.05
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
    keys = {"picture", "part", "use", "limb", "site", "found", "error_px", "error_mm", "error_limb_length"}
    assert all(set(row) == keys for row in rows)
    assert len(rows) == 8 * 15 + 3 * 19
    errors = [row["error_limb_length"] for row in rows if row["found"]]
    assert sum(error <= 0.04 for error in errors) >= 0.9 * len(rows)
    assert np.median(errors) <= 0.02


def test_a_label_that_lies_elsewhere_is_not_found_by_looking_at_it(networks: None, shared_data: Path) -> None:
    """The measurement would notice a localiser that is wrong: labels moved by a tenth of the hand are all missed."""
    picture = next(iter(labelled(shared_data / "xray" / "hand-landmarks-dha")))
    moved = {site: (x + 0.1 * picture.length, y) for site, (x, y) in picture.sites.items()}
    wrong = Labelled(picture.name, picture.image, moved, picture.length, picture.pixel_mm)
    rows = measure(wrong, Finder(weights.load_localiser(), load_shapes(BUNDLE / SHAPE)).find(picture.image).limbs)
    assert summarise(rows).within_4_percent < 0.2
