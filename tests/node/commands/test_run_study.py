"""`condyle run-study` works a list off: studies are fetched from a real archive and run; a second call goes on."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Any

import pytest
import typer

from node.commands.run_study import Pace, pace
from node.demo.orthanc_process import free_port
from tests.command_line import Condyle
from tests.needs import missing
from tests.node.on_demand.fetched import KNEE, archived
from tests.orthanc import Archive, Modality, OrthancMissing
from tests.running import RunningNode
from tests.test_flow import Sent


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    try:
        made = Archive(tmp_path_factory.mktemp("archive"), modalities={"condyle": Modality("CONDYLE", free_port())})
    except OrthancMissing as error:
        missing(str(error))
    with made:
        yield made


@pytest.fixture(scope="module")
def node(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    settings: dict[str, Any] = {
        "receive": {"series_quiet_s": 60, "study_quiet_s": 60},
        "routes": {"knee": KNEE},
        "destinations": {
            "out": {"kind": "folder", "path": "out"},
            "pacs": {"kind": "dimse", "ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.dicom_port},
        },
        "run_requests": {"archives": ["pacs"]},
    }
    with RunningNode(tmp_path_factory.mktemp("node"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def studies(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> list[Sent]:
    return [archived(archive, tmp_path_factory.mktemp("in"), f"A{number}") for number in (1, 2)]


def lines(report: Path) -> list[dict[str, str]]:
    with report.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_list_is_fetched_and_run_and_gone_on_with(
    node: RunningNode, studies: list[Sent], condyle: Condyle, tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text("accession_number\nA1\nNONE\nA2\n")
    report = tmp_path / "report.csv"
    call = ["run-study", "--csv", str(tmp_path / "list.csv"), "--from", "pacs", "--route", "knee"]
    call += ["--report", str(report), "--at-a-time", "1", "--wait", "--config", str(node.config)]
    ended = condyle(*call)
    assert ended.returncode == 1
    assert "2 of 3, accession number NONE: pacs: has no study with this accession number" in ended.stderr
    assert "2 jobs ended, 0 without a result" in ended.stdout
    found = lines(report)
    assert [(one["accession_number"], one["outcome"]) for one in found] == [
        ("A1", "run"),
        ("NONE", "not run"),
        ("A2", "run"),
    ]
    assert [found[0]["study_instance_uid"], found[2]["study_instance_uid"]] == [one.study for one in studies]
    for one in studies:
        (job,) = node.jobs(one.study)
        assert job.state in ("done", "sending")
    again = condyle(*call)
    assert again.returncode == 1  # one is still not there
    assert "2 studies run before, by the report" in again.stdout
    assert [one["outcome"] for one in lines(report)] == ["run", "not run", "run", "not run"]


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (["1.2.3", "--route", "kne"], 2, "--route: there is no route of that name"),
        (["1.2.3", "--route", "knee", "--from", "out"], 2, "--from: is no archive of run_requests.archives"),
        (["1.2.3", "--route", "knee"], 1, "no image of it is stored"),
        (["--accession", "A1", "--route", "knee"], 1, "needs from"),
        (["--route", "knee"], 2, "name a study"),
        (["1.2.3", "--route", "knee", "--hours", "8-9-10"], 2, "should be two times of day"),
    ],
)
def test_what_cannot_be_run_is_told(node: RunningNode, condyle: Condyle, more: list[str], code: int, told: str) -> None:
    ended = condyle("run-study", *more, "--config", str(node.config))
    assert (ended.returncode, told in ended.stderr) == (code, True), ended.stderr


def test_work_begins_within_the_hours_also_over_midnight() -> None:
    night, day = pace(2, "20:00-06:00"), pace(2, "08:00-17:30")
    assert [hour for hour in range(24) if night.is_open(time(hour))] == [0, 1, 2, 3, 4, 5, 20, 21, 22, 23]
    assert [day.is_open(time(*at)) for at in ((7, 59), (8, 0), (17, 29), (17, 30))] == [False, True, True, False]
    assert Pace().is_open(time(3))
    with pytest.raises(typer.BadParameter):
        pace(2, "night")
