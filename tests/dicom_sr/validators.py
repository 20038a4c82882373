"""The validators as functions: each returns the lines that count as errors; an empty list is a pass.

dciodvfy and dcentvfy print to stderr, and dciodvfy's exit code is 0 for some errors: their lines are parsed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.needs import missing

PIXELMED = Path("/usr/share/java/pixelmed.jar")
# without the limits lifted Java 17 stops with JAXP0801003 on every file; the collector of one thread costs least
_LIMITS = ("TotalOpLimit", "ExprOpLimit", "ExprGrpLimit")
_JAVA: tuple[str | Path, ...] = (
    "java",
    "-XX:+UseSerialGC",
    *(f"-Djdk.xml.xpath{limit}=0" for limit in _LIMITS),
    "-cp",
    PIXELMED,
)
_CHECK_REPORTS = Path(__file__).with_name("CheckReports.java")

# what dciodvfy may warn of; anything else is ours to mend
ALLOWED_WARNINGS = (
    ("Unrecognized defined term", "99MSKAI"),  # the private scheme
    ("Unrecognized defined term", "99CS3D"),  # OHIF's scheme
    ("Unrecognized defined term", "99ACME"),  # one of somebody else's
    ("Unrecognized defined term", "CodingSchemeUID"),  # its UID
    ("needed to build DICOMDIR",),  # an empty StudyID is the source's
    ("ContributingEquipmentSequence", "DeviceUID"),  # in the standard since 2020 (PS3.3 C.12.1), dciodvfy knows it not
    ("Laterality",),  # empty where the source does not say the side
)


def program(name: str) -> str:
    """The path of a validator that the virtual environment or Debian brings."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    return found or missing(f"{name} is not installed")


def run(*command: str | Path, timeout_s: float = 120.0) -> tuple[int, str]:
    """Exit code and everything that the command printed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, timeout=timeout_s, check=False)
    return done.returncode, (done.stdout + b"\n" + done.stderr).decode(errors="replace")


def dciodvfy(path: Path) -> tuple[list[str], list[str]]:
    """Errors and unexpected warnings of dicom3tools' IOD check."""
    _, text = run(program("dciodvfy"), "-new", path)
    lines = text.splitlines()
    errors = [line for line in lines if line.startswith("Error")]
    if not any(line.strip() for line in lines):  # it always names the IOD that it took the object for
        errors.append("dciodvfy printed nothing")
    warnings = [line for line in lines if line.startswith("Warning") and not _allowed(line)]
    return errors, warnings


def _allowed(line: str) -> bool:
    return any(all(part in line for part in parts) for parts in ALLOWED_WARNINGS)


def dcentvfy(paths: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Errors and unexpected warnings of dicom3tools' check across all files of a study."""
    _, text = run(program("dcentvfy"), *paths)
    lines = text.splitlines()
    errors = [line for line in lines if line.startswith("Error")]
    warnings = [line for line in lines if line.startswith("Warning") and "AccessionNumber" not in line]
    return errors, warnings


def pixelmed(paths: Sequence[Path], timeout_s: float = 1800.0) -> dict[Path, tuple[list[str], str]]:
    """Errors and everything that PixelMed's DicomSRValidator says, by file; it loads its rules once for all of them."""
    if not PIXELMED.exists() or shutil.which("javac") is None:
        missing("PixelMed (libpixelmed-java) and a Java development kit are not installed")
    command = [str(c) for c in (*_JAVA, _CHECK_REPORTS, *paths)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    told = re.split(r"^Report: .*\n", done.stdout, flags=re.MULTILINE)[1:]
    # what it cannot read or its rules stumble over may be on standard error alone, and the exit code 0
    if done.returncode or len(told) != len(paths) or re.search("error|exception", done.stderr, re.IGNORECASE):
        raise RuntimeError(f"PixelMed did not check everything: {done.stdout[-400:]}\n{done.stderr[-400:]}")
    return {path: (_template_errors(one), one) for path, one in zip(paths, told, strict=True)}


def _template_errors(told: str) -> list[str]:
    errors = [line for line in told.splitlines() if line.startswith("Error")]
    if not re.search(r"^Found \S+ IOD$", told, re.MULTILINE):  # it has no rules for the object
        errors.append(f"PixelMed recognised no IOD: {told[:200]}")
    return errors


def exits_with_zero(*command: str | Path) -> list[str]:
    """The last lines of a command that should have ended with 0; empty where it did."""
    code, text = run(*command)
    return [] if code == 0 else [f"exit {code}", *text.strip().splitlines()[-3:]]


def all_files(folders: Iterable[Path]) -> list[Path]:
    """Every DICOM file below the folders, sorted."""
    return sorted(path for folder in folders for path in folder.rglob("*.dcm"))
