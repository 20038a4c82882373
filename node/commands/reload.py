"""`condyle reload`: have the running node read its configuration anew."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from node.actions.reloading import ReloadRequests
from node.commands.exit_codes import CONFIGURATION, OK
from node.commands.operator import operator
from node.commands.terminal import console
from node.config.checks import node_runs
from node.config.reading import read_leniently
from node.database.job_states import path_name
from node.errors import PeerUnavailable


def reload(config: Path, *, as_json: bool) -> int:
    """Ask the node, and print what became of it.

    Parameters
    ----------
    config
        The file that the node was started with: its data folder says where the node is.
    as_json
        As JSON.

    Raises
    ------
    PeerUnavailable
        If no node of this machine runs with its data folder.
    """
    configuration = read_leniently(config).configuration
    data = configuration.node.data
    if not node_runs(data, path_name(configuration)):
        raise PeerUnavailable(f"node.data: {data}: no node runs with it on this machine; start one with condyle serve")
    outcome = ReloadRequests.of(configuration).ask(operator())
    if as_json:
        console().print_json(json.dumps({"taken": outcome.taken, **asdict(outcome)}))
    else:
        out = console() if outcome.taken else console(error=True)
        for sentence in outcome.sentences:
            out.print(sentence, markup=False)
    return OK if outcome.taken else CONFIGURATION
