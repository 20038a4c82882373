"""The file of a notification, as deliveries of that kind read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dicom_sr.profile import ObjectFile
from dicom_sr.write.notification import FORMAT
from node.errors import ConfigurationError, PeerUnavailable
from node.study.sealing import unseal


def read_notification(item: ObjectFile, key_file: Path | None, name: str) -> tuple[bytes, dict[str, Any]] | None:
    """The bytes of a notification and what they say; None where the file is something else.

    Parameters
    ----------
    key_file
        Opens one that is sealed.
    name
        Of the destination, for messages.

    Raises
    ------
    PeerUnavailable
        If it cannot be opened now, which may be put right.
    """
    if item.sop_class_uid:  # a DICOM object, by `condyle send`
        return None
    try:
        content = unseal(item.path.read_bytes(), key_file)
        told = json.loads(content)
    except ConfigurationError as error:
        raise PeerUnavailable(f"{name}: {error}") from error
    except OSError as error:
        raise PeerUnavailable(f"{name}: {error.strerror}") from error
    except ValueError:
        return None
    return (content, told) if isinstance(told, dict) and told.get("format") == FORMAT else None
