"""Passwords: which are taken, how they are stored, and how one is compared without holding up anything else."""

from __future__ import annotations

import asyncio
import base64
import secrets
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from node.errors import NodeError

SHORTEST, LONGEST = 12, 256  # characters; NIST SP 800-63B 3.1.1.2 has no rule of digits and signs either
AT_ONCE = 2  # comparisons: each takes 64 MiB, and all cores
WAITING = 20  # further comparisons; whoever comes then is told to come again
SALT_BYTES, HASH_BYTES = 16, 32
# words that the commonest long passwords consist of, besides digits and signs
WORDS = """
password passwort passwordpassword motdepasse administrator administration qwertyuiop qwertyuiopasdfghjkl qwertyqwerty
qwertzuiop azertyuiop asdfghjkl asdfghjklzxcvbnm iloveyou letmein letmeinletmein welcome welcomewelcome changeme
changemenow changemeplease trustno footballfootball baseballbaseball sunshinesunshine princessprincess monkeymonkey
dragondragon abcdefghijkl abcdefghijklmnop correcthorsebatterystaple condyle condylecondyle radiology radiologie
hospital krankenhaus orthanc orthancorthanc pacsadmin pacsadministrator
"""
COMMON = frozenset(WORDS.split())
SEQUENCE = "0123456789" * 3


class TooBusy(NodeError):
    """So many sign in at once that one more has to wait."""


@dataclass(frozen=True)
class Comparison:
    """Whether a password is the one that was stored."""

    is_right: bool
    renewed: str = ""  # the hash with today's parameters, where the stored one has others


def password_problem(password: str, name: str) -> str | None:
    """Why a password is not taken, as what should be; None if it is.

    Parameters
    ----------
    name
        Of the user.
    """
    plain = _plain(password)
    if len(plain) < SHORTEST:
        return f"has {len(plain)} characters; should have at least {SHORTEST}, such as four words"
    if len(plain) > LONGEST:
        return f"has {len(plain)} characters; should have at most {LONGEST}"
    folded = plain.casefold()
    if name and name.casefold() in folded:
        return "has the user's name in it; should be one that nobody finds by the name"
    if len(set(folded)) < 5 or folded in SEQUENCE or folded[::-1] in SEQUENCE or _letters(folded) in COMMON:
        return "is one that is tried first; should be one that nobody else would think of"
    return None


class Passwords:
    """Makes and compares hashes (argon2id).

    Parameters
    ----------
    hasher
        With the parameters; by default those of RFC 9106's second choice, as argon2-cffi has them.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = PasswordHasher() if hasher is None else hasher
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
        self._lock = threading.Lock()
        self._asked = 0
        self._nobodys = _hash_of_nothing(self._hasher)

    def hashed(self, password: str) -> str:
        """What is stored of a password."""
        return self._hasher.hash(_plain(password))

    async def compare(self, stored: str | None, password: str) -> Comparison:
        """Compare in a thread of its own; takes as long where nothing is stored.

        Parameters
        ----------
        stored
            The hash; None where no user has that name.

        Raises
        ------
        TooBusy
            If too many wait for the same.
        """
        with self._lock:
            if self._asked >= AT_ONCE + WAITING:
                raise TooBusy("Too many sign in at the moment; try again in a few seconds")
            self._asked += 1
        try:
            return await asyncio.wrap_future(self._threads.submit(self.compare_now, stored, password))
        finally:
            with self._lock:
                self._asked -= 1

    def compare_now(self, stored: str | None, password: str) -> Comparison:
        """As `compare`, in this thread."""
        plain = _plain(password[: LONGEST + 1])  # longer ones are not taken, and cost what one of that length does
        try:
            self._hasher.verify(self._nobodys if stored is None else stored, plain)
        except (VerificationError, InvalidHashError):
            return Comparison(is_right=False)
        if stored is None:
            return Comparison(is_right=False)
        renewed = self._hasher.hash(plain) if self._hasher.check_needs_rehash(stored) else ""
        return Comparison(is_right=True, renewed=renewed)


def _plain(password: str) -> str:
    """The password in the one form that all keyboards lead to, NIST SP 800-63B 3.1.1.2."""
    return unicodedata.normalize("NFKC", password)


def _letters(folded: str) -> str:
    """What is left without the digits and signs that are usually added."""
    return "".join(character for character in folded if character.isalpha())


def _hash_of_nothing(hasher: PasswordHasher) -> str:
    """A hash that no password has: comparing with it takes as long as with a user's."""
    salt, digest = (_encoded(secrets.token_bytes(size)) for size in (SALT_BYTES, hasher.hash_len or HASH_BYTES))
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).rstrip(b"=").decode()
