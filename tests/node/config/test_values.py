"""What a value of the configuration may be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from node.config import read
from node.errors import ConfigurationError


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


NO_HOST = [
    "*",
    "*.",
    "*.*",
    "*.*.example.org",
    "a*.example.org",
    "a b",
    "http://a.org",
    "a.org:8090",
    "a.org/x",
    "[::1]",
]


@pytest.mark.parametrize(
    "name", [*NO_HOST, "", ".", "a..b", "a,b", "10.1.2", "10.1.2.256", "a" * 64, "a\\nb", "münchen.example"]
)
def test_what_is_no_name_of_the_node_is_told_so(tmp_path: Path, name: str) -> None:
    told = r"config.yaml:3: status.allowed_hosts.1: .*: should be a name under which .* or \*\.example\.org for all in"
    with pytest.raises(ConfigurationError, match=told):
        read(written(tmp_path, f'status:\n  allowed_hosts: [ai.lan,\n    "{name}"]'))


@pytest.mark.parametrize("name", ["*", "*.example.org", "", "a..b", "a,b", "10.1.2.256", "a;b", "a" * 64])
def test_what_is_no_host_is_told_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"config.yaml:2: status.host: .*: should be a name or an address"):
        read(written(tmp_path, f'status:\n  host: "{name}"'))


def test_names_and_addresses_are_hosts(tmp_path: Path) -> None:
    names = ["ai.lan", "AI.lan.", "*.pod.lan", "node_1", "xn--mnchen-3ya.example", "10.1.2.3", "::1", "fe80::1%eth0"]
    text = f"status:\n  host: münchen.example\n  allowed_hosts: {json.dumps(names)}"
    assert read(written(tmp_path, text)).status.allowed_hosts == tuple(names)


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD",
        "ld_preload",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PATH",
        "HOME",
        "BASH_ENV",
        "CONDYLE_CONFIG",
        "PGPASSWORD",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "HTTPS_PROXY",
        "A=B",
        "1A",
        "'A B'",
        "''",
        "'Ä'",
    ],
)
def test_variables_that_undo_the_box_or_are_secrets_are_not_handed_on(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"config.yaml:1: run.environment.1: .*should be"):
        read(written(tmp_path, f"run: {{environment: [HF_HOME, {name}]}}"))


def test_names_of_variables_are_taken(tmp_path: Path) -> None:
    names = ("HF_HOME", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TORCH_HOME", "nnUNet_results")
    assert read(written(tmp_path, f"run: {{environment: [{', '.join(names)}]}}")).run.environment == names


@pytest.mark.parametrize(
    "address",
    [
        "https://ohif.example/viewer?StudyInstanceUIDs={StudyInstanceUID}",
        "http://10.0.0.1:8080/weasis?acc={AccessionNumber}&uid={StudyInstanceUID}",
    ],
)
def test_the_address_of_a_viewer_names_the_study(tmp_path: Path, address: str) -> None:
    assert read(written(tmp_path, f'status:\n  viewer_url: "{address}"')).status.viewer_url == address


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("https://ohif.example/viewer", "should name {AccessionNumber} or {StudyInstanceUID}"),
        ("https://ohif.example/{PatientName}/{StudyInstanceUID}", "and nothing else so"),
        ("javascript:alert({StudyInstanceUID})", "should be a URL"),
    ],
)
def test_what_is_no_address_of_a_viewer_is_told_so(tmp_path: Path, address: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(why)):
        read(written(tmp_path, f'status:\n  viewer_url: "{address}"'))
