"""Looks for known vulnerabilities in the pinned packages: python .ci/audit.py [STAMP]

Ends with 1 if there is one that is not accepted below, or if the look breaks off. An index that cannot be reached, or
that tells nothing of vulnerabilities, as mirrors do, is said in a sentence and fails nothing, unless REQUIRE_AUDIT=1 is
in the environment. The file STAMP is made where all packages were looked at and none has one.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ACCEPTED: dict[str, str] = {}  # id of a vulnerability: why it does not concern the node
ROOT = Path(__file__).resolve().parents[1]
WITHIN_S = 300  # 200 packages take 5 s
PIP_AUDIT = shutil.which("pip-audit", path=str(Path(sys.executable).parent)) or "pip-audit"


class NoAnswer(Exception):
    """Nothing was told of vulnerabilities; the message says why."""


def audit(requirements: Path) -> list[dict]:
    """What the index says of each package; an error of the program, as its last line, raises `NoAnswer`."""
    command = [PIP_AUDIT, "--requirement", str(requirements), "--disable-pip", "--no-deps", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", "10"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S)
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"no answer within {WITHIN_S} s") from None
    try:
        return json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise NoAnswer((run.stderr.strip().splitlines() or ["no answer"])[-1]) from None


def require_index(requirements: Path) -> None:
    """Ask for one package that has known vulnerabilities; raises `NoAnswer` where the index tells none."""
    requirements.write_text("pip==20.0\n", encoding="utf-8")
    if not any(package.get("vulns") for package in audit(requirements)):
        raise NoAnswer("it knows none, even of a package that has some")


def main() -> int:
    pins = [
        line.split()[0]
        for name in ("constraints.txt", "constraints-torch.txt")
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if "==" in line
    ]
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "pins.txt")
        try:
            require_index(requirements)
        except NoAnswer as error:
            print(f"not looked for known vulnerabilities: the package index does not tell them here ({error})")
            return int(os.environ.get("REQUIRE_AUDIT") == "1")
        requirements.write_text("\n".join(pins) + "\n", encoding="utf-8")
        try:
            packages = audit(requirements)
        except NoAnswer as error:
            print(f"the look for known vulnerabilities broke off: {error}")
            return 1
    untold = [package["name"] for package in packages if "skip_reason" in package]
    found = [
        f"{package['name']} {package['version']}: {known['id']}, mended in {' or '.join(known['fix_versions'])}"
        for package in packages
        for known in package.get("vulns", ())
        if known["id"] not in ACCEPTED
    ]
    print("\n".join(found) or f"no known vulnerabilities in {len(packages) - len(untold)} packages")
    if untold:
        print(f"the index tells nothing of: {', '.join(untold)}")
    if not found and len(sys.argv) > 1:
        Path(sys.argv[1]).touch()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
