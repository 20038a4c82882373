"""`condyle serve`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from node import log
from node.commands.exit_codes import OK, USAGE
from node.commands.terminal import console


def serve(config: Path, log_format: str | None, level: str) -> int:
    """Run the node until it is stopped.

    Parameters
    ----------
    config
        The configuration file.
    log_format
        JSON lines or lines for people; None: by whether standard error is a terminal.
    level
        Least severity that is logged.
    """
    if level.lower() not in log.LEVELS:
        console(error=True).print(f"--log-level: {level!r}: should be one of {', '.join(log.LEVELS)}", markup=False)
        return USAGE
    log.configure(cast("log.Format | None", log_format), level)
    from node.app import serve as run

    run(config)
    return OK
