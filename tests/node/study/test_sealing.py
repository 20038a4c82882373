"""Files that name a patient: unreadable without the key, the same bytes for the same content, plain without a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.errors import ConfigurationError
from node.patient_records.store import new_key
from node.study.sealing import seal, unseal

CONTENT = b'{"subject": "P-4711"}'


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "records.key").write_bytes(new_key() + b"\n")
    return tmp_path / "records.key"


def test_what_is_sealed_cannot_be_read_and_comes_back_whole(key: Path) -> None:
    sealed = seal(CONTENT, key)
    assert b"P-4711" not in sealed
    assert unseal(sealed) == CONTENT


def test_the_same_content_gives_the_same_bytes_and_other_content_others(key: Path) -> None:
    assert seal(CONTENT, key) == seal(CONTENT, key)
    assert seal(CONTENT, key) != seal(CONTENT + b" ", key)


def test_without_a_key_it_stays_as_it_is() -> None:
    assert seal(CONTENT, None) == CONTENT
    assert unseal(CONTENT) == CONTENT


def test_another_key_and_a_changed_file_are_told_in_a_sentence(key: Path) -> None:
    sealed = seal(CONTENT, key)
    with pytest.raises(ConfigurationError, match="sealed with another key"):
        unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    key.write_bytes(new_key())
    with pytest.raises(ConfigurationError, match="sealed with another key"):
        unseal(sealed)
    key.write_bytes(b"no key")
    with pytest.raises(ConfigurationError, match="holds no key"):
        unseal(sealed)
    key.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        unseal(sealed)
