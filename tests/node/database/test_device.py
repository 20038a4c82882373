from __future__ import annotations

from pathlib import Path

from dicom_sr.profile import EncodingProfile
from node.config import Configuration
from node.database.connection import open_database
from node.database.device import of_device, serial_number
from node.database.installation import require_one_installation
from node.database.migrations import migrate


def test_an_installation_has_a_number_of_its_own_from_its_first_start_on(tmp_path: Path) -> None:
    numbers = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        database = open_database(f"sqlite:///{tmp_path / name / 'node.db'}")
        try:
            migrate(database)
            configuration = Configuration()
            assert serial_number(configuration, database) == "1"  # nothing has been made yet
            for _ in range(2):
                require_one_installation(database, tmp_path / name)
                numbers.append(serial_number(configuration, database))
        finally:
            database.dispose()
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3]
    assert all(len(number) == 16 for number in numbers)


def test_what_the_configuration_says_counts(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    try:
        migrate(database)
        require_one_installation(database, tmp_path)
        configuration = Configuration.model_validate({"node": {"device_serial_number": "A7", "device_uid": "2.25.7"}})
        profile = of_device(EncodingProfile(institution="St. Elsewhere"), configuration, database)
    finally:
        database.dispose()
    assert (profile.device_serial_number, profile.device_uid, profile.institution) == ("A7", "2.25.7", "St. Elsewhere")
