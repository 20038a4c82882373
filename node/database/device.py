"""Who an installation is as a DICOM device: what its objects name, and what its UIDs are made from."""

from __future__ import annotations

from dataclasses import replace

from dicom_sr.profile import EncodingProfile
from node.config import Configuration
from node.database.connection import Database
from node.database.installation import identity_of

_DIGITS = 16  # of the identity's 32: ample for a number that people read out


def serial_number(configuration: Configuration, database: Database) -> str:
    """DeviceSerialNumber: as configured, else one that the first start of this installation has made."""
    configured = configuration.node.device_serial_number
    if configured is not None:
        return configured
    identity = identity_of(database)
    return EncodingProfile().device_serial_number if identity is None else identity[:_DIGITS].upper()


def of_device(profile: EncodingProfile, configuration: Configuration, database: Database) -> EncodingProfile:
    """The profile for objects that this installation makes."""
    return replace(
        profile,
        device_serial_number=serial_number(configuration, database),
        device_uid=configuration.node.device_uid or "",
    )
