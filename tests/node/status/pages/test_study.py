"""The page of a study: whom it is of, for those who may see it; its way; its reports; where it can be looked at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from node.config import Configuration, StatusSettings
from node.database.connection import Database
from node.database.tables import AuditRow, InstanceRow, ObjectRow
from node.status.app import build_app
from tests import factories
from tests.dicom_sr.example_digests import written_in
from tests.node.status.conftest import Morning
from tests.node.status.pages.test_studies import as_viewer  # noqa: F401 (a fixture)
from tests.serving import client_of

VIEWER_URL = "https://ohif.example/viewer?uid={StudyInstanceUID}&acc={AccessionNumber}"


@pytest.fixture
def configured(configuration: Configuration) -> Configuration:
    """With a viewer."""
    status = StatusSettings.model_validate({"viewer_url": VIEWER_URL})
    return configuration.model_copy(update={"status": status})


@pytest.fixture
def client(
    configured: Configuration, database: Database, morning: Morning, examples_folder: Path
) -> Iterator[httpx.Client]:
    """Of a node that has one real image and one real report of study 1.2.1."""
    source = factories.changed(factories.radiograph_study(morning.data / "made"), lambda _, ds: _named(ds))
    image = morning.data / "instances" / "ab" / "1.dcm"
    image.parent.mkdir(parents=True)
    shutil.copy(source.instances[0].path, image)
    report = next(one.path for one in written_in(examples_folder)["joint_classification"] if one.kind == "report")
    path = f"jobs/{1:032x}/objects/1.2.9.2.dcm"
    shutil.copy(report, morning.data / path)
    with Session(database) as session, session.begin():
        session.execute(
            delete(InstanceRow).where(InstanceRow.study_instance_uid == "1.2.1", InstanceRow.path != "0.dcm")
        )
        of_study = update(InstanceRow).where(InstanceRow.study_instance_uid == "1.2.1")
        session.execute(of_study.values(path="ab/1.dcm"))
    with client_of(build_app(configured, database), accept="text/html") as client:
        yield client


def _named(ds: Dataset) -> Dataset:
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Tester^Anna^Maria", "PID 7", "19610203"
    ds.AccessionNumber, ds.StudyDescription, ds.StudyDate = "ACC/7", "Hand both sides", "20260501"
    return ds


def views(database: Database) -> list[tuple[str, str | None]]:
    with Session(database) as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.what == "patient viewed"))
        return [(row.who, row.study_instance_uid) for row in rows]


def test_who_may_see_patients_sees_whom_it_is_of_and_that_is_written_down_once(
    client: httpx.Client, database: Database
) -> None:
    page = client.get("/studies/1.2.1").text
    for told in ("Tester, Anna Maria", "PID 7", "03 Feb 1961", "ACC/7", "Hand both sides", "01 May 2026"):
        assert told in page
    client.get("/studies/1.2.1")
    assert views(database) == [("this machine", "1.2.1")]


def test_the_database_holds_nothing_of_it(client: httpx.Client, morning: Morning) -> None:
    client.get("/studies/1.2.1")
    stored = b"".join(path.read_bytes() for path in morning.data.glob("node.db*"))
    assert not [value for value in (b"Tester", b"PID 7", b"ACC/7", b"19610203") if value in stored]


def test_others_see_nothing_of_it_and_no_report(client: httpx.Client, database: Database, as_viewer: None) -> None:  # noqa: F811
    page = client.get("/studies/1.2.1").text
    assert not [told for told in ("Tester", "PID 7", "ACC/7", "1.2.9.2/", "/reports/", "Restart") if told in page]
    assert "ohif.example" not in page  # its address would hold the accession number
    assert client.get("/reports/1.2.9.2").status_code == 403
    assert views(database) == []


def test_a_report_is_read_as_text_and_its_view_is_written_down(client: httpx.Client, database: Database) -> None:
    assert 'hx-get="/reports/1.2.9.2"' in client.get("/studies/1.2.1").text
    page = client.get("/reports/1.2.9.2").text
    assert "pattern of rheumatoid arthritis, probability 71 %" in page
    assert "Probability of psoriatic arthritis" in page
    assert views(database) == [("this machine", "1.2.1")]


def test_a_report_that_is_not_kept_or_is_none_is_a_404(
    client: httpx.Client, database: Database, morning: Morning
) -> None:
    assert client.get("/reports/1.2.9.1").status_code == 404  # a capture
    (morning.data / f"jobs/{1:032x}/objects/1.2.9.2.dcm").write_bytes(b"")
    assert "it cannot be read" in client.get("/reports/1.2.9.2").text
    (morning.data / f"jobs/{1:032x}/objects/1.2.9.2.dcm").unlink()
    gone = client.get("/reports/1.2.9.2")
    assert (gone.status_code, "does not keep this report" in gone.text) == (404, True)
    with Session(database) as session, session.begin():
        session.execute(update(ObjectRow).where(ObjectRow.kind == "report").values(path="/etc/passwd"))
    assert client.get("/reports/1.2.9.2").status_code == 404
    assert views(database) == []


def test_images_that_cannot_be_read_now_leave_the_rest_of_the_page(client: httpx.Client) -> None:
    page = client.get("/studies/1.2.4").text  # none of its files is there
    assert "The patient is not shown: the images cannot be read now." in page
    assert ">sending<" in page


def test_the_viewer_is_opened_at_the_study(client: httpx.Client) -> None:
    page = client.get("/studies/1.2.1").text
    assert 'href="https://ohif.example/viewer?uid=1.2.1&amp;acc=ACC%2F7"' in page
    assert "ohif.example" not in client.get("/studies/1.2.4").text  # the accession number is not known


def test_the_way_through_the_node_is_a_table_too(client: httpx.Client) -> None:
    page = client.get("/studies/1.2.1").text
    assert '<rect class="run"' in page
    assert ' style="' not in page
    assert "What took how long" in page
    assert "21.5 s" in page  # the pipeline, from 10.3 to 31.8


def test_operators_are_led_to_what_they_may_do(client: httpx.Client) -> None:
    done, sending, unsuitable = (client.get(f"/studies/1.2.{number}").text for number in (1, 4, 3))
    for page, number, action in (
        (done, 1, "withdraw"),
        (done, 1, "send"),
        (sending, 4, "cancel"),
        (unsuitable, 3, "restart"),
    ):
        assert f'href="/jobs/{number:032x}/{action}"' in page
    assert f'href="/jobs/{4:032x}/withdraw"' not in sending
    assert 'href="/studies/1.2.1/reroute"' in done
