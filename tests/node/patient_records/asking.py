"""A node that is asked for risks, in a process of its own, with a pipeline for tests that answers from the record."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from node.commands.record import record
from node.config.route_settings import read_with_settings
from node.patient_records.store import new_key
from node.reading import HERE
from node.run.job_engine import JobEngine, set_up
from tests.node.run.trial import install_trial
from tests.running import RunningNode

BUNDLE = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {
            "resource": {
                "resourceType": "Patient",
                "id": "p",
                "identifier": [{"value": "PAT-4711"}],
                "name": [{"family": "Muster", "given": ["Erika"]}],
                "birthDate": "1960-02-29",
                "gender": "female",
            }
        },
        {
            "resource": {
                "resourceType": "Condition",
                "id": "c",
                "subject": {"reference": "Patient/p"},
                "code": {"coding": [{"system": "http://snomed.info/sct", "code": "73211009"}]},
                "onsetDateTime": "2020-01-01",
                "recordedDate": "2020-01-01",
            }
        },
    ],
}
OTHER = json.loads(json.dumps(BUNDLE).replace("PAT-4711", "PAT-4712").replace("Muster", "Beispiel"))  # another patient
QUESTION = {"patient_id": "PAT-4711", "index_date": "2026-01-05"}

Make = Callable[..., RunningNode]


def maker(folder: Path, patch: pytest.MonkeyPatch) -> Make:
    """Makes a node whose route leads to the trial pipeline, not started; its record store is encrypted.

    The pipeline goes on running while the file "hold" is in the folder.
    """
    patch.setenv("PYTHONPATH", install_trial(folder / "trial"))
    (folder / "records.key").write_bytes(new_key())

    def made(records: dict[str, Any] | None = None, run: dict[str, Any] | None = None, **more: Any) -> RunningNode:
        settings = {"journal": str(folder / "journal.txt"), "run_while": str(folder / "hold")}
        settings |= more.pop("settings", {})
        route = {"when": {"Modality": "MR"}, "level": "study", "pipeline": "trial_risk", "settings": settings}
        return RunningNode(
            folder,
            routes={"risk": {**route, "destinations": []}},
            records={"key_file": "records.key", **(records or {})},
            run={"memory_limit_mb": 2048, "box": "off", **(run or {})},  # its journal lies beside the data folder
            **more,
        )

    return made


def tell(node: RunningNode, bundle: dict[str, Any] = BUNDLE) -> None:
    """Have the node know the patient."""
    answer = httpx.post(f"http://127.0.0.1:{node.page}/fhir", json=bundle, timeout=60)
    assert answer.status_code == 200, answer.text


def import_record(node: RunningNode) -> None:
    """Have its record store know the patient, without it."""
    bundle = node.folder / "bundle.json"
    bundle.write_text(json.dumps(BUNDLE))
    assert record([bundle], node.config) == 0


def ask(node: RunningNode, headers: dict[str, str] | None = None, **more: str) -> httpx.Response:
    url = f"http://127.0.0.1:{node.page}/risk"
    return httpx.post(url, json={**QUESTION, **more}, headers=headers, timeout=120)


def runs(node: RunningNode, day: str = QUESTION["index_date"]) -> int:
    """How often the pipeline was run for that index date."""
    path = node.folder / "journal.txt"
    return sum(line.startswith(f"run {day} ") for line in path.read_text().splitlines()) if path.exists() else 0


def condyle(node: RunningNode, *words: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", *words, "--config", str(config or node.config)],
        capture_output=True,
        text=True,
        timeout=200,
    )


def clean_up(node: RunningNode) -> int:
    """Delete what is deleted `run.keep_jobs_days` after it ended; of how many jobs."""
    configuration = read_with_settings(node.config)
    database = set_up(configuration)
    engine = JobEngine(configuration, database, HERE)
    try:
        return engine.clean(datetime.now(UTC) + timedelta(days=31))
    finally:
        engine.stop()
        database.dispose()
