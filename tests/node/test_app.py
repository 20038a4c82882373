"""Deciding goes on, whatever one study holds; ports and folders that cannot be had are told in words."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.app import Deciding, open_ports, open_records
from node.config import Configuration
from node.database.jobs import Job
from node.database.tables import AuditRow, Base, open_database
from node.demo.orthanc_process import free_port
from node.errors import ConfigurationError, PeerUnavailable
from node.route.completion import Complete
from node.route.dispatch import Dispatcher

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def complete(series: str) -> Complete:
    return Complete("series", "1.2.3", series, ("1",), late=False, last_received=NOW, counts={series: 1})


class Feed:
    """A completion that says the same until it is settled, which never happens here."""

    def poll(self, *, studies: bool = True) -> list[Complete]:
        return [complete("bad"), complete("good")]


class Picky(Dispatcher):
    """Falls over one of the series, as over headers that nobody had thought of."""

    def dispatch(self, what: Complete) -> list[object]:  # type: ignore[override]
        if what.series_instance_uid == "bad":
            raise ZeroDivisionError("Secret^Anna")
        self.dispatched = [*getattr(self, "dispatched", []), what.series_instance_uid]
        return []


def submit(job: Job) -> None:
    raise AssertionError("nothing matches")


def test_a_series_that_cannot_be_decided_about_costs_the_next_one_nothing_and_is_on_record(tmp_path):
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    Base.metadata.create_all(database)
    dispatcher = Picky(Configuration(), database, submit, lambda: NOW)
    deciding = Deciding(Feed(), dispatcher)  # type: ignore[arg-type]
    deciding.once()
    deciding.once()
    assert dispatcher.dispatched == ["good", "good"]
    with Session(database) as session:
        (record,) = session.scalars(select(AuditRow))  # once: it is left alone for a while
        assert record.detail == {
            "study_instance_uid": "1.2.3",
            "series_instance_uid": "bad",
            "error": "ZeroDivisionError",
        }
    database.dispose()


def configuration(**sections: object) -> Configuration:
    ports = {"receive": {"dimse": {"host": "127.0.0.1", "port": free_port()}}, "status": {"port": free_port()}}
    return Configuration.model_validate({**ports, **sections})


@pytest.mark.parametrize("key", ["receive.dimse.port", "status.port", "records.mllp.port"])
def test_a_port_that_is_taken_is_named(key):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sections = {
            "receive.dimse.port": {"receive": {"dimse": {"host": "127.0.0.1", "port": port}}},
            "status.port": {"status": {"port": port}},
            "records.mllp.port": {"records": {"mllp": {"port": port}}},
        }
        with (
            pytest.raises(PeerUnavailable, match=f"{key}: 127.0.0.1:{port}: cannot be opened"),
            open_ports(configuration(**sections[key])),
        ):
            pass


def test_a_data_folder_that_cannot_be_made_is_told_with_its_key(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"node.data: .*file/data: cannot be written: Not a directory"):
        open_records(configuration(node={"data": str(tmp_path / "file" / "data")}))


def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path):
    url = f"postgresql+psycopg://condyle:secret@127.0.0.1:{free_port()}/condyle"
    with pytest.raises(PeerUnavailable, match=r"node.database: .*condyle:\*\*\*@127.0.0.1.* cannot be used") as error:
        open_records(configuration(node={"data": str(tmp_path), "database": url}))
    assert "secret" not in str(error.value)
