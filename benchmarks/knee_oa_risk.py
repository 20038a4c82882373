"""One patient's risk: from the record as it is kept to risks with intervals, what drove them, and the page.

    python benchmarks/knee_oa_risk.py --patients 50 --threads 1

Each patient is another simulated person whose FHIR bundle was read before the clock starts. The first few runs, which
load code, are not counted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import date
from typing import ParamSpec, TypeVar

import torch

from dicom_sr.series import Study
from pipelines.knee_oa_risk import KneeOaRisk, KneeOaRiskSettings
from pipelines.knee_oa_risk.explain import attribute
from pipelines.knee_oa_risk.matrix import from_context
from pipelines.knee_oa_risk.model import Ensemble
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.simulation.sample import patient_bundle
from pipelines.records.fhir import read_bundle

DAY = date(2026, 1, 5)
WARM_UP = 5

P = ParamSpec("P")
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    people = simulate(4 * given.patients, 1)
    chosen = [n for n in range(len(people)) if people.observed_weeks[n] >= 80][: given.patients + WARM_UP]
    read: list[float] = []
    contexts = []
    for person in chosen:
        bundle = patient_bundle(people, person, str(person), "F", "G", DAY)
        began = time.perf_counter()
        contexts.append(read_bundle(bundle, {}).records[0].context(DAY))
        read.append(time.perf_counter() - began)
    pipeline, ensemble = KneeOaRisk(KneeOaRiskSettings()), Ensemble.load()
    pipeline.load()
    rows: dict[str, list[float]] = {
        "record to matrix": [],
        "risks and intervals": [],
        "what drove them": [],
        "whole run": [],
    }
    for context in contexts:
        record = _timed(rows["record to matrix"], from_context, context)
        _timed(rows["risks and intervals"], ensemble.risk, record.batch)
        _timed(rows["what drove them"], attribute, ensemble, record)
        _timed(rows["whole run"], pipeline.run, Study("1.2", ()), context)
    print(f"{len(contexts) - WARM_UP} patients, {given.threads} thread(s), milliseconds: median, 95th percentile")
    for name, seconds in {"(FHIR bundle to record)": read, **rows}.items():
        kept = sorted(1000 * s for s in seconds[WARM_UP:])
        print(f"{name:26s}{statistics.median(kept):8.1f}{kept[int(0.95 * len(kept))]:8.1f}")


def _timed(times: list[float], work: Callable[P, T], *arguments: P.args, **more: P.kwargs) -> T:
    began = time.perf_counter()
    answer = work(*arguments, **more)
    times.append(time.perf_counter() - began)
    return answer


if __name__ == "__main__":
    main()
