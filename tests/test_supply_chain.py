"""Where packages come from: bounds without known holes, one version of each, a digest for each file that is fetched."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PINS = (".ci/constraints-sbom.txt", "constraints.txt", "constraints-torch.txt", "constraints-torch-cpu.txt")


def lines(name: str) -> list[str]:
    """The pins of a file, each with its digests in one line."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pins(*names: str) -> dict[str, str]:
    """Version by normalised name of package."""
    requirements = [Requirement(line.split(" --hash")[0]) for name in names for line in lines(name)]
    return {canonicalize_name(one.name): next(iter(one.specifier)).version for one in requirements}


def required() -> list[Requirement]:
    """What setup.cfg and pyproject.toml ask for: to run, to test, to build the documentation and to install."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    texts = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    return [Requirement(line) for text in texts for line in text.splitlines() if line] + [Requirement(b) for b in build]


@pytest.mark.parametrize("requirement", required(), ids=str)
def test_a_requirement_is_pinned_at_a_version_that_it_allows(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins(*PINS)[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("line", [line for name in PINS for line in lines(name)], ids=lambda line: line.split()[0])
def test_a_pin_is_one_version_with_the_digests_of_its_files(line: str) -> None:
    assert re.fullmatch(r"[\w.-]+==[\w.+]+( ;[^#]*?)?( +--hash=sha256:[0-9a-f]{64})+ *", line)


def test_both_builds_of_torch_are_one_version() -> None:
    assert Version(pins("constraints-torch-cpu.txt")["torch"]).public == pins("constraints-torch.txt")["torch"]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("python-multipart", "0.0.26"),  # the last with a hole, as are all here
        ("starlette", "0.49.0"),
        ("pydicom", "3.0.1"),  # a DICOMDIR can lead out of its folder
        ("cryptography", "46.0.4"),
        ("h11", "0.14.0"),  # chunks that a proxy reads otherwise
        ("jinja2", "3.1.5"),
        ("monai", "1.5.0"),  # pickles and archives that write elsewhere
        ("pillow", "12.1.0"),
        ("requests", "2.32.3"),
    ],
)
def test_a_version_with_a_known_hole_is_not_taken(name: str, version: str) -> None:
    assert not any(one.specifier.contains(version) for one in required() if one.name == name)


def audited(folder: Path, answers: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The audit with a pip-audit that prints one of the two `answers`, for the first and for all packages."""
    folder.mkdir(exist_ok=True)
    (folder / "pip-audit").write_text(
        f"#!/bin/sh\ngrep -q '^pip==20.0$' \"$2\" && first=1\n{answers}\n", encoding="utf-8"
    )
    (folder / "pip-audit").chmod(0o755)
    (folder / "python").symlink_to(sys.executable)
    code = "import runpy, sys; sys.executable = sys.argv.pop(1); runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", code, str(folder / "python"), str(ROOT / ".ci" / "audit.py"), str(folder / "stamp")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


HOLE = '{"name": "pip", "version": "20.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["21.1"]}]}'
SOUND = '{"name": "click", "version": "8", "vulns": []}'


def test_a_known_vulnerability_fails_the_audit_and_is_named(tmp_path: Path) -> None:
    ran = audited(tmp_path, f"echo '{{\"dependencies\": [{HOLE}, {SOUND}]}}'; exit 1")
    assert ran.returncode == 1
    assert ran.stdout == "pip 20.0: PYSEC-1, mended in 21.1\n"
    assert not (tmp_path / "stamp").exists()


def test_packages_without_known_vulnerabilities_pass_the_audit(tmp_path: Path) -> None:
    ran = audited(
        tmp_path,
        f'if [ "$first" ]; then echo \'{{"dependencies": [{HOLE}]}}\'; else echo \'{{"dependencies": [{SOUND}]}}\'; fi',
    )
    assert (ran.returncode, ran.stdout) == (0, "no known vulnerabilities in 1 packages\n")
    assert (tmp_path / "stamp").exists()


def test_an_audit_that_breaks_off_after_the_index_has_answered_fails(tmp_path: Path) -> None:
    first = f'if [ "$first" ]; then echo \'{{"dependencies": [{HOLE}]}}\'; else echo "HTTP 500" >&2; exit 1; fi'
    ran = audited(tmp_path, first)
    assert (ran.returncode, ran.stdout) == (1, "the look for known vulnerabilities broke off: HTTP 500\n")
    assert not (tmp_path / "stamp").exists()


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ("echo 'cannot reach the index' >&2; exit 1", "cannot reach the index"),
        (f"echo '{{\"dependencies\": [{SOUND}]}}'", "it knows none, even of a package that has some"),
    ],
    ids=["unreachable", "a mirror that tells none"],
)
def test_an_index_that_tells_no_vulnerabilities_is_said_and_fails_nothing(
    tmp_path: Path, answers: str, reason: str
) -> None:
    ran = audited(tmp_path, answers)
    assert (ran.returncode, ran.stdout) == (
        0,
        f"not looked for known vulnerabilities: the package index does not tell them here ({reason})\n",
    )
    assert not (tmp_path / "stamp").exists()  # the next time again
    assert audited(tmp_path / "demanded", answers, REQUIRE_AUDIT="1").returncode == 1


@pytest.mark.parametrize(
    ("command", "said", "installed"),
    [
        ("true", "torch: the build for the processor alone\n", ["constraints-torch-cpu.txt"]),
        (
            "case $1 in *cpu*) echo 'ERROR: No matching distribution found for torch' >&2; exit 1;; esac",
            "torch: PyPI's build with its GPU libraries, some gigabytes, because the build for the processor alone of\n"
            "constraints-torch-cpu.txt cannot be had here (ERROR: No matching distribution found for torch)\n",
            ["constraints-torch-cpu.txt", "constraints-torch.txt"],
        ),
    ],
)
def test_which_build_of_torch_was_taken_is_said(tmp_path: Path, command: str, said: str, installed: list[str]) -> None:
    pip = tmp_path / "pip"
    pip.write_text(f"#!/bin/sh\necho $1 >>{tmp_path}/asked\n{command}\n", encoding="utf-8")
    pip.chmod(0o755)
    ran = subprocess.run([ROOT / ".ci" / "torch", pip], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == said
    assert (tmp_path / "asked").read_text(encoding="utf-8").split() == installed


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_a_viewer_that_is_not_the_known_file_is_not_unpacked(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("docs", "dicom_sr", "pipelines", "node/demo", "programs", "package/dist"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "package/dist/index.html").write_text("another viewer", encoding="utf-8")
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as archive:
        archive.add(tmp_path / "package", "package")
    scripts = {"node/demo/packages.sh": "true", "programs/npm": f"cp {tmp_path}/other.tgz ohif-app.tgz"}
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    version = re.findall(r"^OHIF := (\S+)", (tmp_path / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[0]
    page = f".cache/ohif-{version}/index.html"
    ran = subprocess.run(
        ["make", page, f"PYTHON={sys.executable}"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}/programs:{os.environ['PATH']}", "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode != 0
    assert "is not the file with the known digest" in ran.stderr
    assert not (tmp_path / page).exists()
