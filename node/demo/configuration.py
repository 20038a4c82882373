"""The demo's node: the routes of config.yaml on loopback, in a temporary folder, with short waits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from node.config.example import example_routes
from node.demo import scanner
from node.demo.orthanc_process import free_port

SHOWN = {"not_run_reports": True}  # a pipeline that was due and did not run is to be seen in the archive


def orthanc_destination(ae_title: str, port: int) -> dict[str, Any]:
    """The entry of an Orthanc in `destinations`."""
    return {"kind": "dimse", "ae_title": ae_title, "host": "127.0.0.1", "port": port, "profile": SHOWN}


def folder_destination(folder: Path) -> dict[str, Any]:
    """The entry of a folder in `destinations`."""
    return {"kind": "folder", "path": str(folder), "profile": SHOWN}


def write(path: Path, data: Path, destinations: Mapping[str, dict[str, Any]]) -> Path:
    """Write a configuration with free ports to `path`; returns it.

    Parameters
    ----------
    data
        The node's data folder.
    destinations
        Where all results go, by name.
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
        "routes": {name: {**route, "destinations": list(destinations)} for name, route in example_routes().items()},
        "destinations": dict(destinations),
        "status": {"port": free_port()},
    }
    path.write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")
    return path
