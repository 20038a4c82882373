"""`condyle record`: import patient records from files, create a key for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from dicom_sr.errors import UnsuitableInput
from node.commands.terminal import console
from node.config import read
from node.database.connection import open_database
from node.errors import ConfigurationError, NodeError
from node.folders import no_file
from node.patient_records.after_changes import AfterChanges
from node.patient_records.intake import Intake
from node.patient_records.look_up import open_patient_records
from node.patient_records.patient_changes import open_patient_changes
from node.patient_records.store import new_key
from node.reading import HERE
from pipelines.records.record import IdentityMismatch


def record(paths: Sequence[Path], config: Path) -> int:
    """Import each file and print what was read from it; 1 if any was refused."""
    configuration = read(config)
    records = open_patient_records(configuration)
    changes = open_patient_changes(configuration, records)
    database = open_database(configuration.node.database_url)  # asked only where a message changes a patient
    after = AfterChanges(database, configuration.node.data.absolute(), configuration.records.default_issuer)
    intake = Intake(records, configuration.records, HERE, changes, after)
    table = Table("file", "records", "events", "not used")
    refused = 0
    for path in paths:
        try:
            if reason := no_file(path.stat().st_mode):
                raise UnsuitableInput(reason)
            summary = intake.file(path)
        except (UnsuitableInput, IdentityMismatch) as error:
            refused += 1
            table.add_row(Text(path.name), "-", "-", Text(f"refused: {str(error).removeprefix(f'{path.name}: ')}"))
            continue
        except NodeError as error:
            refused += 1
            table.add_row(Text(path.name), "-", "-", Text(f"refused: {error}"))
            continue
        except OSError as error:
            refused += 1
            table.add_row(Text(path.name), "-", "-", f"cannot be read or stored: {error.strerror}")
            continue
        table.add_row(Text(path.name), str(summary.records), str(summary.events), Text(summary.left_out or "-"))
    database.dispose()
    console().print(table)
    return 1 if refused else 0


def make_key(path: Path) -> int:
    """Write a new key that only its owner can read; an existing file is never replaced."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(new_key() + b"\n")
    console().print(f"{path}: keep a copy of this key; without it the records cannot be read", markup=False)
    return 0
