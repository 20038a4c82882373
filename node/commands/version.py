"""`condyle version`."""

from __future__ import annotations

from importlib.metadata import version as version_of

from node.commands.exit_codes import OK
from node.commands.terminal import console
from pipelines.registry import names, pipeline_type


def version() -> int:
    """Print the node's version and those of its pipelines."""
    out = console()
    out.print(f"condyle {version_of('condyle')}")
    for name in names():
        out.print(f"  {name} {pipeline_type(name).version}")
    return OK
