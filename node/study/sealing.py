"""Files that name a patient, sealed on disk where `records.key_file` is set.

A sealed file says which key file opens it. The same content sealed with the same key gives the same bytes (AES-SIV,
RFC 5297): what the outbox sends again must be what it sent before.
"""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from node.errors import ConfigurationError

MARK = b"condyle sealed 1 "  # first bytes of a sealed file; the place of the key file and a line end follow
PURPOSE = b"condyle sealed file"
KEY_BYTES = 64  # of AES-256-SIV


def seal(content: bytes, key_file: Path | None) -> bytes:
    """`content` as it is to lie on disk: sealed with the key in `key_file`, or as it is where there is none.

    Raises
    ------
    ConfigurationError
        If the key file cannot be read.
    """
    if key_file is None:
        return content
    place = str(key_file.absolute()).encode()
    return MARK + place + b"\n" + _cipher(key_file).encrypt(content, None)


def is_sealed(content: bytes) -> bool:
    """Whether `content` is what `seal` makes with a key."""
    return content.startswith(MARK)


def unseal(content: bytes) -> bytes:
    """What was sealed, or `content` itself where it was not.

    Raises
    ------
    ConfigurationError
        If the key file cannot be read, or holds another key.
    """
    if not is_sealed(content):
        return content
    place, _, sealed = content.removeprefix(MARK).partition(b"\n")
    key_file = Path(place.decode())
    try:
        return _cipher(key_file).decrypt(sealed, None)
    except InvalidTag as error:
        raise ConfigurationError(
            f"records.key_file: {key_file}: a file of a job was sealed with another key"
        ) from error


def _cipher(key_file: Path) -> AESSIV:
    try:
        key = base64.urlsafe_b64decode(key_file.read_bytes().strip())
    except OSError as error:
        raise ConfigurationError(f"records.key_file: {key_file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"records.key_file: {key_file}: holds no key") from error
    return AESSIV(HKDF(SHA256(), KEY_BYTES, salt=None, info=PURPOSE).derive(key))
