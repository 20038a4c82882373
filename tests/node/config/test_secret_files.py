"""Secrets are read without what editors put around them; a file without one is an error and never an empty secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.secret_files import read_record_key, read_secret, token_problem
from node.errors import ConfigurationError
from node.patient_records.store import new_key


@pytest.mark.parametrize("content", [b"secret", b"secret\n", b"  secret\r\n\n", b"\xef\xbb\xbfsecret"])
def test_what_an_editor_adds_is_no_part_of_a_secret(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert read_secret("x.password_file", tmp_path / "file") == "secret"


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "is not text"), (None, "there is no such file")],
)
def test_a_file_without_a_secret_is_told_with_its_key(tmp_path: Path, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"^x\.password_file: {tmp_path}/file: {told}"):
        read_secret("x.password_file", tmp_path / "file")


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a folder; should be a file"):
        read_secret("x.password_file", tmp_path)


def test_a_key_that_the_node_made_is_one(tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "key").write_bytes(key + b"\n")
    assert read_record_key(tmp_path / "key") == key


@pytest.mark.parametrize(
    ("token", "fit"),
    [
        ("", False),
        ("x" * 15, False),
        ("x" * 16, True),
        ("x" * 15 + " x", False),
        ("x" * 16 + "\n", False),
        ("ü" * 16, False),
    ],
)
def test_a_token_is_one_long_word_of_ascii(token: str, fit: bool) -> None:
    assert (token_problem(token) is None) is fit
