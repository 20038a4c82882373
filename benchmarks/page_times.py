"""How long each page takes beside 100,000 studies: ``python benchmarks/page_times.py [--studies N] [--postgres]``.

A database is filled as a node that has run for months would have it: three series and ten instances a study (of real
series the pages ask no single instance), decisions of three routes, a job for two studies in three with its events,
objects and outbox lines, associations, and an audit trail. Then every page is asked for, by HTTP, over a socket: the
median and the worst of twenty times. SQLite on the disk; with ``--postgres`` a real PostgreSQL, which it starts.
The bar is 300 ms for each.

Measured on 1 Dec 2026 on two cores that other work wanted too (load 7), median in ms:

=========================================  ======  ==========
page                                       SQLite  PostgreSQL
=========================================  ======  ==========
Now                                        164     127
Studies, any page of all of them           91-102  76-78
Studies, by a number                       68-84   66-72
Studies, by one filter                     78-118  78-174
Studies, by a reason                       190     124
A study                                    122     105
=========================================  ======  ==========

The worst of twenty was up to three times as much, as the machine had it. A report of 500 lines takes 250 ms of a
processor's time to read; it is fetched when it is unfolded.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the server is the tests'

from sqlalchemy import insert, text

from node.config import Configuration
from node.database.connection import Database, open_database
from node.database.migrations import migrate
from node.database.queries import in_chunks
from node.database.tables import (
    AssociationRow,
    AuditRow,
    Base,
    DecisionRow,
    EventRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    OutboxRow,
    SeriesRow,
    StudyKeyRow,
    StudyRow,
)
from node.status.app import build_app
from node.study.patients import Person, accession_digest, marking_key, patient_id_digest
from tests.postgres import Postgres
from tests.serving import client_of

BAR_MS = 300.0
REPEATS = 20
CHUNK = 5_000  # rows of an INSERT
STUDY_S = 60.0  # between two studies
SERIES, INSTANCES = 3, 10  # of each study
MODALITIES = ("MR", "DX", "US", "CR", "CT")
ROUTES = (("knee", "knee_super_resolution"), ("hand", "hand_foot_scoring"), ("joint", "joint_classification"))
STATES = ("done",) * 90 + ("failed",) * 3 + ("unsuitable",) * 7  # by the number of the job
UNDER_WAY = {0: "running", 1: "queued", 2: "queued", 3: "sending"}  # of the latest studies
EVENTS = ("queued", "running", "prepare", "infer", "encode", "sending")
DESTINATIONS = ("pacs", "archive")
KINDS = ("secondary_capture", "report", "derived_series", "segmentation_binary")


class Months:
    """The rows of a node that has run for so many studies, the newest a minute ago.

    Parameters
    ----------
    studies
        How many.
    key
        Of the digests.
    """

    def __init__(self, studies: int, key: bytes) -> None:
        self.studies, self._key = studies, key
        self._now = datetime.now(UTC)

    def uid(self, number: int) -> str:
        """Study Instance UID of the study with a number, counted from the newest."""
        return f"2.25.{314_159_265_358_979_323_846 + number * 7_919}.{number}"

    def at(self, number: int, seconds: float = 0.0) -> datetime:
        """A moment in the life of that study."""
        return self._now - timedelta(seconds=STUDY_S * (number + 1)) + timedelta(seconds=seconds)

    def accession(self, number: int) -> str:
        """Its accession number."""
        return f"ACC{number:08}"

    def patient(self, number: int) -> str:
        """The ID of its patient, who has four studies."""
        return f"PAT{number // 4:07}"

    def job(self, number: int) -> str | None:
        """The id of its job; None where no route took it."""
        return f"{number:032x}" if number % 3 != 2 else None

    def state(self, number: int) -> str:
        """The state of its job."""
        return UNDER_WAY.get(number, STATES[number * 31 % len(STATES)])

    def rows(self) -> Iterator[tuple[type[Base], Iterable[dict[str, Any]]]]:
        """All tables with their rows, in the order in which they refer to each other."""
        every = range(self.studies)
        yield AssociationRow, map(self._association, every)
        yield StudyRow, map(self._study, every)
        yield StudyKeyRow, itertools.chain.from_iterable(map(self._keys, every))
        yield SeriesRow, itertools.chain.from_iterable(map(self._series, every))
        yield InstanceRow, itertools.chain.from_iterable(map(self._instances, every))
        yield DecisionRow, itertools.chain.from_iterable(map(self._decisions, every))
        with_job = [number for number in every if self.job(number)]
        yield JobRow, map(self._job, with_job)
        yield EventRow, itertools.chain.from_iterable(map(self._events, with_job))
        made = [number for number in with_job if self.state(number) in ("done", "sending", "failed")]
        yield ObjectRow, itertools.chain.from_iterable(map(self._objects, made))
        yield OutboxRow, itertools.chain.from_iterable(map(self._outbox, made))
        yield AuditRow, map(self._audit, every)

    def _association(self, number: int) -> dict[str, Any]:
        refused = number % 500 == 499
        return {
            "id": f"a-{number}",
            "way": "dimse",
            "calling_ae_title": f"SCANNER{number % 12}",
            "called_ae_title": "CONDYLE",
            "peer_address": f"10.0.0.{number % 12}",
            "started": self.at(number),
            "ended": None if number < 3 else self.at(number, 30),
            "outcome": "refused" if refused else "open" if number < 3 else "released",
            "reason": "calling AE title is not in peers" if refused else "",
            "stored": 0 if refused else INSTANCES,
        }

    def _study(self, number: int) -> dict[str, Any]:
        return {
            "study_instance_uid": self.uid(number),
            "first_received": self.at(number),
            "last_received": self.at(number, 30),
            "routed_instances": INSTANCES,
            "completed": None if number < 3 else self.at(number, 40),
            "trouble": "an image that was stored cannot be read" if number % 5_000 == 4_999 else "",
        }

    def _keys(self, number: int) -> Iterator[dict[str, Any]]:
        uid = self.uid(number)
        accession = accession_digest(self.accession(number), self._key)
        yield {"study_instance_uid": uid, "kind": "accession", "digest": accession}
        patient = patient_id_digest(self.patient(number), self._key)
        yield {"study_instance_uid": uid, "kind": "patient", "digest": patient}

    def _modality(self, number: int) -> str:
        return "PT" if number % 25_000 == 24_999 else MODALITIES[number * 13 % len(MODALITIES)]

    def _series(self, number: int) -> Iterator[dict[str, Any]]:
        for which in range(SERIES):
            count = INSTANCES // SERIES + (which == 0)
            yield {
                "study_instance_uid": self.uid(number),
                "series_instance_uid": f"{self.uid(number)}.{which}",
                "modality": self._modality(number),
                "instances": count,
                "first_received": self.at(number, which),
                "last_received": self.at(number, 30),
                "last_association_id": f"a-{number}",
                "routed_instances": count,
                "study_routed_instances": count,
                "completed": self.at(number, 35),
            }

    def _instances(self, number: int) -> Iterator[dict[str, Any]]:
        mark = Person(self.patient(number)).marked(self._key)
        for which in range(INSTANCES):
            yield {
                "sop_instance_uid": f"{self.uid(number)}.{which % SERIES}.{which}",
                "sop_class_uid": "1.2.840.10008.5.1.4.1.1.4",
                "series_instance_uid": f"{self.uid(number)}.{which % SERIES}",
                "study_instance_uid": self.uid(number),
                "transfer_syntax_uid": "1.2.840.10008.1.2.1",
                "path": f"{number % 256:02x}/{number}-{which}.dcm",
                "size": 524_288,
                "association_id": f"a-{number}",
                "received": self.at(number, 3.0 * which),
                "fsynced": True,
                "patient": mark,
            }

    def _decisions(self, number: int) -> Iterator[dict[str, Any]]:
        for place, (route, _) in enumerate(ROUTES):
            matched = place == number % 3 and self.job(number) is not None
            why = "every clause holds" if matched else "BodyPartExamined: HEAD instead of KNEE"
            clauses = [
                {"key": "Modality", "expected": "MR", "found": self._modality(number), "holds": matched},
                {"key": "BodyPartExamined", "expected": "KNEE", "found": "HEAD", "holds": matched},
            ]
            series = [
                {
                    "series_instance_uid": f"{self.uid(number)}.{which}",
                    "modality": self._modality(number),
                    "matched": matched,
                    "clauses": clauses,
                }
                for which in range(SERIES)
            ]
            yield {
                "route": route,
                "level": "study",
                "study_instance_uid": self.uid(number),
                "series_instance_uid": None,
                "matched": matched,
                "trace": {"matched": matched, "why": why, "series": series},
                "job_id": self.job(number) if matched else None,
                "decided": self.at(number, 40),
            }

    def _job(self, number: int) -> dict[str, Any]:
        route, pipeline = ROUTES[number % 3]
        state = self.state(number)
        reasons = {
            "failed": f"archive: 0xA700 out of resources (case {number})",
            "unsuitable": f"needs at least 4 slices to interpolate between, found 3 (case {number})",
        }
        return {
            "id": self.job(number),
            "route": route,
            "pipeline": pipeline,
            "pipeline_version": "1.0",
            "weights": "ab" * 32,
            "study_instance_uid": self.uid(number),
            "series_instance_uids": [f"{self.uid(number)}.{which}" for which in range(SERIES)],
            "sop_instance_uids": [f"{self.uid(number)}.{which % SERIES}.{which}" for which in range(INSTANCES)],
            "settings": {},
            "destinations": list(DESTINATIONS),
            "conditions": None,
            "hand_over": None,
            "prior": None,
            "state": state,
            "reason": reasons.get(state, ""),
            "created": self.at(number, 40),
            "updated": self.at(number, 55),
            "cleaned": self.at(number, 3600) if number > 5_000 else None,
        }

    def _events(self, number: int) -> Iterator[dict[str, Any]]:
        for place, what in enumerate((*EVENTS, self.state(number))):
            yield {
                "job_id": self.job(number),
                "what": what,
                "detail": "",
                "at": self.at(number, 40 + 2 * place),
                "seconds": 2.0 if what in ("prepare", "infer", "encode") else None,
            }

    def _objects(self, number: int) -> Iterator[dict[str, Any]]:
        for order, kind in enumerate(KINDS):
            yield {
                "sop_instance_uid": f"2.25.77.{number}.{order}",
                "sop_class_uid": "1.2.840.10008.5.1.4.1.1.7",
                "series_instance_uid": f"2.25.77.{number}",
                "study_instance_uid": self.uid(number),
                "job_id": self.job(number),
                "kind": kind,
                "path": f"jobs/{self.job(number)}/objects/{order}.dcm",
                "sha256": "0" * 64,
                "size": 540_000,
                "order": order,
            }

    def _outbox(self, number: int) -> Iterator[dict[str, Any]]:
        for order, destination in itertools.product(range(len(KINDS)), DESTINATIONS):
            waits = self.state(number) == "sending" or (destination == "archive" and number < 2_000)
            yield {
                "sop_instance_uid": f"2.25.77.{number}.{order}",
                "job_id": self.job(number),
                "destination": destination,
                "order": order,
                "state": "waiting" if waits else "delivered",
                "attempts": 3 if waits else 1,
                "not_before": self.at(number, 60),
                "delivered": None if waits else self.at(number, 54),
                "answer": "archive at 10.1.2.3:104: connection refused" if waits else "0x0000",
                "failing_since": self.at(number, 54) if waits else None,
            }

    def _audit(self, number: int) -> dict[str, Any]:
        refused = number % 50 == 0
        status = {"association": f"a-{number}", "status": "0xC000", "reason": "cut off", "first": f"1.2.{number}"}
        return {
            "at": self.at(number),
            "what": "instance not stored" if refused else "patient viewed",
            "who": f"dimse SCANNER{number % 12}" if refused else "reader",
            "study_instance_uid": self.uid(number),
            "detail": status if refused else {},
            "times": 1,
            "counted_as": f"{number}" if refused else None,
        }


def fill(database: Database, months: Months) -> None:
    """Write the rows, table by table."""
    with database.begin() as connection:
        for table, rows in months.rows():
            for chunk in in_chunks(rows, CHUNK):
                connection.execute(insert(table), chunk)
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))  # as its autovacuum does within minutes


def configuration_in(data: Path, url: str) -> Configuration:
    """A node with the routes and destinations that the rows name."""
    return Configuration.model_validate(
        {
            "node": {"data": str(data), "database": url},
            "receive": {"disk_floor_mb": 0},
            "destinations": {
                name: {"kind": "dimse", "ae_title": name.upper(), "host": "10.1.2.3", "port": 104}
                for name in DESTINATIONS
            },
            "routes": {
                route: {"pipeline": pipeline, "when": {"Modality": "MR"}, "destinations": ["pacs", "archive"]}
                for route, pipeline in ROUTES
            },
        }
    )


def pages(months: Months) -> dict[str, str]:
    """What is asked for, by what it is; pages that this version does not have are left out by `measure`."""
    old = months.studies // 2
    day = f"{months.at(old):%Y-%m-%d}"
    key = accession_digest(months.accession(old), months._key)
    patient = patient_id_digest(months.patient(old), months._key)
    return {
        "Now": "/",
        "Studies": "/studies",
        "Studies: further back": f"/studies?before={months.at(old).timestamp():.6f}_{months.uid(old)}",
        "Studies: by accession number": f"/studies?accession={key}",
        "Studies: by patient": f"/studies?patient={patient}",
        "Studies: by UID": f"/studies?uid={months.uid(old)}",
        "Studies: by the end of a UID": f"/studies?uid={months.uid(old)[-8:]}",
        "Studies: no such UID": "/studies?uid=99999999999",
        "Studies: of a day": f"/studies?since={day}&until={day}",
        "Studies: MR": "/studies?modality=MR",
        "Studies: a rare modality": "/studies?modality=PT",
        "Studies: done": "/studies?state=done",
        "Studies: failed": "/studies?state=failed",
        "Studies: unsuitable": "/studies?state=unsuitable",
        "Studies: running": "/studies?state=running",
        "Studies: undecided": "/studies?state=undecided",
        "Studies: no route": "/studies?state=no+route",
        "Studies: of a route": "/studies?route=hand",
        "Studies: failed, of a route, of a modality": "/studies?state=failed&route=hand&modality=PT",
        "Studies: by a reason": "/studies?reason=out+of+resources",
        "Studies: by a reason that nothing has": "/studies?reason=zzzz",
        "A study": f"/studies/{months.uid(old)}",
        "The newest study": f"/studies/{months.uid(0)}",
        "A job": f"/jobs/{months.job(3)}",
        "Routes": "/routes",
        "Models": "/models",
        "Failures": "/failures",
        "Audit": "/audit",
        "Alerts": "/alerts",
        "Health": "/health/ready",
        "Metrics": "/metrics",
    }


def measure(database: Database, configuration: Configuration, months: Months) -> dict[str, tuple[float, float]]:
    """Median and worst milliseconds of each page that there is."""
    taken = {}
    with client_of(build_app(configuration, database), accept="text/html") as client:
        for name, path in pages(months).items():
            answer = client.get(path, follow_redirects=True)  # the first time, statements and templates are compiled
            if answer.status_code == 404:
                continue
            assert answer.status_code == 200, f"{path}: {answer.status_code}"
            times = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                client.get(path, follow_redirects=True)
                times.append(1000 * (time.perf_counter() - start))
            taken[name] = (statistics.median(times), max(times))
    return taken


def main() -> None:
    """Fill, measure, and print a line for each page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL in place of SQLite")
    parser.add_argument("--folder", type=Path, help="keep data here, and use what is there")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = chosen.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(exist_ok=True)
        url = f"sqlite:///{folder}/node.db"
        if chosen.postgres:
            server = folder / "postgres"
            server.mkdir()
            url = stack.enter_context(Postgres(server)).database()
        months = Months(chosen.studies, marking_key(folder))
        is_filled = not chosen.postgres and (folder / "node.db").exists()
        database = open_database(url)
        stack.callback(database.dispose)
        if not is_filled:
            start = time.perf_counter()
            migrate(database)
            fill(database, months)
            print(f"{chosen.studies:,} studies on {database.dialect.name} in {time.perf_counter() - start:.0f} s")
        taken = measure(database, configuration_in(folder, url), months)
        for name, (median, worst) in taken.items():
            print(f"  {name}: {median:.0f} ms, worst {worst:.0f} ms{'' if worst < BAR_MS else '  over the bar'}")
        print(f"load of the machine (1 min): {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
