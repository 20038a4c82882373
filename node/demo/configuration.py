"""The configuration of the demo's node: loopback only, short quiet times, everything in a temporary folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from node.demo import scanner
from node.demo.orthanc import free_port

# Routes by pipeline; a pipeline that is to be seen in the demo has one here and a sample in `samples.SAMPLES`.
ROUTES: dict[str, dict[str, Any]] = {
    "knee_super_resolution": {
        "when": {
            "Modality": "MR",
            "any_of": [  # scanners say in different places what was scanned
                {"BodyPartExamined": ["KNEE", "LEG"]},
                {"ReceiveCoilName": "*knee*"},
                {"SeriesDescription": "*knee*"},
            ],
        },
        "level": "series",
        "pipeline": "knee_super_resolution",
    },
}
SHOWN = {"not_run_reports": True}  # a pipeline that was due and did not run is to be seen in the archive


def orthanc_destination(ae_title: str, port: int) -> dict[str, Any]:
    return {"kind": "dimse", "ae_title": ae_title, "host": "127.0.0.1", "port": port, "profile": SHOWN}


def folder_destination(folder: Path) -> dict[str, Any]:
    return {"kind": "folder", "path": str(folder), "profile": SHOWN}


def write(path: Path, data: Path, destination: dict[str, Any]) -> Path:
    """Write a configuration with free ports to `path`; returns it.

    Parameters
    ----------
    data
        The node's data folder.
    destination
        Where all results go; it is called ``archive``.
    """
    configuration = {
        "node": {"ae_title": "CONDYLE", "data": str(data), "institution": "Demo"},
        "peers": {"scanner": {"ae_title": scanner.AE_TITLE, "networks": ["127.0.0.0/8"]}},
        "receive": {
            "dimse": {"host": "127.0.0.1", "port": free_port()},
            "series_quiet_s": 3,
            "study_quiet_s": 4,
            "disk_floor_mb": 200,
        },
        "routes": {name: {**route, "destinations": ["archive"]} for name, route in ROUTES.items()},
        "destinations": {"archive": destination},
        "status": {"port": free_port()},
    }
    path.write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")
    return path
