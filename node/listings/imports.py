"""What became of files that were imported."""

from __future__ import annotations

from node.listings.listing import Listing
from node.receive.importer import ImportReport

SHOWN = 1000  # files that were not taken


class NotTakenListing(Listing):
    """A file that was not stored."""

    file: str
    reason: str


class ImportListing(Listing):
    """What became of the files."""

    stored: int
    studies: dict[str, int]  # instances by Study Instance UID
    not_taken: list[NotTakenListing]  # of very many the first
    number_not_taken: int

    @classmethod
    def of(cls, report: ImportReport) -> ImportListing:
        """The listing of a report."""
        left = report.not_taken
        return cls(
            stored=report.stored,
            studies=dict(report.studies),
            not_taken=[NotTakenListing(file=file, reason=reason) for file, reason in left[:SHOWN]],
            number_not_taken=len(left),
        )
