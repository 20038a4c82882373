"""`import condyle`: a pipeline on files from Python, and from a notebook."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import condyle
from tests.factories import knee_study

ROOT = Path(__file__).resolve().parents[1]


def test_a_pipeline_is_loaded_and_called_with_a_folder(tmp_path: Path) -> None:
    knee_study(tmp_path / "in")
    result = condyle.load("knee_super_resolution", method="tricubic", spacing=2.0)(tmp_path / "in")
    assert (result.state, result.reason) == ("done", "")
    assert result.summary["settings"]["spacing"] == 2.0
    assert len(result.captures) > 0
    (volume,) = result.volumes
    assert volume.array.ndim == 3
    assert np.linalg.norm(volume.affine[:3, 0]) == pytest.approx(2.0)
    assert {row["tracking_id"] for row in result.measurement_rows} == set(result.summary["findings"])
    result.save(tmp_path / "out", nifti=True)
    assert list((tmp_path / "out").glob("*/nifti/*.nii.gz"))


def test_what_is_wrong_is_said_when_the_pipeline_is_loaded() -> None:
    with pytest.raises(condyle.UnknownPipeline, match=r"called 'nee'; installed: .*knee_super_resolution"):
        condyle.load("nee")
    with pytest.raises(ValidationError, match="spacin"):
        condyle.load("knee_super_resolution", spacin=2)
    with pytest.raises(condyle.NoSuchDevice):
        condyle.load("knee_super_resolution", device="gpu")
    with pytest.raises(ValueError, match=r"nowhere: holds no configs/metadata\.json"):
        condyle.load("knee_super_resolution", bundle="nowhere")
    with pytest.raises(condyle.BundleError, match="the setting sha256 asks for 000"):
        condyle.load("knee_super_resolution", sha256="0" * 64)


def test_a_bundle_is_looked_for_where_the_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "pipelines" / "hand_foot_scoring")
    condyle.load("hand_foot_scoring", bundle="bundle")
    with pytest.raises(ValidationError, match=f"{ROOT}/pipelines/hand_foot_scoring/own is not a folder"):
        condyle.load("hand_foot_scoring", bundle="own")


def test_the_import_brings_in_no_model_library_and_no_database() -> None:
    program = (
        "import sys, condyle\n"
        "condyle.load('knee_super_resolution')\n"
        "heavy = {'torch', 'monai', 'SimpleITK', 'highdicom', 'dbos', 'sqlalchemy', 'pandas', 'matplotlib', 'httpx'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "HEAVY []\n", ended.stderr


def test_the_module_only_names_what_others_hold_and_nothing_imports_it() -> None:
    tree = ast.parse((ROOT / "condyle" / "__init__.py").read_text(encoding="utf-8"))
    origins = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {origin.partition(".")[0] for origin in origins} == {"node", "pipelines"}
    assert set(condyle.__all__) <= set(vars(condyle))
    for package in ("node", "pipelines", "dicom_sr"):
        for path in (ROOT / package).rglob("*.py"):
            imports = (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Import))
            assert "condyle" not in {alias.name for node in imports for alias in node.names}, path


def test_every_pipeline_can_be_loaded_by_the_names_that_are_listed() -> None:
    assert len(condyle.pipelines_installed()) >= 4
    for name in condyle.pipelines_installed():
        assert repr(condyle.load(name)) == f"LocalPipeline({name!r})"
