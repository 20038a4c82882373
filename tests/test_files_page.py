"""Every command line and every program of docs/files.md and of README's section on files does what they say."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_sr.words import escaped
from node.commands import run as command
from node.demo import samples
from node.local.apart import run_here
from pipelines.hand_foot_scoring.simulation.sample import film_of, stored
from tests.command_line import Condyle
from tests.needs import missing

ROOT = Path(__file__).resolve().parents[1]
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/files.md")}
COMMANDS = [
    (name, line) for name, text in PAGES.items() for line in re.findall(r"^    condyle (run .+)$", text, re.MULTILINE)
]
PROGRAMS = [(name, block) for name, text in PAGES.items() for block in re.findall(r"(?ms)^```python\n(.*?)^```", text)]
SLICES = 8  # of the knee, in place of 24: done sooner


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages speak of: a knee study, the patient's record, and a picture of a hand."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "study").mkdir()
    samples.write_knee(folder / "study")
    for path in sorted((folder / "study").iterdir())[SLICES:]:
        path.unlink()
    (folder / "record.json").write_text(json.dumps(samples.knee_record()), encoding="utf-8")
    film = stored(film_of("hand", "L", 41, severity=0.6, shape=samples.HAND_SHAPE)).astype(float)
    grey = (film - film.min()) / np.ptp(film) * 255
    Image.fromarray(grey.astype(np.uint8)).save(folder / "hand.png")
    return folder


def test_the_pages_show_commands_and_programs() -> None:
    assert {name for name, _ in COMMANDS} == {name for name, _ in PROGRAMS} == set(PAGES)


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_each_command_of_the_pages_ends_well(
    page: str,
    line: str,
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    condyle: Condyle,
) -> None:
    if page != "README.md":  # its command shows that a process of its own does the same
        monkeypatch.setattr(command, "run_apart", run_here)
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    ended = condyle(*shlex.split(line))
    told = ended.stdout
    assert (ended.returncode, ended.stderr) == (0, ""), told
    (out,) = re.findall(r"--out (\S+)", line)
    (path,) = (tmp_path / out).glob("*/summary.json")
    summary = json.loads(path.read_text())
    assert summary["state"] == "done"
    assert bool(summary["nifti"]) == ("--nifti" in line)
    assert (tmp_path / out / "index.html").exists() == ("--preview" in line)
    if "--json" in line:
        assert json.loads(told) == [summary]
    assert escaped(told, keep="\n") == told


@pytest.mark.parametrize(("page", "program"), PROGRAMS, ids=[name for name, _ in PROGRAMS])
def test_each_program_of_the_pages_runs(
    page: str, program: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "measurements" in program:
        try:
            import pandas  # noqa: F401
        except ImportError:
            missing("pandas is not installed")
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(program, names)
    assert list((tmp_path / "out").glob("*/summary.json"))
