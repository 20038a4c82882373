from __future__ import annotations

from pathlib import Path

from pipelines import codes_page


def test_the_page_of_codes_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "codes.md"
    assert page.read_text(encoding="utf-8") == codes_page.as_markdown(), (
        "run `python -m pipelines.codes_page > docs/codes.md`"
    )
