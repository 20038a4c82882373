"""`condyle example-results`."""

from __future__ import annotations

from pathlib import Path

from node.commands.exit_codes import OK, USAGE
from node.commands.terminal import console


def example_results(folder: Path) -> int:
    """Write one example of every object that the node makes."""
    from pipelines.examples import REPORTING, write_examples

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        console(error=True).print(f"{folder} cannot be made: {error.strerror}", markup=False)
        return USAGE
    with console(error=True).status("Making the examples"):
        written = write_examples(folder, reporting=REPORTING, assessed=True)
    count = sum(len(objects) for objects in written.values())
    console().print(f"{count} objects of {len(written)} results in {folder}")
    return OK
