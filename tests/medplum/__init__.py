"""Medplum's FHIR R4 server, in memory, as a peer that somebody else has written."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.needs import missing

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / ".cache" / "medplum" / "node_modules"


@contextmanager
def medplum(folder: Path) -> Iterator[str]:
    """The base URL of a server without any resource; `folder` is for its program."""
    program = shutil.which("node") or missing("Node.js is not installed")
    if not PACKAGES.is_dir():
        missing("Medplum is not in .cache: `make test` fetches it where npm is installed")
    (folder / "node_modules").symlink_to(PACKAGES)
    shutil.copy(HERE / "server.mjs", folder)
    process = subprocess.Popen([program, "server.mjs"], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "the server did not start"
        yield f"http://127.0.0.1:{port}/r4"
    finally:
        process.kill()
        process.communicate()


def found(base: str, kind: str, **query: str) -> list[dict[str, Any]]:
    """What a search finds, at most 1000."""
    answer = httpx.get(f"{base}/{kind}", params={**query, "_count": "1000"}, timeout=60)
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", [])]
