"""Association to stored instance to complete series or study.

`serve` is a process of its own (`python -m node.receive CONFIG`); everything it needs is imported when it is called, so
that importing this package costs nothing.

Tests: `__main__` is started by `tests/node/receive/test_process.py`; `status` holds constants and one error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from node.config import Configuration


def serve(configuration: Configuration) -> None:
    """Receive until SIGTERM or SIGINT."""
    from node.receive.process import serve as run

    run(configuration)
