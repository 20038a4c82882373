"""Exit codes of every command."""

from __future__ import annotations

EXIT_CODES = """
Exit codes: 0 done; 1 the answer is negative (a failed check, a refused object, a failed job); 2 the command line is
wrong; 3 the configuration cannot be used; 4 a peer, a port or the database cannot be reached.
"""
OK, NOT_RIGHT, USAGE, CONFIGURATION, UNREACHABLE = range(5)
