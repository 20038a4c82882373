"""Random tokens: shown to their holder once, and stored as a digest."""

from __future__ import annotations

import hashlib
import secrets

BYTES = 32


def new_token(prefix: str = "") -> str:
    """256 random bits as text, behind a prefix by which a scanner of secrets knows what it found."""
    return f"{prefix}{secrets.token_urlsafe(BYTES)}"


def digest(token: str) -> str:
    """What is stored of a token; no salt is needed, since nobody can try all tokens."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
