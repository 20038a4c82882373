"""Files that name a patient: unreadable without the key, the same bytes for the same content, plain without a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.errors import ConfigurationError
from node.patient_records.store import new_key
from node.study.sealing import MARK, OLDER_MARK, seal, unseal

CONTENT = b'{"subject": "P-4711"}'


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "records.key").write_bytes(new_key() + b"\n")
    return tmp_path / "records.key"


def test_what_is_sealed_cannot_be_read_and_comes_back_whole(key: Path) -> None:
    sealed = seal(CONTENT, key)
    assert b"P-4711" not in sealed
    assert unseal(sealed, key) == CONTENT


def test_the_same_content_gives_the_same_bytes_and_other_content_others(key: Path) -> None:
    assert seal(CONTENT, key) == seal(CONTENT, key)
    assert seal(CONTENT, key) != seal(CONTENT + b" ", key)


def test_without_a_key_it_stays_as_it_is() -> None:
    assert seal(CONTENT, None) == CONTENT
    assert unseal(CONTENT, None) == CONTENT


def test_another_key_and_a_changed_file_are_told_in_a_sentence(key: Path) -> None:
    sealed = seal(CONTENT, key)
    with pytest.raises(ConfigurationError, match="sealed with another key"):
        unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), key)
    key.write_bytes(new_key())
    with pytest.raises(ConfigurationError, match="sealed with another key"):
        unseal(sealed, key)
    key.write_bytes(b"no key")
    with pytest.raises(ConfigurationError, match="holds no key"):
        unseal(sealed, key)
    key.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        unseal(sealed, key)


def test_it_does_not_say_where_the_key_lies_and_is_opened_when_the_key_has_moved(key: Path) -> None:
    sealed = seal(CONTENT, key)
    assert str(key).encode() not in sealed
    moved = key.rename(key.with_name("moved.key"))
    assert unseal(sealed, moved) == CONTENT
    assert seal(CONTENT, moved) == sealed
    with pytest.raises(ConfigurationError, match="is not set"):
        unseal(sealed, None)


def test_what_an_earlier_version_sealed_is_opened_by_the_configured_key_else_by_that_which_it_names(key: Path) -> None:
    older = OLDER_MARK + str(key).encode() + b"\n" + seal(CONTENT, key).removeprefix(MARK)
    assert unseal(older, None) == CONTENT
    assert unseal(older, key.rename(key.with_name("moved.key"))) == CONTENT
