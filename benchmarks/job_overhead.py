"""What a job costs beside its own steps: ``python benchmarks/job_overhead.py [--box off] [--database URL]``.

A job's own steps are the work of the inference process: check, inference, encoding. The rest is the engine's: taking
the job, durable checkpoints, states and events, the way to the worker and back, reading and handing over the objects.
Measured: one job at a time on an idle node (from `submit` to the outbox), and a backlog with one worker.

Measured on 22 Nov 2026 on two cores that other work wanted too (load 8, this program at nice -10): 31 ms a job
beside its own steps in a backlog of 80, 78 ms one at a time (95th percentile 135 ms); at load 16: 35 ms and 84 ms.
The bar is 50 ms: met in a backlog, where one job's flushes of the disk pass while the next one runs, and not one at a
time there. A job makes some 17 flushes (its records, the engine's checkpoints); each took 5 ms on that disk.
Idle, the engine takes 2 % of a core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the trial pipeline is the tests'

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.config.checks import boxed
from node.database.tables import JobRow
from node.reading import HERE
from node.run import job_engine
from node.run.messages import Done, JobRequest
from node.run.pool import Pool, Worker
from tests.node.run.trial import Bench, bench, install_trial

BAR_MS = 50.0


class TimedPool(Pool):
    """Adds up how long workers work."""

    worked_s = 0.0

    def _converse(
        self, worker: Worker, request: JobRequest, series_there: Callable[[], None], cancelled: Callable[[], bool]
    ) -> Done:
        start = time.perf_counter()
        try:
            return super()._converse(worker, request, series_there, cancelled)
        finally:
            TimedPool.worked_s += time.perf_counter() - start


def handed_over(made: Bench) -> int:
    """How many jobs are in the outbox."""
    with Session(made.database) as session:
        return session.scalar(select(func.count()).where(JobRow.state == "sending")) or 0


def one_at_a_time(made: Bench, running: job_engine.JobEngine, count: int) -> tuple[list[float], list[float]]:
    """Seconds from submit to the outbox, and those of the worker, job by job."""
    total, own = [], []
    for _ in range(count):
        job = made.job(journal=os.devnull)
        worked, start = TimedPool.worked_s, time.perf_counter()
        running.submit(job)
        while made.state(job) != "sending":
            time.sleep(0.005)
        total.append(time.perf_counter() - start)
        own.append(TimedPool.worked_s - worked)
    return total, own


def backlog(made: Bench, running: job_engine.JobEngine, count: int) -> tuple[float, float]:
    """Seconds a job, all and the worker's, where `count` are waiting."""
    jobs = [made.job(journal=os.devnull) for _ in range(count)]
    wanted = handed_over(made) + count
    worked, start = TimedPool.worked_s, time.perf_counter()
    for job in jobs:
        running.submit(job)
    while handed_over(made) < wanted:
        time.sleep(0.1)
    return (time.perf_counter() - start) / count, (TimedPool.worked_s - worked) / count


def idle_share(seconds: float = 3.0) -> float:
    """Share of a core that the engine takes while there is nothing to do."""
    before = time.process_time()
    time.sleep(seconds)
    return (time.process_time() - before) / seconds


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument(
        "--database", help="SQLAlchemy URL of an empty database; SQLite in a temporary folder if absent"
    )
    arguments.add_argument("--box", choices=("auto", "required", "off"), default="auto", help="as run.box")
    arguments.add_argument("--single", type=int, default=50)
    arguments.add_argument("--backlog", type=int, default=150)
    chosen = arguments.parse_args()
    setattr(job_engine, "Pool", TimedPool)  # noqa: B010 (the engine is to make its pool of it)
    with tempfile.TemporaryDirectory() as name:
        os.environ["PYTHONPATH"] = install_trial(Path(name) / "site")
        sys.path.insert(0, str(Path(name) / "site"))  # a box shows the packages that this process knows of
        run = {"memory_limit_mb": 2048, "box": chosen.box}
        with bench(Path(name), chosen.database, run=run) as made:
            running = job_engine.JobEngine(made.configuration, made.database, HERE)
            running.start()
            try:
                one_at_a_time(made, running, 5)  # warm
                total, own = one_at_a_time(made, running, chosen.single)
                beside = [1000 * (a - b) for a, b in zip(total, own, strict=True)]
                print(
                    f"one at a time, {chosen.single} jobs: {statistics.median(beside):.0f} ms beside its own steps "
                    f"(95th percentile {sorted(beside)[int(0.95 * len(beside))]:.0f} ms), "
                    f"{1000 * statistics.median(own):.0f} ms in them; bar {BAR_MS:.0f} ms"
                )
                idle = idle_share()
                before, start = time.process_time(), time.perf_counter()
                a, b = backlog(made, running, chosen.backlog)
                waited = time.perf_counter() - start
                busy = (time.process_time() - before - idle * waited) / chosen.backlog
                print(
                    f"backlog of {chosen.backlog}, 1 worker: {1000 * (a - b):.0f} ms a job beside its own steps, "
                    f"{1000 * b:.0f} ms in them; {1000 * busy:.0f} ms of the node's processor time a job, "
                    f"idle {100 * idle:.1f} % of a core"
                )
                print("in a box" if boxed(made.configuration) else "without a box")
                print(f"load of the machine (1 min): {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            finally:
                running.stop()


if __name__ == "__main__":
    main()
