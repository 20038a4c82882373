"""Association to stored instance to complete series or study.

`serve` is a process of its own (`python -m node.receive CONFIG`); everything it needs is imported when it is called, so
that importing this package costs nothing.

Tests: `__main__` is started by `tests/node/receive/test_process.py`; `status` holds constants and one error.
"""

from __future__ import annotations

from pathlib import Path


def serve(path: Path) -> None:
    """Receive with the configuration in `path` until SIGTERM or SIGINT."""
    from node.receive.process import serve as run

    run(path)
