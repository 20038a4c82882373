"""Secrets in files: tokens that callers must show, tokens and passwords that the node shows, the key of the records."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import SecretStr

from node.errors import ConfigurationError

SHORTEST_TOKEN = 16  # characters; what `openssl rand -hex 16` gives has 32
NO_TOKEN = "should be one line of ASCII letters, digits and signs without blanks"
_ONE_WORD = re.compile(r"[!-~]+")  # what an HTTP header can carry, RFC 6750 2.1


def token_problem(token: str) -> str | None:
    """Why this is no token, without the token; None if it is one."""
    if not token:
        return "is empty"
    if _ONE_WORD.fullmatch(token) is None:
        return NO_TOKEN
    if len(token) < SHORTEST_TOKEN:
        return f"has {len(token)} characters; should have at least {SHORTEST_TOKEN}, such as openssl rand -hex 32 gives"
    return None


def read_secret(key: str, path: Path) -> str:
    """The secret in a file, without the blanks around it.

    Raises
    ------
    ConfigurationError
        If it cannot be read or holds nothing; the message names `key` and file.
    """
    try:
        secret = path.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise ConfigurationError(f"{key}: {path}: {why_not_read(error)}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{key}: {path}: is not text; should hold the secret and nothing else") from error
    if not secret:
        raise ConfigurationError(f"{key}: {path}: is empty; should hold the secret and nothing else")
    return secret


def why_not_read(error: OSError) -> str:
    """Why a file that the configuration names cannot be read."""
    match error:
        case FileNotFoundError():
            return "there is no such file"
        case IsADirectoryError():
            return "is a folder; should be a file"
        case PermissionError():
            return "may not be read by this account"
    return f"cannot be read: {error.strerror}"


def read_token(key: str, token: SecretStr | None, file: Path | None) -> str | None:
    """The token that callers must show; None where none is configured.

    Parameters
    ----------
    key
        Of the section in the configuration, for messages.
    token, file
        What the section has.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or holds no token that is fit; it must never open the door that it should close.
    """
    if token is not None:
        return token.get_secret_value()
    if file is None:
        return None
    read = read_secret(f"{key}.token_file", file)
    if (problem := token_problem(read)) is not None:
        raise ConfigurationError(f"{key}.token_file: {file}: the token {problem}")
    return read


def bearer(key: str, file: Path) -> str:
    """The Authorization header with the token that the node shows to a peer.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or what it holds fits in no header; the message names `key` and file.
    """
    token = read_secret(key, file)
    if _ONE_WORD.fullmatch(token) is None:
        raise ConfigurationError(f"{key}: {file}: the token {NO_TOKEN}")
    return f"Bearer {token}"


def read_record_key(path: Path) -> bytes:
    """The key that encrypts patients' records, for Fernet.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or holds no key.
    """
    from cryptography.fernet import Fernet  # the receivers read the configuration too, and need none

    key = read_secret("records.key_file", path).encode()
    try:
        Fernet(key)
    except ValueError as error:
        raise ConfigurationError(
            f"records.key_file: {path}: holds no key; make one with condyle record --new-key"
        ) from error
    return key
