"""How long a trial of other routes takes, and the pages about routes and failures, over records of many studies.

``python -m benchmarks.route_trial`` makes a database of 2,000 studies within seven days in a temporary folder, judges
several changes of the routes by what their decisions noted, and asks for the pages; ``--studies 100000`` does so with a
year of studies. Each figure is the median of five.

Measured on 1 Dec 2026 on two cores that other work wanted too (load 5), SQLite, 7 days with 2,000 studies, 10,000
series and 22,000 decisions; in brackets, of 100,000 studies in a year:

===============================  ==================
trial of a route of series       1.3 s (1.9 s)
trial of a route of studies      0.7 s (1.5 s)
the page of routes               53 ms (164 ms)
models; failures of 30 days      9; 11 ms (80; 87 ms)
===============================  ==================
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import insert
from starlette.testclient import TestClient

from node.config import Configuration, read
from node.config.route_settings import with_settings
from node.database.connection import Database, open_database
from node.database.migrations import migrate
from node.database.tables import (
    NOT_STORED,
    AssociationRow,
    AuditRow,
    Base,
    DecisionRow,
    EventRow,
    JobRow,
    SeriesRow,
    StudyRow,
)
from node.route.decide import CompiledRoute, compile_routes, decide
from node.route.facts import Facts, with_study
from node.route.recorded import recorded_studies
from node.route.trial import Comparing, with_read
from node.status.app import build_app

TIMES = 5
SERIES = 5  # of a study
AT_ONCE = 2000  # studies written by one transaction
CONFIGURATION: dict[str, Any] = {
    "receive": {"disk_floor_mb": 0},
    "destinations": {"pacs": {"kind": "folder", "path": "out"}},
    "routes": {
        "knee": {
            "when": {
                "Modality": "MR",
                "ImageType": {"not": "LOCALIZER"},
                "any_of": [{"series.body_part": "knee"}, {"ReceiveCoilName": "*knee*"}],
                "series.slices": {"min": 4},
                "series.thickness_mm": {"min": 1.5},
            },
            "pipeline": "knee_super_resolution",
            "destinations": ["pacs"],
        },
        "hands": {
            "when": {"Modality": ["DX", "CR"], "series.body_part": ["hand", "foot"]},
            "level": "study",
            "pipeline": "hand_foot_scoring",
            "destinations": ["pacs"],
        },
        "joints": {
            "when": {"Modality": "US", "series.body_part": ["hand", "finger"]},
            "pipeline": "joint_classification",
            "destinations": ["pacs"],
        },
    },
}
CHANGES: dict[str, dict[str, Any]] = {
    "another limit": {"knee": {"series.thickness_mm": {"min": 3.2}}},
    "a clause less": {"knee": {"any_of": None}},
    "a route of studies": {"hands": {"series.body_part": ["hand", "wrist"]}},
}


def made_up(random_: random.Random, number: int) -> Facts:
    """One series of a musculoskeletal department."""
    modality = random_.choices(["MR", "DX", "US", "CT"], [6, 3, 1, 1])[0]
    thickness = random_.choice([0.6, 1.0, 3.0, 3.5, 4.0])
    values: dict[str, tuple[Any, ...]] = {
        "Modality": (modality,),
        "ImageType": ("ORIGINAL", "PRIMARY", random_.choice(["M", "LOCALIZER"])),
        "series.body_part": (random_.choice(["knee", "hand", "foot", "limb"]),),
        "series.slices": (random_.choice([3, 20, 60]),),
        "series.thickness_mm": (thickness,),
    }
    if modality == "MR":
        values["ReceiveCoilName"] = (random_.choice(["HD TR Knee PA", "Body"]),)
    return Facts(f"1.2.826.0.1.3680043.{number}", modality, values, made_by_node=False)


def fill(database: Database, configuration: Configuration, studies: int, days: float, now: datetime) -> None:
    """Write the records of so many studies, evenly over the days before now."""
    chance, routes = random.Random(5), compile_routes(configuration)
    numbers = iter(range(studies))
    while some := list(islice(numbers, AT_ONCE)):
        rows: dict[type[Base], list[dict[str, Any]]] = {}
        for number in some:
            at = now - timedelta(days=days * (1 - (number + 0.5) / studies))
            for table, values in _of_study(chance, routes, number, at):
                rows.setdefault(table, []).append(values)
        with database.begin() as connection:
            for table, values_ in rows.items():
                connection.execute(insert(table), values_)


def _of_study(
    chance: random.Random, routes: Sequence[CompiledRoute], number: int, at: datetime
) -> Iterator[tuple[type[Base], dict[str, Any]]]:
    study = f"1.2.826.0.1.3680043.8.{number}"
    facts = [made_up(chance, number * SERIES + one) for one in range(SERIES)]
    decided = at + timedelta(seconds=30)
    yield StudyRow, {
        "study_instance_uid": study, "first_received": at, "last_received": at, "completed": decided,
        "routed_instances": SERIES * 24,
    }  # fmt: skip
    for one in facts:
        yield SeriesRow, {
            "study_instance_uid": study, "series_instance_uid": one.series_instance_uid, "modality": one.modality,
            "instances": 24, "first_received": at, "last_received": at, "last_association_id": "a",
            "routed_instances": 24, "study_routed_instances": 24, "completed": decided,
        }  # fmt: skip
    whole = with_study([], facts)
    decisions = [(one.series_instance_uid, found) for one in facts for found in decide(routes, "series", [one])]
    for series, decision in [*decisions, *((None, found) for found in decide(routes, "study", whole))]:
        job = f"{chance.getrandbits(128):032x}" if decision.matched else None
        yield DecisionRow, {
            "route": decision.route, "level": decision.level, "study_instance_uid": study,
            "series_instance_uid": series, "matched": decision.matched, "trace": decision.trace, "job_id": job,
            "decided": decided,
        }  # fmt: skip
        if job is not None:
            yield from _of_job(chance, job, decision.route, study, decided)
    if number % 50 == 0:
        yield AuditRow, {
            "at": at, "what": NOT_STORED, "who": "dimse MR1", "study_instance_uid": study, "times": 3,
            "detail": {"status": "0xA700", "reason": f"disk low: {number % 900} MB free", "until": at.isoformat()},
        }  # fmt: skip
        yield AssociationRow, {
            "id": f"refused-{number}", "way": "dimse", "started": at, "ended": at, "outcome": "refused",
            "calling_ae_title": f"MR{number % 7}", "reason": "calling AE title is not in peers",
        }  # fmt: skip


def _of_job(
    chance: random.Random, job: str, route: str, study: str, at: datetime
) -> Iterator[tuple[type[Base], dict[str, Any]]]:
    state = chance.choices(["done", "failed", "unsuitable"], [90, 4, 6])[0]
    reasons = {
        "failed": f"the worker ended by itself (signal 9) after {chance.randrange(60)} s",
        "unsuitable": f"needs at least 4 slices to interpolate between, found {chance.randrange(4)}",
        "done": "",
    }
    yield JobRow, {
        "id": job, "route": route, "pipeline": CONFIGURATION["routes"][route]["pipeline"], "pipeline_version": "1.0",
        "study_instance_uid": study,
        "series_instance_uids": [f"{study}.1"], "sop_instance_uids": [f"{study}.1.{n}" for n in range(24)],
        "settings": {}, "destinations": ["pacs"], "state": state, "reason": reasons[state], "created": at,
        "updated": at + timedelta(seconds=30),
    }  # fmt: skip
    for what, seconds in (("prepare", 0.4), ("infer", 8 + 4 * chance.random()), ("encode", 1.1), ("sending", None)):
        yield EventRow, {"job_id": job, "what": what, "detail": "", "at": at, "seconds": seconds}


def changed(route: str, clauses: dict[str, Any], folder: Path) -> Configuration:
    """The configuration with other clauses of one route; None takes one out."""
    values = json.loads(json.dumps(CONFIGURATION))
    when = {**values["routes"][route]["when"], **clauses}
    values["routes"][route]["when"] = {key: value for key, value in when.items() if value is not None}
    return with_settings(Configuration.model_validate(values, context={"folder": folder}), folder)


def median_ms(do: Callable[[], object]) -> str:
    """Milliseconds of the middle one of some runs, by the clock and of the processor: others may be at work too."""
    taken, spent = [], []
    for _ in range(TIMES):
        began, began_cpu = time.perf_counter(), time.process_time()
        do()
        taken.append(1000 * (time.perf_counter() - began))
        spent.append(1000 * (time.process_time() - began_cpu))
    return f"{statistics.median(taken):.0f} ms, {statistics.median(spent):.0f} of the processor"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--days", type=float, default=None, help="by default 7, and 350 for more than 20,000 studies")
    parser.add_argument("--keep", type=Path, default=None, help="a folder for the records, to be used again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(options.keep or Path(temporary), options.studies, options.days)


def measure(folder: Path, studies: int, days: float | None) -> None:
    """Print the figures of so many studies."""
    days = days or (7.0 if studies <= 20_000 else 350.0)
    config, now = folder / "config.yaml", datetime.now(UTC)
    fresh = not config.exists()
    if fresh:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data").mkdir()
        config.write_text(yaml.safe_dump({"node": {"data": "data"}, **CONFIGURATION}, sort_keys=False))
    configuration = with_settings(read(config), folder)
    database = open_database(configuration.node.database_url)
    if fresh:
        migrate(database)
        fill(database, configuration, studies, days, now)
    since = now - timedelta(days=7)
    routes = len(configuration.routes)
    print(f"{studies:,} studies of {SERIES} series in {days:g} days, {routes} routes; median of {TIMES}")
    for name, change in CHANGES.items():
        ((route, clauses),) = change.items()
        after = changed(route, clauses, folder)

        def trial(after: Configuration = after) -> str:
            comparing = Comparing(configuration, after)
            recorded = with_read(
                database, recorded_studies(database, since, routes=comparing.names), comparing.keys, {}
            )
            found = comparing.trial(recorded, {})
            return f"{found.studies:,} studies judged, {len(found.differences):,} differences, {found.open} open"

        told = trial()
        print(f"trial, {name}: {median_ms(trial)} ({told})")
    client = TestClient(
        build_app(configuration, database, config_file=config), base_url="http://localhost", client=("127.0.0.1", 1)
    )
    for path in ("/routes", "/models", "/failures", "/failures?days=30", "/routes/try"):
        print(f"{path}: {median_ms(partial(client.get, path))}")
    database.dispose()


if __name__ == "__main__":
    main()
