"""`condyle verdicts --dataset`: a folder for each pipeline whose training takes corrected results."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from alembic import command

from dicom_sr.assessment import Answer, Assessment
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.verdict_dataset import dataset
from node.commands.verdict_report import report
from node.database.migrations import configuration
from node.verdicts.giving import PageVerdicts
from pipelines.hand_foot_scoring.training.data import own_table
from tests.node.verdicts.assessed_node import made_result
from tests.node.verdicts.judged_node import JudgedNode


def test_data_and_report_are_written_from_what_readers_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = JudgedNode(tmp_path / "node", *made_result(tmp_path / "result"))
    with node.database.connect() as connection:  # its tables were made without their history
        command.stamp(configuration(connection), "head")
        connection.commit()
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"node": {"data": str(node.here.data)}}))
    out, page = tmp_path / "data", tmp_path / "page"
    assert (dataset(out, config), report(page, config)) == (NOT_RIGHT, NOT_RIGHT)

    verdicts = PageVerdicts(node.configuration, node.database)
    verdicts.give("1", verdicts.questions("1").report_uid, "Jane Roe", [Assessment(Answer.ACCEPT)])
    assert dataset(out, config) == OK
    assert "1 result left out, as its training takes no corrected results" in capsys.readouterr().out

    node.change(pipeline="hand_foot_scoring")
    assert dataset(out, config) == OK
    said = " ".join(capsys.readouterr().out.split())
    assert "condyle train hand_foot_scoring --data" in said
    assert "--layout own trains with them" in said
    assert (dataset(out, config), report(page, config)) == (USAGE, OK)
    assert "1 reading of 1 study by 1 reader: 1 accepted" in capsys.readouterr().out
    assert (page / "report.html").is_file()
    (film,) = own_table.read(out / "hand_foot_scoring").films
    assert {(cell.site, grade) for cell, grade in film.grades.items()} == {("MCP2", 2.0)}
    node.here.close()
