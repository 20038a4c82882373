"""What the sender asks its database again and again, beside what has piled up: ``python benchmarks/backlog.py``.

Two states of a node after a weekend: a PACS that is down, for which all objects wait; and one that took all of them and
has not committed itself to any yet. Asked are the questions of every turn: what is due (ten times a second), what is to
be confirmed (twice a second), and which jobs are sent and not closed (every five seconds). SQLite, on the disk.

Measured on 28 Nov 2026 on two cores that other work wanted too (load 10), in multiples of what the question took
before at 10,000 lines (3.9, 5.3, 512 and 1.1 ms), when each of them read all that waited or was not confirmed:

===================  =================  =====================
question             before: 100k, 1M   now: 10k, 100k, 1M
===================  =================  =====================
what is due          9, 116             0.4, 0.3, 0.3
which job is next    12, 118            0.07, 0.07, 0.05
what to confirm      11, 411            0.002, 0.002, 0.004
what was left over   7, 45              3, 14, 12
===================  =================  =====================

What was left over is looked for among 500 jobs at a time: that is all of them at 10,000 lines, which have 200 jobs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the backlog is made by the tests' own means

from sqlalchemy.orm import Session

from node.config import Configuration
from node.database import job_states, outbox
from node.database.connection import Database, open_database
from node.database.migrations import migrate
from node.send.commitment_requests import CommitmentRequests
from node.send.lane import Lane, open_delivery
from tests.node.backlog import NOW, fill

SIZES = (10_000, 100_000)
REPEATS = 30


def questions(database: Database) -> dict[str, Callable[[], object]]:
    """What is asked, by name."""
    dead = {"kind": "dimse", "ae_title": "PACS", "host": "127.0.0.1", "port": 1, "commitment": True}
    of = Configuration.model_validate({"destinations": {"pacs": dead}}).destinations["pacs"]
    lane = Lane("pacs", of, "CONDYLE", database, lambda: NOW, data=Path())
    nobody = open_delivery("pacs", of, "CONDYLE")  # nothing is due: it is not asked
    requests = CommitmentRequests("pacs", database, lambda: NOW, Path())

    def due() -> None:
        with Session(database) as session:
            lane.is_due(session, confirmations=True)

    def following() -> None:
        with Session(database) as session:
            outbox.next_job(session, "pacs", NOW)

    def left_over() -> None:
        with Session(database) as session, session.begin():
            job_states.settle_left_over(session, None, NOW)

    return {
        "what is due": due,
        "which job is next": following,
        "what to confirm": lambda: requests.pursue(nobody),
        "what was left over": left_over,
    }


def measure(lines: int, *, asked: bool) -> dict[str, float]:
    """Milliseconds of each question, the least of a few times."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{folder}/node.db", power=False)
        migrate(database)
        fill(database, lines, asked=asked)
        taken: dict[str, float] = {}
        for name, ask in questions(database).items():
            ask()  # the first time, statements are compiled
            times = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                ask()
                times.append(time.perf_counter() - start)
            taken[name] = min(times) * 1000  # without what else the machine does meanwhile
        database.dispose()
    return taken


def main() -> None:
    """Measure at each size, and print a line for each question."""
    parser = argparse.ArgumentParser(description="What the sender asks again and again, beside a backlog.")
    parser.add_argument("lines", nargs="*", type=int, default=SIZES, help="lines of the outbox")
    for asked in (False, True):
        print("to be confirmed" if asked else "waiting")
        sizes = {lines: measure(lines, asked=asked) for lines in parser.parse_args().lines}
        for name in next(iter(sizes.values())):
            print(f"  {name}: " + ", ".join(f"{lines:,} lines {taken[name]:.2f} ms" for lines, taken in sizes.items()))


if __name__ == "__main__":
    main()
