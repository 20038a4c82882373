"""Model cards."""

from __future__ import annotations

from pathlib import Path

from pipelines.lab.card import write_section


def test_a_section_is_written_between_its_marks_and_the_rest_is_kept(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("# Card\n\n<!-- evaluation: begin -->\nold\n<!-- evaluation: end -->\n\nAfter.\n")
    write_section(card, "evaluation", "+1.00")
    assert card.read_text() == "# Card\n\n<!-- evaluation: begin -->\n+1.00\n<!-- evaluation: end -->\n\nAfter.\n"


def test_a_section_that_is_not_there_is_added_at_the_end(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    write_section(card, "speed", "fast")
    write_section(card, "costs", "few")
    assert card.read_text().split() == [
        *(["<!--", "speed:", "begin", "-->", "fast", "<!--", "speed:", "end", "-->"]),
        *(["<!--", "costs:", "begin", "-->", "few", "<!--", "costs:", "end", "-->"]),
    ]
