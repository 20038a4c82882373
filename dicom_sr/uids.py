"""UIDs made from names: the same result has the same UIDs on every run, another model version has others.

`pydicom.uid.generate_uid` is not used: without a root it is random, and its ``2.25.`` form is not a UUID's integer.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable

from dicom_sr.findings import Model

_NAMESPACE = uuid.UUID("a70d5df2-b3bc-5322-a9ba-071969f68b69")  # UUIDv5 of OID namespace and "condyle/uids"
UUID_ROOT = "2.25"  # PS3.5 B.2


def uid(root: str, *key: str) -> str:
    """The UID that `key` names under `root`, at most 64 characters.

    Under ``2.25`` it is the integer of a UUIDv5; under an organisation's root it is a hash of the same key.
    The parts of the key are joined with ``|``, so that ("a", "b") and ("ab",) differ.
    """
    text = "|".join(key)
    if root == UUID_ROOT:
        return f"{root}.{uuid.uuid5(_NAMESPACE, text).int}"
    # at most 38 digits, as a UUID has: ample against collisions, and 64 characters leave room for any usual root
    digits = str(int.from_bytes(hashlib.sha512(f"{_NAMESPACE}|{text}".encode()).digest()))[: min(38, 63 - len(root))]
    return f"{root}.{digits.lstrip('0') or '0'}"


def result_key(model: Model, sources: Iterable[str]) -> tuple[str, ...]:
    """What a result is named by: pipeline, version, weights, settings and the source instances."""
    return (model.name, model.version, model.weights_digest, model.configuration_digest, *sorted(sources))
