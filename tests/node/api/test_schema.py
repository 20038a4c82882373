"""Requests that are made up from the OpenAPI document find nothing: no failure, no answer that it does not name.

`CONDYLE_API_EXAMPLES` makes more of them for each operation; 200 take some minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.node.api.asking import asked

EXAMPLES = os.environ.get("CONDYLE_API_EXAMPLES", "3")


def test_requests_made_up_from_the_document_find_nothing(tmp_path: Path) -> None:
    with asked(tmp_path) as api:
        for _ in range(3):
            api.outgoing.job("pacs", "web")
        found = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "run", f"{api.url}/api/v1/openapi.json"),
                *("--url", f"{api.url}/api/v1", "--header", f"Authorization: Bearer {api.tokens['administrator']}"),
                *("--checks", "all", "--max-examples", EXAMPLES, "--seed", "1", "--no-color"),
                *("--generation-database", "none", "--suppress-health-check", "all"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, f"{found.stdout[-20000:]}\n{found.stderr[-2000:]}"
        assert "Traceback" not in api.node.log_text()
        with api.by("administrator") as client:
            assert client.get("/status").json()["health"]["ready"]
