"""Objects that the node made: where their files lie, for those that are sent back to it."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.data_folder import resolved
from node.database.connection import Database
from node.database.tables import ObjectRow

log = logging.getLogger(__name__)


class OwnResults:
    """Says where the object of a SOP Instance UID lies, if a job of the node made it.

    Parameters
    ----------
    data
        The node's data folder.
    """

    def __init__(self, database: Database, data: Path) -> None:
        self._database, self._data = database, data.absolute()

    def __call__(self, sop_instance_uid: str) -> Path | None:
        """The file, which may be gone; None where no job made it, or the database is away: then it is stored."""
        try:
            with Session(self._database) as session:
                path = session.scalar(select(ObjectRow.path).where(ObjectRow.sop_instance_uid == sop_instance_uid))
        except SQLAlchemyError as error:
            log.warning("cannot ask for own results", extra={"error": type(error).__name__})
            return None
        return resolved(path, self._data) if path is not None else None
