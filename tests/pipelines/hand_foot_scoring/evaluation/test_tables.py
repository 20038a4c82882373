"""The layouts of graded real data, from small folders in their shape."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pipelines.hand_foot_scoring.evaluation import evaluate
from pipelines.hand_foot_scoring.evaluation.tables import read_dream, read_ram
from pipelines.hand_foot_scoring.scoring import CELLS, Cell


def ram_folder(folder: Path) -> Path:
    grades = {"BE_MCP-I": 3, "BE_R": 1, "BE_Tm": 0, "BE_XYZ": 2}
    (folder / "_annotation_be_scores.json").write_text(json.dumps({"0001_L.bmp": grades}))
    (folder / "_annotation_jsn_scores.json").write_text(json.dumps({"0001_L.bmp": {"JSN_PIP-S": 2, "JSN_MCP-T": 4}}))
    crops = folder / "0001_L"
    crops.mkdir()
    rng = np.random.default_rng(0)
    for name in ("MCP-I", "R", "Tm", "PIP-S", "MCP-T"):
        Pillow.fromarray(rng.integers(0, 255, (90, 90), dtype=np.uint8)).save(crops / f"{name}.bmp")
    return folder


def test_ram_h1200_crops_get_their_sites_and_the_unknown_is_counted(tmp_path: Path) -> None:
    crops, left_out = read_ram(ram_folder(tmp_path))
    assert {(c.cell.site, c.cell.kind): c.grade for c in crops} == {
        ("MCP2", "erosion"): 3,
        ("RAD", "erosion"): 1,
        ("MULT", "erosion"): 0,
        ("PIP5", "narrowing"): 2,
        ("MCP1", "narrowing"): 4,
    }
    assert left_out == 1
    assert crops[0].image.shape == (64, 64)


def test_the_command_measures_ram_h1200(networks: None, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    folder = tmp_path / "split"
    folder.mkdir()
    assert evaluate.main(["--data", str(ram_folder(folder)), "--layout", "ram-h1200", "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert figures["erosion"]["count"] == 3
    assert figures["narrowing"]["count"] == 2


def test_ra2_dream_tables_are_read_cell_by_cell(tmp_path: Path) -> None:
    columns = [cell.column for cell in CELLS]
    with (tmp_path / "training.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["Patient_ID", "Overall_Tol", *columns])
        writer.writerow(["UAB001", "9", *("3" if c == "LH_mcp_E__ip" else "0" for c in columns)])
    Pillow.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "UAB001-LH.jpg")
    (patient,) = read_dream(tmp_path)
    assert patient.grades[Cell("L", "hand", "IP1", "erosion")] == 3
    assert len(patient.grades) == 86
    assert set(patient.pictures) == {("L", "hand")}


@pytest.mark.parametrize("layout", ["ram-h1200", "ra2-dream", "landmarks"])
def test_a_folder_of_another_kind_is_an_error_and_not_a_figure(networks: None, tmp_path: Path, layout: str) -> None:
    assert evaluate.main(["--data", str(tmp_path), "--layout", layout]) == 2


def test_data_without_a_layout_is_refused(tmp_path: Path) -> None:
    assert evaluate.main(["--data", str(tmp_path)]) == 2
