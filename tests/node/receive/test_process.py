"""Receiver processes together: one port, one set of limits, one recorder; any of them may die."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from node.database import migrations
from node.database.connection import open_database
from node.database.tables import AssociationRow, InstanceRow
from tests.node.receive.harness import RawPeer, configuration, mr, receiver_process
from tests.waiting import until


def test_two_processes_share_port_limits_and_records_and_one_may_be_killed(tmp_path: Path) -> None:
    peers = {"scanner": {"ae_title": "SCANNER", "maximum_associations": 6}}
    settings = configuration(tmp_path / "data", dimse={"processes": 2}, peers=peers)
    port = settings.receive.dimse.port
    database = open_database(settings.node.database_url)

    def count(record: type) -> int:
        try:
            with database.connect() as connection:
                return len(connection.execute(record.__table__.select()).all())  # type: ignore[attr-defined]
        except OperationalError:
            return 0

    def associations() -> int:
        """Those of one peer that were refused for one reason are one record, with their number."""
        try:
            with database.connect() as connection:
                return connection.scalar(select(func.sum(AssociationRow.times))) or 0
        except OperationalError:
            return 0

    with receiver_process(settings) as first, receiver_process(settings):
        with contextlib.ExitStack() as stack:
            peer = [stack.enter_context(RawPeer(port)) for _ in range(8)]
            answers = sorted(one.associate() for one in peer)
            assert answers == [2] * 6 + [3] * 2, "the limit holds over both"
        until(lambda: associations() == 8, "the records of both processes")

        stored = 0

        def send_one() -> bool:
            nonlocal stored
            with RawPeer(port) as one:
                if one.associate() != 2:
                    return False  # a place is given back a moment after its association ends
                assert one.store(mr()) == 0
            stored += 1
            return True

        until(send_one)
        until(lambda: count(InstanceRow) == stored, "the receipt")
        first.send_signal(signal.SIGKILL)  # the one that keeps the records, or the other
        first.wait()
        for _ in range(5):
            until(send_one)
        until(lambda: count(InstanceRow) == stored, "the receipts of the other process")
        assert stored == 6
    database.dispose()


def test_a_receiver_alone_brings_the_tables_of_an_earlier_version_up_to_date(tmp_path: Path) -> None:
    settings = configuration(tmp_path / "data")
    settings.node.data.mkdir()
    database = open_database(settings.node.database_url)
    with database.connect() as connection:
        steps = ScriptDirectory.from_config(migrations.configuration(connection))
        before = steps.get_revision("head").down_revision
        assert isinstance(before, str)
        command.upgrade(migrations.configuration(connection), before)
        connection.commit()
    with receiver_process(settings), database.connect() as connection:
        assert not migrations.is_behind(connection)
    database.dispose()
