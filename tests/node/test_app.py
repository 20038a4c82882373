"""Ports, folders and databases that cannot be used are named when the node starts."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError

import pytest
from sqlalchemy import select

from node.app import Node, open_ports, prepared_database
from node.config import Configuration
from node.database.tables import InstanceRow
from node.demo.orthanc_process import free_port
from node.errors import ConfigurationError, PeerUnavailable
from tests.node.receive.harness import mr
from tests.postgres import Postgres
from tests.running import RunningNode
from tests.waiting import until


def configuration(**sections: object) -> Configuration:
    ports = {"receive": {"dimse": {"host": "127.0.0.1", "port": free_port()}}, "status": {"port": free_port()}}
    return Configuration.model_validate({**ports, **sections})


@pytest.mark.parametrize("key", ["receive.dimse.port", "status.port", "records.mllp.port"])
def test_a_port_that_is_taken_is_named(key: str) -> None:
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


def test_a_node_that_others_reach_does_not_start_before_somebody_can_sign_in(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("node: {data: data}\nstatus: {host: 0.0.0.0}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"config.yaml:2: status.host: .*condyle user add NAME --role admin"):
        Node(path)
    assert not (tmp_path / "data").exists()
    path.write_text("node: {data: data}\nstatus: {host: 0.0.0.0, token: 0123456789abcdef}\n", encoding="utf-8")
    Node(path)


def test_a_data_folder_that_cannot_be_made_is_told_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"node.data: .*file/data: cannot be written: Not a directory"):
        prepared_database(configuration(node={"data": str(tmp_path / "file" / "data")}))


def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://condyle:secret@127.0.0.1:{free_port()}/condyle"
    with pytest.raises(PeerUnavailable, match=r"node.database: .*condyle:\*\*\*@127.0.0.1.* cannot be used") as error:
        prepared_database(configuration(node={"data": str(tmp_path), "database": url}))
    assert "secret" not in str(error.value)


def test_a_second_node_with_another_folder_on_the_same_database_does_not_start(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one, other = (
        Configuration.model_validate({"node": {"data": tmp_path / name, "database": url}}) for name in ("one", "other")
    )
    prepared_database(one).dispose()
    prepared_database(one).dispose()  # several processes on one folder and one database are one node
    with pytest.raises(ConfigurationError, match=r"node.data: .*other .* do not belong together"):
        prepared_database(other)


def unready(node: RunningNode) -> str:
    """What the health page says where not all is well."""
    try:
        node.get("/health/ready")
    except HTTPError as error:
        return error.read().decode()
    return ""


@pytest.mark.postgres
def test_a_database_that_goes_and_comes_back_is_two_lines_in_the_log(tmp_path: Path, postgres: Postgres) -> None:
    with RunningNode(tmp_path, node={"data": "data", "database": postgres.database()}) as node:
        before = len(node.log_text())
        postgres.stop()
        try:
            waiting = ("decisions", "care of jobs", "outbox")
            until(lambda: all(work in unready(node) for work in waiting), "everything waits for the database")
        finally:
            postgres.start()
        until(lambda: "database back" in node.log_text())
        told = [json.loads(line)["event"] for line in node.log_text()[before:].splitlines()]
    assert told == ["database away", "database back"]


def test_a_watched_folder_that_is_away_is_named_and_the_node_takes_everything_else(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with RunningNode(tmp_path, receive={"watched_folders": [{"path": str(folder), "after": "keep"}]}) as node:
        folder.rmdir()
        until(
            lambda: (
                "receive.watched_folders.0.path: there is no such folder"
                in node.get("/health/ready")["checks"]["receiver"]
            )
        )
        assert node.send([mr()]) == [0]


def test_half_sent_requests_stop_neither_the_page_nor_the_recording_of_what_was_acknowledged(tmp_path: Path) -> None:
    image = mr()
    with RunningNode(tmp_path) as node, ExitStack() as stack:
        for _ in range(300):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", node.page), timeout=10))
            half.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        assert node.send([image]) == [0]
        found = select(InstanceRow).where(InstanceRow.sop_instance_uid == image.SOPInstanceUID)
        until(lambda: node.all(found), "the image is recorded")
        assert node.get("/health/ready")["ready"]
        assert node.log_text().count("turned away at the page's port") == 1
