"""Looks for known vulnerabilities in the pinned packages; ends with 1 only if there is one that is not accepted below.

An index that cannot be reached, or that tells nothing of vulnerabilities, as mirrors do, is said in a sentence.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ACCEPTED: dict[str, str] = {}  # id of a vulnerability: why it does not concern the node
ROOT = Path(__file__).resolve().parents[1]
PIP_AUDIT = shutil.which("pip-audit", path=str(Path(sys.executable).parent)) or "pip-audit"


def audit(requirements: Path) -> list[dict]:
    """What the index says of each package; an error of the program, as its last line, raises RuntimeError."""
    command = [PIP_AUDIT, "--requirement", str(requirements), "--disable-pip", "--no-deps", "--format", "json"]
    run = subprocess.run([*command, "--progress-spinner", "off", "--timeout", "10"], capture_output=True, text=True)
    try:
        return json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise RuntimeError((run.stderr.strip().splitlines() or ["no answer"])[-1]) from None


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
            # one package first: an index that tells nothing is not asked for all
            requirements.write_text("pip==20.0\n", encoding="utf-8")  # has known vulnerabilities
            if not any(package.get("vulns") for package in audit(requirements)):
                raise RuntimeError("it knows none, even of a package that has some")
            requirements.write_text("\n".join(pins) + "\n", encoding="utf-8")
            packages = audit(requirements)
        except RuntimeError as error:
            print(f"not looked for known vulnerabilities: the package index does not tell them here ({error})")
            return 0
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
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
