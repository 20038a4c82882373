"""Lists of studies as sites have them, and the report by which a list is gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.commands.study_list import NoList, Report, Wanted, read_list


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("A1\nA2\n", [Wanted("A1"), Wanted("A2")]),
        ("Accession Number\nA1\n\nA1\n", [Wanted("A1")]),
        ("\ufeffname;AccessionNumber\r\nx;A1\r\n;A2\r\ny;\r\n", [Wanted("A1"), Wanted("A2")]),
        ("study_instance_uid,accession_number\n1.2.3,A1\n,A2\n", [Wanted(study="1.2.3"), Wanted("A2")]),
        ("day\tSTUDY\n2026\t1.2.3\n", [Wanted(study="1.2.3")]),
    ],
)
def test_a_list_is_read_in_the_forms_that_it_is_written_in(tmp_path: Path, content: str, found: list[Wanted]) -> None:
    (tmp_path / "list.csv").write_text(content, encoding="utf-8")
    assert read_list(tmp_path / "list.csv") == found


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "lists no study"), (b"accession\n", "lists no study"), (b"\xff\xfe\x00", "is not text in UTF-8")],
)
def test_what_is_no_list_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(NoList, match=told):
        read_list(tmp_path / "list.csv")
    with pytest.raises(NoList, match="cannot be read"):
        read_list(tmp_path / "no.csv")


def test_what_a_report_says_was_run_is_known_and_what_failed_is_not(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    report = Report(path)
    assert report.run == frozenset()
    report.add(Wanted("A1"), "1.2.3", ["j1"], "")
    report.add(Wanted("A2"), "", [], "pacs: has no study, with this accession number")
    report.add(Wanted(study="1.2.4"), "1.2.4", ["j2", "j3"], "")
    assert path.stat().st_mode & 0o777 == 0o600
    assert Report(path).run == {Wanted("A1"), Wanted(study="1.2.3"), Wanted(study="1.2.4")}


def test_a_report_that_cannot_be_written_is_told_before_anything_is_run(tmp_path: Path) -> None:
    with pytest.raises(NoList, match="cannot be written: No such file or directory"):
        Report(tmp_path / "missing" / "report.csv")


def test_another_file_is_not_taken_for_a_report(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(NoList, match="is another file"):
        Report(tmp_path / "other.csv")
    assert (tmp_path / "other.csv").read_text() == "a,b\n1,2\n"
