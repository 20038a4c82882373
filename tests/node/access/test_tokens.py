"""A token has 256 random bits, and its digest tells nothing of it."""

from __future__ import annotations

import base64

from node.access.tokens import digest, new_token


def test_a_token_has_256_bits_and_is_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert {len(base64.urlsafe_b64decode(token + "=")) for token in tokens} == {32}
    assert new_token("condyle_").startswith("condyle_")


def test_what_is_stored_of_a_token_is_its_digest() -> None:
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2 B.1
    assert digest("\udcff") != digest("")  # what no header should hold does no harm
