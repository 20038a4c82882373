"""Where traces go, and what `condyle check` says of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config import Configuration, checks, telemetry
from node.config.telemetry import read_headers
from node.errors import ConfigurationError


def said(**settings: object) -> list[tuple[str, str]]:
    configuration = Configuration.model_validate({"telemetry": settings})
    return [(one.state, one.sentence) for one in checks.traces(configuration)]


def test_headers_are_lines_of_a_name_and_a_value(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Authorization: Bearer a b==\n\nX-Scope-OrgID:radiology\n")
    assert read_headers(tmp_path / "headers") == {"authorization": "Bearer a b==", "x-scope-orgid": "radiology"}


@pytest.mark.parametrize("line", ["Bearer secret", ": secret", "Name:", "Ünicode: secret", "Name: sec\x01ret"])
def test_a_line_that_is_no_header_is_named_by_its_number_and_not_by_what_it_holds(tmp_path: Path, line: str) -> None:
    (tmp_path / "headers").write_text(f"X-One: 1\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"telemetry.headers_file: .*headers: line 2 is no header") as raised:
        read_headers(tmp_path / "headers")
    assert "secret" not in str(raised.value)


def test_without_an_endpoint_nothing_is_said_and_headers_are_for_nobody(tmp_path: Path) -> None:
    assert said() == []
    ((state, sentence),) = said(headers_file=str(tmp_path / "headers"))
    assert (state, "no trace is sent" in sentence) == ("doubtful", True)


@pytest.mark.parametrize(
    ("settings", "state", "part"),
    [
        ({"otlp_endpoint": "https://user:hidden@host.example/v1/traces"}, "good", "traces go to https://host.example"),
        ({"otlp_endpoint": "http://127.0.0.1:4318/v1/traces", "uids": True}, "good", "127.0.0.1:4318"),
        ({"otlp_endpoint": "http://10.0.0.1:4318/v1/traces", "uids": True}, "doubtful", "cross the network in clear"),
        ({"otlp_endpoint": "https://host.example"}, "doubtful", "https://host.example/v1/traces"),
    ],
)
def test_where_traces_go_is_named_without_a_secret(settings: dict[str, object], state: str, part: str) -> None:
    ((found, sentence),) = said(**settings)
    assert found == state
    assert part in sentence
    assert "hidden" not in sentence


def test_missing_packages_are_named_with_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "PACKAGES", ("opentelemetry.no_such_package",))
    assert telemetry.packages_missing()
    monkeypatch.setattr(telemetry, "PACKAGES", ("no_such_package.at.all",))
    assert telemetry.packages_missing()
    ((state, sentence),) = said(otlp_endpoint="https://host.example/v1/traces")
    assert state == "bad"
    assert sentence.endswith('install them: pip install "condyle[tracing]"')


def test_a_node_with_bad_headers_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("nonsense\n")
    named = {"otlp_endpoint": "https://host.example/v1/traces", "headers_file": str(tmp_path / "headers")}
    found = list(checks.files(Configuration.model_validate({"telemetry": named})))
    assert [(one.key, one.state) for one in found] == [("telemetry.headers_file", "bad")]
    assert checks.files in checks.AT_START
