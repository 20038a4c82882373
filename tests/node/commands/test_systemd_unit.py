"""The unit: what systemd itself says of it, and what it lets the node write."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from node.commands.systemd_unit import STATE, Unit, quoted
from tests.needs import missing

CONFIG = Path("/etc/condyle/config.yaml")
LEFT_OUT = ("RestrictNamespaces", "ProtectHostname", "ProtectProc", "ProcSubset", "ProtectKernelTunables")


def unit(*folders: Path, data: Path = STATE / "data", config: Path = CONFIG, gpu: bool = False) -> Unit:
    return Unit("daemon", config, data, folders, gpu)  # an account that every machine has


def settings(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


@pytest.fixture
def analyze() -> str:
    return shutil.which("systemd-analyze") or missing("systemd is not installed")


@pytest.mark.parametrize("gpu", [False, True])
def test_systemd_finds_nothing_wrong_with_it(analyze: str, tmp_path: Path, gpu: bool) -> None:
    (tmp_path / "condyle.service").write_text(unit(tmp_path / "re sults%", gpu=gpu).text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / "condyle.service"], capture_output=True, text=True, timeout=60
    )
    about_it = [line for line in done.stderr.splitlines() if "condyle.service" in line]
    assert (done.returncode, about_it) == (0, []), done.stderr


def test_systemd_calls_it_well_protected(analyze: str, tmp_path: Path) -> None:
    (tmp_path / "condyle.service").write_text(unit().text)
    done = subprocess.run(
        [analyze, "security", "--offline=yes", "--json=short", "--threshold=35", tmp_path / "condyle.service"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    open_doors = [one["name"] for one in json.loads(done.stdout) if one["set"] is False]
    assert done.returncode == 0, open_doors  # the threshold is an exposure of 3.5; a unit without any of it has 9.6
    found = {one["json_field"]: one["set"] for one in json.loads(done.stdout)}
    assert found["NoNewPrivileges"]
    assert found["ProtectSystem"]


def test_what_boxes_need_is_left_and_the_unit_says_so() -> None:
    text = unit().text
    assert not set(LEFT_OUT) & set(settings(text))
    assert all(f"{name}=" in text for name in LEFT_OUT)
    assert {"@mount", "sethostname"} <= set(settings(text)["SystemCallFilter"].split())
    assert "AF_NETLINK" in settings(text)["RestrictAddressFamilies"]


def test_it_may_write_the_data_and_results_and_nothing_else() -> None:
    made_by_systemd = settings(unit(STATE / "results").text)
    assert made_by_systemd["StateDirectory"] == "condyle"
    assert "ReadWritePaths" not in made_by_systemd
    elsewhere = settings(unit(Path("/srv/a b"), data=Path("/srv/data")).text)
    assert elsewhere["ReadWritePaths"] == '/srv/data "/srv/a b"'
    assert "StateDirectory" not in elsewhere


def test_homes_are_closed_unless_something_of_the_node_lies_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("prefix", "base_prefix"):
        monkeypatch.setattr(f"sys.{name}", "/opt/condyle/.venv")
    monkeypatch.setattr("node.commands.systemd_unit.__file__", "/opt/condyle/node/commands/systemd_unit.py")
    assert settings(unit().text)["ProtectHome"] == "yes"
    assert unit().hidden == ()
    at_home = unit(config=Path("/root/config.yaml"))
    assert settings(at_home.text)["ProtectHome"] == "read-only"
    assert at_home.hidden == (Path("/root/config.yaml"),)


def test_a_gpu_stays_in_sight() -> None:
    assert "PrivateDevices" in settings(unit().text)
    assert not {"PrivateDevices", "ProtectClock"} & set(settings(unit(gpu=True).text))


@pytest.mark.parametrize(
    ("word", "written"), [("/a/b-c.d", "/a/b-c.d"), ("/a b", '"/a b"'), ("/100%", "/100%%"), ('/"', '"/\\""')]
)
def test_a_path_is_written_as_systemd_reads_it(word: str, written: str) -> None:
    assert quoted(word) == written
