"""How the commands print: tables, and what others have put into texts."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from dicom_sr.words import escaped, escaped_json
from node.commands.terminal import SafeConsole, console, print_whole


def test_columns_that_do_not_wrap_are_whole_on_a_narrow_terminal() -> None:
    uid, printed = "2.25." + "7" * 59, io.StringIO()
    table = Table(box=None)
    for heading in ("Study", "Series"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Reason", min_width=20)
    table.add_row(uid, uid, Text("a sentence that is longer than the column", no_wrap=True, overflow="ellipsis"))
    print_whole(Console(file=printed, width=80), table)
    _, row = printed.getvalue().splitlines()
    assert row.count(uid) == 2
    assert row.rstrip().endswith("a sentence that is …")


HOSTILE = "knee\x1b]0;x\nforged \x9b31m \u202egnp.exe\u2069 \x00\x7f \udcff"  # Rich itself drops \a, \b, \v, \f, \r
HARMLESS = r"knee\x1b]0;x\nforged \x9b31m \u202egnp.exe\u2069 \x00\x7f \xff"


def test_whatever_is_printed_is_escaped_without_the_callers_help() -> None:
    printed = io.StringIO()
    out = SafeConsole(file=printed, width=500)
    table, tree = Table(box=None), Tree(HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE))
    tree.add(Text.assemble((HOSTILE, "bold"), "!"))
    for one in (HOSTILE, Text(HOSTILE), table, tree):
        out.print(one)
    out.print(HOSTILE, markup=False)
    assert [line.strip("└─ !") for line in printed.getvalue().splitlines()] == 8 * [HARMLESS]


def test_json_stays_valid_and_says_the_same() -> None:
    printed = io.StringIO()
    SafeConsole(file=printed, width=20).print_json(json.dumps({"found": HOSTILE, HOSTILE: ["Müller"]}))
    assert json.loads(printed.getvalue()) == {"found": HOSTILE, HOSTILE: ["Müller"]}
    assert escaped(printed.getvalue(), keep="\n") == printed.getvalue()


def test_a_style_goes_over_what_is_escaped() -> None:
    printed = io.StringIO()
    SafeConsole(file=printed, width=80, force_terminal=True, color_system="standard").print(Text("a\x1bb", "red"))
    assert Text.from_ansi(printed.getvalue()).plain.strip() == "a\\x1bb"
    assert printed.getvalue().count("\x1b[31m") == printed.getvalue().count("\x1b[0m") > 1


@given(st.text())
def test_no_text_prints_a_control_character(text: str) -> None:
    printed = io.StringIO()
    SafeConsole(file=printed, width=500).print(Text(text))
    assert escaped(printed.getvalue(), keep="\n") == printed.getvalue()
    assert json.loads(escaped_json(json.dumps(text, ensure_ascii=False))) == text


def test_a_problem_is_one_line_where_it_goes_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    console(error=True).print("x " * 200)
    assert capsys.readouterr().err.count("\n") == 1
