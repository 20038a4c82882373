"""Files that name a patient, sealed on disk where `records.key_file` is set.

The same content sealed with the same key gives the same bytes (AES-SIV, RFC 5297), wherever the key lies: what the
outbox sends again must be what it sent before.
"""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from node.errors import ConfigurationError

MARK = b"condyle sealed 2\n"  # first bytes of a sealed file
OLDER_MARK = b"condyle sealed 1 "  # the place of the key file and a line end follow
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
    return MARK + _cipher(key_file).encrypt(content, None)


def unseal(content: bytes, key_file: Path | None) -> bytes:
    """What was sealed with the key in `key_file`, or `content` itself where it was not.

    Raises
    ------
    ConfigurationError
        If the key file cannot be read, or holds another key.
    """
    if content.startswith(OLDER_MARK):
        place, _, sealed = content.removeprefix(OLDER_MARK).partition(b"\n")
        key_file = key_file or Path(place.decode())
    elif content.startswith(MARK):
        sealed = content.removeprefix(MARK)
    else:
        return content
    if key_file is None:
        raise ConfigurationError("records.key_file: is not set, and a file of a job was sealed with a key")
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
