"""Verdicts are shown beside their job, and nothing that a reader sent becomes part of the page."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset

from tests.node.verdicts.assessed_node import AssessedNode, made_result, one_worse_one_gone
from tests.serving import client_of
from tests.workstation import edited

SCRIPT = "<script>alert(1)</script>"


def test_what_a_reader_sent_is_text_on_the_page(tmp_path: Path) -> None:
    def with_script(copy: Dataset) -> None:
        one_worse_one_gone(copy)
        copy.Manufacturer = SCRIPT

    node = AssessedNode(tmp_path, *made_result(tmp_path / "result"))
    node.take(edited(node.report, with_script))
    with client_of(node.here.app(), accept="text/html") as client:
        shown = client.get(f"/studies/{node.report.StudyInstanceUID}").text
    node.here.close()
    assert SCRIPT not in shown
    assert "&lt;script&gt;" in shown
    assert "Erosion score 2.4 → 4" in shown
    assert "Left out of an edited copy" in shown
