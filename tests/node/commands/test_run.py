"""`condyle run` as a researcher meets it: the files that come of it, the words, the exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from rich.console import Console

from dicom_sr import phantoms
from dicom_sr.words import escaped
from node.commands import run as command
from node.local.apart import run_here
from pipelines import registry
from tests.command_line import Condyle
from tests.factories import knee_study
from tests.node.local import odd_pipelines
from tests.node.local.odd_pipelines import PRINTED
from tests.node.local.test_record import DOE, record
from tests.privileges import held_to_permissions

Run = Callable[..., tuple[int, str, str]]
TRICUBIC = ("--settings", "method=tricubic", "--settings", "spacing=2.0")


@pytest.fixture
def run_in_processes(
    condyle: Condyle, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """Calls `condyle run`: exit code, standard output and standard error. Its jobs are in processes of their own."""
    odd_pipelines.declare(site := tmp_path_factory.mktemp("site"))
    monkeypatch.syspath_prepend(str(site))  # a process that this one starts has the same path
    registry._entry_points.cache_clear()
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> tuple[int, str, str]:
        ended = condyle("run", *arguments)
        return ended.returncode, ended.stdout, ended.stderr

    yield call
    registry._entry_points.cache_clear()


@pytest.fixture
def run(run_in_processes: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same, with the jobs in this process, where everything is imported already."""
    monkeypatch.setattr(command, "run_apart", run_here)
    return run_in_processes


def summaries(out: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(out.glob("*/summary.json"))]


def place(ds: Dataset) -> list[float]:
    """ImagePositionPatient, to a hundredth of a millimetre."""
    return [round(float(value), 2) for value in ds.ImagePositionPatient]


def test_a_study_becomes_a_folder_of_objects_pictures_and_numbers(tmp_path: Path, run: Run) -> None:
    study = knee_study(tmp_path / "in", (8, 24, 20))
    out = tmp_path / "Ergebnisse für 膝"
    arguments = ("knee_super_resolution", tmp_path / "in", "--out", out, "--nifti", "--preview", *TRICUBIC)
    code, told, complaints = run(*arguments)
    assert (code, complaints) == (0, "")
    assert "done" in told
    assert f"1 of 1 job done; results in {out}" in told
    (summary,) = summaries(out)
    assert str(summary["folder"]) in told
    assert summary["sop_instance_uids"] == [instance.sop_instance_uid for instance in study.instances]
    settings: Any = summary["settings"]
    assert (summary["state"], settings["method"], settings["spacing"]) == ("done", "tricubic", 2.0)
    assert settings["profile"] == "gaussian"  # what was not named is there too
    folder = out / str(summary["folder"])
    kinds = {item["kind"] for item in summary["objects"]}  # type: ignore[attr-defined]
    assert kinds >= {"derived_series", "secondary_capture", "report"}
    for name in summary["captures"]:  # type: ignore[attr-defined]
        with Image.open(folder / name) as picture:
            assert picture.mode == "RGB"
    (name,) = (name for name in summary["nifti"] if "uncertainty" not in name)  # type: ignore[attr-defined]
    volume: Any = nibabel.load(folder / name)
    derived = {place(ds)[0]: ds for ds in map(dcmread, (folder / "objects").glob("derived-*.dcm"))}  # by x: sagittal
    assert volume.shape == (20, 24, len(derived))
    for index in range(volume.shape[2]):  # each slice lies where DICOM has it, and shows the same
        found = (volume.affine @ [0, 0, index, 1])[:3] * [-1, -1, 1]
        ds = derived[round(found[0], 2)]
        assert np.allclose(found, place(ds), atol=1e-2)
        assert np.allclose(np.clip(volume.get_fdata()[:, :, index].T, 0, None), ds.pixel_array, atol=1)
    assert (out / "index.html").exists()


def test_json_is_a_list_of_the_summaries_and_nothing_else_is_printed(tmp_path: Path, run_in_processes: Run) -> None:
    for name in ("1", "2"):
        knee_study(tmp_path / "in" / name, person=phantoms.Person(f"SIM-{name}"))
    code, told, complaints = run_in_processes(
        "odd", tmp_path / "in", "--out", tmp_path / "out", "--json", "--settings", "behaviour=print"
    )
    assert code == 0
    assert json.loads(told) == sorted(summaries(tmp_path / "out"), key=lambda one: json.loads(told).index(one))
    assert len(json.loads(told)) == 2
    assert complaints.count(PRINTED) == 4


def test_one_bad_study_stops_no_other_and_shows_in_the_exit_code(tmp_path: Path, run: Run) -> None:
    knee_study(tmp_path / "in" / "small", person=phantoms.Person("SIM-1"))
    knee_study(tmp_path / "in" / "large", (12, 24, 20), person=phantoms.Person("SIM-2"))
    code, told, _ = run("odd", tmp_path / "in", "--out", tmp_path / "out", "--settings", "behaviour=need_ten")
    assert code == 1
    assert "1 of 2 jobs done" in told
    assert "needs ten images" in told
    assert sorted(str(one["state"]) for one in summaries(tmp_path / "out")) == ["done", "unsuitable"]


def test_a_failure_leaves_a_traceback_for_whoever_wrote_the_pipeline(tmp_path: Path, run: Run) -> None:
    knee_study(tmp_path / "in")
    code, told, _ = run("odd", tmp_path / "in", "--out", tmp_path / "out", "--settings", "behaviour=raise")
    assert code == 1
    assert "the pipeline broke while it ran (ValueError)" in told
    (traceback,) = (tmp_path / "out").glob("*/traceback.txt")
    assert "odd_pipelines.py" in traceback.read_text()
    assert "Simulated" not in traceback.read_text()


@pytest.mark.parametrize("named", [True, False])
def test_what_is_no_dicom_is_named_and_counts_where_it_was_named(tmp_path: Path, run: Run, named: bool) -> None:
    knee_study(tmp_path / "in")
    (tmp_path / "in" / "notes.txt").write_bytes(b"")
    paths = [tmp_path / "in", tmp_path / "in" / "notes.txt"] if named else [tmp_path / "in"]
    code, _, complaints = run("odd", *paths, "--out", tmp_path / "out")
    assert code == int(named)
    assert complaints == f"left out: {tmp_path}/in/notes.txt is no DICOM instance: it has no SOPInstanceUID\n"


def test_a_folder_without_images_is_exit_code_1_and_makes_nothing(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    code, told, complaints = run("odd", tmp_path / "in", "--out", tmp_path / "out")
    assert (code, told) == (1, "")
    assert complaints == f"{tmp_path}/in: no images found that a pipeline can be run on\n"
    assert run("odd", tmp_path / "in", "--out", tmp_path / "out", "--json")[:2] == (1, "[]\n")
    assert not (tmp_path / "out").exists()


def test_earlier_results_are_not_replaced_without_being_asked(tmp_path: Path, run: Run) -> None:
    knee_study(tmp_path / "in")
    arguments = ("odd", tmp_path / "in", "--out", tmp_path / "out")
    assert run(*arguments)[0] == 0
    (before,) = (tmp_path / "out").glob("*/summary.json")
    written = before.stat().st_mtime_ns
    code, told, complaints = run(*arguments, "--settings", "threshold=3")
    assert (code, told) == (2, "")
    assert "holds earlier results of these images" in complaints
    assert "--overwrite replaces them" in complaints
    assert before.stat().st_mtime_ns == written
    assert run(*arguments, "--settings", "threshold=3", "--overwrite")[0] == 0
    (summary,) = summaries(tmp_path / "out")
    assert summary["settings"] == {"behaviour": "find", "threshold": 3.0}


def test_results_in_a_folder_of_the_images_are_not_read_the_next_time(tmp_path: Path, run: Run) -> None:
    knee_study(tmp_path / "in")
    arguments = ("odd", tmp_path / "in", "--out", tmp_path / "in" / "out")
    assert run(*arguments)[0] == 0
    code, told, complaints = run(*arguments, "--overwrite")
    assert code == 0
    assert "1 of 1 job done" in told
    assert complaints == f"left out: {tmp_path}/in/out is the folder of the results, and nothing in it is read\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nee", "IN", "--out", "OUT"], "no pipeline is called 'nee'; installed:"),
        (["knee_super_resolutoin", "IN", "--out", "OUT"], "did you mean 'knee_super_resolution'?"),
        (["odd", "IN"], "Missing option '--out'"),
        (["odd", "--out", "OUT"], "Missing argument 'PATH"),
        (["odd", "", "--out", "OUT"], "is empty; should be the path of a file or folder"),
        (["odd", "none", "--out", "OUT"], "'none' does not exist"),
        (["odd", "1.2.3", "--out", "OUT"], "condyle jobs start PIPELINE 1.2.3"),
        (["odd", "IN", "--out", "IN"], "lies in it; name another folder"),
        (["odd", "IN/mr-4-0001.dcm", "--out", "IN"], "lies in it; name another folder"),
        (["odd", "IN", "--out", "FILE"], "is a file; should be a folder"),
        (["odd", "IN", "--out", "FILE/out"], "cannot be written: Not a directory"),
        (["odd", "IN", "--out", "OUT", "--settings", "behaviour"], "'behaviour': should be KEY=VALUE"),
        (["odd", "IN", "--out", "OUT", "--settings", "threshhold=3"], "did you mean 'threshold'"),
        (["odd", "IN", "--out", "OUT", "--settings", "threshold=[3"], "cannot be read as a value of config.yaml"),
        (["odd", "IN", "--out", "OUT", "--settings", "behaviour=sing"], "--settings behaviour: should be"),
        (["knee_super_resolution", "IN", "--out", "OUT", "--settings", "bundle=none"], "cannot be used: /"),
        (["hand_foot_scoring", "IN", "--out", "OUT", "--settings", "bundle=none"], "--settings bundle: /"),
        (["odd", "IN", "--out", "OUT", "--device", "cuda:99"], "--device: cuda:99: is not on this machine"),
        (["odd", "IN", "--out", "OUT", "--device", "gpu"], "--device: 'gpu': should be auto, cpu, cuda or cuda:N"),
        (["odd", "IN", "--out", "OUT", "--as", "MR"], "'MR' is not one of 'DX'"),
        (["knee_oa_risk", "IN", "--out", "OUT", "--record", "FILE"], "--record: file: the file begins neither as FHIR"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_exit_code_2_and_told_in_words(
    tmp_path: Path, run_in_processes: Run, arguments: list[str], told: str
) -> None:
    knee_study(tmp_path / "in")
    (tmp_path / "file").write_text("a file")
    places = {"IN": "in", "OUT": "out", "FILE": "file"}
    given = [
        str(tmp_path.joinpath(places[first], *rest)) if (first := text.split("/")[0]) in places else text
        for text in arguments
        for rest in [text.split("/")[1:]]
    ]
    code, printed, complaints = run_in_processes(*given)
    assert (code, printed) == (2, "")
    assert told in " ".join(complaints.replace("│", " ").split())
    assert "Traceback" not in complaints
    assert not list(tmp_path.glob("out/*"))


def test_a_folder_that_may_not_be_written_is_said_before_anything_runs(tmp_path: Path, run: Run) -> None:
    knee_study(tmp_path / "in")
    (tmp_path / "shut").mkdir(mode=0o500)
    with held_to_permissions():
        code, _, complaints = run("odd", tmp_path / "in", "--out", tmp_path / "shut" / "out")
    assert code == 2
    assert complaints == f"--out: {tmp_path}/shut/out: cannot be written: Permission denied\n"


def test_a_picture_is_a_radiograph_if_it_is_called_one(tmp_path: Path, run: Run) -> None:
    header = phantoms.study_header(phantoms.Person(), "picture", "PICTURE")
    film = phantoms.write_radiograph(tmp_path / "film", header, phantoms.hand(side="L"), "HAND", "L", 1)
    grey = dcmread(film).pixel_array / 4095 * 255
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "left hand.png")
    code, told, complaints = run("hand_foot_scoring", tmp_path / "left hand.png", "--out", tmp_path / "out")
    assert (code, told) == (1, "")
    assert "left hand.png is a picture, not DICOM; --as DX takes it for a radiograph" in complaints
    run("hand_foot_scoring", tmp_path / "left hand.png", "--out", tmp_path / "out", "--as", "DX")
    (summary,) = summaries(tmp_path / "out")
    assert summary["pictures"] == [{"file": "left hand.png", "format": "PNG"}]
    assert summary["about"] == "left hand.png"


def test_a_risk_is_run_with_the_record_that_is_given(tmp_path: Path, run: Run) -> None:
    knee_study(tmp_path / "in", person=DOE)
    arguments = ("knee_oa_risk", tmp_path / "in", "--out", tmp_path / "out")
    assert run(*arguments)[0] == 1
    (summary,) = summaries(tmp_path / "out")
    assert "none was given (--record FILE" in str(summary["reason"])
    code, told, complaints = run(*arguments, "--record", record(tmp_path), "--overwrite")
    (summary,) = summaries(tmp_path / "out")
    assert "knee osteoarthritis" in str(summary["reason"])  # the record has it already
    assert (code, complaints) == (1, "")
    assert "4711" not in told


def test_on_a_terminal_a_bar_shows_how_far_it_is(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    knee_study(tmp_path / "in")

    def terminal(*, error: bool = False) -> Console:
        return Console(stderr=error, force_terminal=error, width=100)

    monkeypatch.setattr(command, "console", terminal)
    code, told, complaints = run("odd", tmp_path / "in", "--out", tmp_path / "out", "--json")
    assert code == 0
    assert "odd" in complaints
    assert "━" in complaints
    json.loads(told)


def test_no_header_or_name_moves_the_cursor(tmp_path: Path, run: Run) -> None:
    knee_study(tmp_path / "in")
    (tmp_path / "in" / "x\x1b[2J\u202e.txt").write_bytes(b"")
    _, told, complaints = run("odd", tmp_path / "in", "--out", tmp_path / "out\x1b[2J")
    assert escaped(told + complaints, keep="\n") == told + complaints


def test_a_run_needs_neither_database_nor_job_engine_nor_the_libraries_of_a_node(tmp_path: Path) -> None:
    knee_study(tmp_path / "in")
    program = (
        "import sys\n"
        "import condyle\n"
        "result = condyle.load('knee_super_resolution', method='tricubic', spacing=2.0)(sys.argv[1])\n"
        "result.save(sys.argv[2], nifti=True)\n"
        "print('STATE', result.state)\n"
        "heavy = {'dbos', 'sqlalchemy', 'pynetdicom', 'starlette', 'httpx'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "in", tmp_path / "out"], capture_output=True, text=True, timeout=120
    )
    assert ended.stdout == "STATE done\nHEAVY []\n", ended.stderr


def test_a_pipeline_that_ends_its_process_costs_one_job(tmp_path: Path, run_in_processes: Run) -> None:
    header = phantoms.study_header(phantoms.Person(), "three", "THREE")
    for number, slices in ((1, 12), (2, 6), (3, 12)):
        phantoms.write_knee_mr(tmp_path / "in" / str(number), header, (slices, 24, 20), number=number)
    code, told, _ = run_in_processes("odd", tmp_path / "in", "--out", tmp_path / "out", "--settings", "behaviour=die")
    assert code == 1
    assert "2 of 3 jobs done" in told
    states = {len(one["sop_instance_uids"]): (one["state"], one["reason"]) for one in summaries(tmp_path / "out")}  # type: ignore[arg-type]
    assert states == {6: ("failed", "the pipeline ended its process (SIGSEGV)"), 12: ("done", "")}


def test_what_is_broken_off_leaves_the_results_that_were_whole_and_nothing_temporary(
    tmp_path: Path, run_in_processes: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    header = phantoms.study_header(phantoms.Person(), "two", "TWO")
    for number, slices in ((1, 12), (2, 6)):
        phantoms.write_knee_mr(tmp_path / "in" / str(number), header, (slices, 24, 20), number=number)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    try:
        code, _, complaints = run_in_processes(
            "odd", tmp_path / "in", "--out", tmp_path / "out", "--settings", "behaviour=stop"
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert code not in (0, 2)
    assert "Traceback" not in complaints
    (summary,) = summaries(tmp_path / "out")
    assert (summary["state"], len(summary["sop_instance_uids"])) == ("done", 12)  # type: ignore[arg-type]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [summary["folder"]]
    assert list((tmp_path / "temporary").iterdir()) == []
