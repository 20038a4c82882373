"""Who gives a command, for the audit trail."""

from __future__ import annotations

import getpass
import os


def operator() -> str:
    """The account that the command runs in; its number where it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
