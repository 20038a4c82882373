"""``python -m node.database.migrations MESSAGE``: write the step to the present `node.database.tables`."""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from sqlalchemy import create_engine

from node.database import migrations


def main(message: str) -> None:
    """Write the step into ``versions``, to be read and tested before it is kept."""
    with create_engine("sqlite://").connect() as connection:
        migrations.upgrade(connection)
        config = migrations.configuration(connection)
        number = len(list((Path(__file__).parent / "versions").glob("[0-9]*.py"))) + 1
        command.revision(config, message=message, autogenerate=True, rev_id=f"{number:04d}")


if __name__ == "__main__":
    main(sys.argv[1])
