"""The guide docs/bundles.md: its commands do what it says, in its order."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from node.demo.orthanc_process import free_port
from tests.pipelines.monai_bundle.made_bundles import threshold_bundle
from tests.pipelines.monai_bundle.oblique_series import write_body

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "bundles.md"


def blocks(language: str) -> list[str]:
    found = re.findall(rf"(?ms)^ *```{language}\n(.*?)^ *```", GUIDE.read_text(encoding="utf-8"))
    return [textwrap.dedent(one).strip() for one in found]


def condyle(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    assert program == "condyle"
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.timeout(900)
def test_the_commands_of_the_guide_run_one_after_the_other(tmp_path: Path) -> None:
    add, check_bundle, check, run = blocks("shell")
    threshold_bundle(tmp_path / "spleen")
    write_body(tmp_path / "study")
    config = tmp_path / "config.yaml"
    ports = {"receive": {"dimse": {"port": free_port()}}, "status": {"port": free_port()}}
    destinations = {"destinations": {"results": {"kind": "folder", "path": "results"}}}
    config.write_text(yaml.safe_dump({**ports, **destinations}))

    done = condyle(tmp_path, add)
    assert done.returncode == 0, done.stderr
    printed = yaml.safe_load(done.stdout)
    (entry,) = blocks("yaml")
    written = yaml.safe_load(entry)
    written["bundles"]["spleen"]["sha256"] = printed["bundles"]["spleen"]["sha256"]
    shared = {key: value for key, value in written["bundles"]["spleen"].items() if key != "output"}
    assert shared == {key: printed["bundles"]["spleen"][key] for key in shared}
    assert written["routes"] == printed["routes"]
    config.write_text(yaml.safe_dump({**ports, **destinations, **written}))

    done = condyle(tmp_path, check_bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "results end where they belong" in done.stdout
    done = condyle(tmp_path, check)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "segmentation of 1 input, as pinned" in done.stdout
    done = condyle(tmp_path, run)
    assert done.returncode == 0, done.stdout + done.stderr
    (summary,) = (tmp_path / "out").rglob("summary.json")
    told = json.loads(summary.read_text())
    assert told["state"] == "done"
    assert "spleen: " in json.dumps(told, ensure_ascii=False)
    other = condyle(tmp_path, "condyle run bundle:spleeen study --out other --config config.yaml")
    assert other.returncode == 2
    assert "did you mean 'spleen'" in other.stderr
