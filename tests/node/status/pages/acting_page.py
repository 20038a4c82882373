"""The page of a node whose operators may act, over a real socket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import yaml

from node.actions.desk import Actions
from node.config import read
from node.reading import HERE
from node.receive.store.store import Store
from node.route.reroute import Reroute
from node.status.app import build_app
from tests.node.actions.acting import DESTINATIONS, ROUTES, Acting, acting
from tests.serving import client_of

PAGE = {"accept": "text/html"}


@contextmanager
def acting_page(folder: Path) -> Iterator[tuple[Acting, httpx.Client]]:
    """Records with the actions on them, and a client of the page."""
    path = folder / "config.yaml"
    sections = {"node": {"data": "data"}, "receive": {"disk_floor_mb": 0}}
    path.write_text(yaml.safe_dump({**sections, "destinations": DESTINATIONS, "routes": ROUTES}))
    with acting(folder, **read(path).model_dump()) as act:
        store = Store.of(act.configuration, act.database)
        rerouting = Reroute(act.configuration, act.database, act.engine, store_clock, HERE)
        actions = Actions.of(path, act.configuration, act.database, act.engine, rerouting, store)
        with client_of(build_app(act.configuration, act.database, actions=actions), **PAGE) as client:
            yield act, client
        store.close()


def store_clock() -> datetime:
    raise AssertionError("nothing is decided here")


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of a form."""
    return dict(re.findall(r'type="hidden" name="([\w.]+)" value="([^"]*)"', page))


def act_on(client: httpx.Client, path: str, **typed: str) -> httpx.Response:
    """Ask for a confirmation, and confirm."""
    return client.post(path, data={**hidden(client.get(path).text), **typed})
