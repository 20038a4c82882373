"""The ways in are told as the configuration opens them."""

from __future__ import annotations

from pathlib import Path

from node.config import Configuration
from node.status.receivers import receivers


def test_every_way_in_is_told_without_secrets(tmp_path: Path) -> None:
    configuration = Configuration.model_validate(
        {
            "node": {"data": str(tmp_path)},
            "receive": {
                "dimse": {"ae_titles": ["KNEE"], "port": 104},
                "watched_folders": [{"path": "/in"}],
                "orthanc_feeds": {"old": {"url": "https://user:secret@orthanc.example"}},
            },
        }
    )
    assert [(one.name, one.where) for one in receivers(configuration)] == [
        ("DICOM", "CONDYLE, KNEE at 0.0.0.0:104"),
        ("STOW-RS", "http://127.0.0.1:8090/dicom-web/studies"),
        ("watched folder", "/in"),
        ("Orthanc feed old", "orthanc.example"),
    ]


def test_what_is_off_is_not_told(tmp_path: Path) -> None:
    receive = {"dicomweb": {"enabled": False}}
    configuration = Configuration.model_validate({"node": {"data": str(tmp_path)}, "receive": receive})
    assert [one.name for one in receivers(configuration)] == ["DICOM"]
