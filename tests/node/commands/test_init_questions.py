"""Questions that nobody can be asked are answered by their defaults; on a terminal test_init asks them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from node.commands.init_answers import WrongAnswer, ae_title
from node.commands.init_questions import Questions


def test_where_nobody_is_asked_defaults_are_taken_and_nothing_is_shown() -> None:
    shown = io.StringIO()
    questions = Questions(Console(file=shown), asking=False)
    questions.explain("1. The AE title", "of this node")
    assert questions.ask("AE title", "CONDYLE", ae_title) == "CONDYLE"
    assert questions.several("sender", "S", str.lower) == ("s",)
    assert questions.confirm("Replace it?", default=False) is False
    assert shown.getvalue() == ""


def test_a_default_that_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongAnswer):
        Questions(Console(file=io.StringIO()), asking=False).ask("AE title", "A" * 17, ae_title)


def test_a_wrong_answer_is_asked_again_and_no_ends_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["A" * 17, "B", "", "C", "no"])
    monkeypatch.setattr("builtins.input", lambda: next(answers))
    shown = io.StringIO()
    questions = Questions(Console(file=shown, width=200), asking=True)
    assert questions.several("AE title", "CONDYLE", ae_title) == ("B",), "Enter alone: no more"
    assert "should have at most 16 characters" in shown.getvalue()
    assert questions.several("AE title", "CONDYLE", ae_title) == ("C",)
