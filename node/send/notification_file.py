"""The file of a notification, as deliveries of that kind read it."""

from __future__ import annotations

import json
from typing import Any

from dicom_sr.write.notification import FORMAT

NOT_ONE = "not a notification"


def read_notification(content: bytes) -> dict[str, Any] | None:
    """What a notification says; None where the content is something else."""
    try:
        told = json.loads(content)
    except ValueError:
        return None
    return told if isinstance(told, dict) and told.get("format") == FORMAT else None
