"""`condyle version`."""

from __future__ import annotations

from node.commands.exit_codes import OK
from node.commands.terminal import console
from node.listings.listing import as_json
from node.listings.versions import installed


def version(*, json_output: bool = False) -> int:
    """Print the node's version and those of its pipelines; with `json_output` as JSON."""
    out, found = console(), installed()
    if json_output:
        out.print_json(as_json(found))
        return OK
    out.print(f"condyle {found.condyle}")
    for name, of_pipeline in found.pipelines.items():
        out.print(f"  {name} {of_pipeline}")
    return OK
