"""What the tests of patient records share."""

from __future__ import annotations

from pipelines.records.record import Record


def there(record: Record | None) -> Record:
    """The record that must be there."""
    assert record is not None, "there is no such record"
    return record
