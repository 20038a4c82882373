"""`node.commands.model`; `tests.node.test_main` runs the commands."""

from __future__ import annotations

import subprocess
import sys

from node.commands.exit_codes import NOT_RIGHT

WITHOUT_IGNITE = """
import sys
sys.modules["ignite"] = None  # as where it is not installed
from node.commands.model import hand_over
sys.exit(hand_over("train", "knee_oa_risk", ["--output", "own"]))
"""


def test_a_training_without_its_packages_says_what_to_install() -> None:
    ended = subprocess.run([sys.executable, "-c", WITHOUT_IGNITE], capture_output=True, text=True, check=False)
    assert ended.returncode == NOT_RIGHT, ended.stderr
    assert "ignite first: pip install 'condyle[train]'" in ended.stderr
    assert "Traceback" not in ended.stderr
