"""What a route takes from the one that it shadows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.config import Configuration

KNEE: dict[str, Any] = {
    "when": {"Modality": "MR"},
    "pipeline": "knee_super_resolution",
    "settings": {"spacing": 2.0, "bundle": "/a", "sha256": "ab" * 32},
    "destinations": ["out"],
    "priority": 7,
}


def routes(**shadow: Any) -> Configuration:
    return Configuration.model_validate(
        {
            "destinations": {"out": {"kind": "folder", "path": "/out"}},
            "routes": {"knee": KNEE, "candidate": {"shadow_of": "knee", **shadow}},
        }
    )


def test_a_shadow_takes_what_it_does_not_say_itself_and_sends_nothing() -> None:
    found = routes(settings={"bundle": "/b"}).routes["candidate"]
    assert (found.when, found.pipeline, found.level) == (KNEE["when"], KNEE["pipeline"], "series")
    assert found.settings == {"spacing": 2.0, "bundle": "/b"}, "the digest of the other bundle is not its"
    assert (found.shadow, found.destinations, found.priority, found.shadow_folder) == (True, (), 8, None)


def test_a_shadow_may_say_everything_itself() -> None:
    own = {"when": {"Modality": "CT"}, "pipeline": "joint_classification", "settings": {"heatmaps": False}}
    found = routes(**own, priority=1, shadow_folder="/look").routes["candidate"]
    assert {"when": found.when, "pipeline": found.pipeline, "settings": found.settings} == own
    assert (found.priority, found.shadow_folder) == (1, Path("/look"))


@pytest.mark.parametrize(
    ("shadow", "message"),
    [
        ({"shadow_of": "kne"}, "routes.candidate.shadow_of: 'kne': should be a route that shadows none: knee; did you"),
        ({"shadow_of": "candidate"}, "routes.candidate.shadow_of: 'candidate': should be a route that shadows none"),
        ({"destinations": ["out"]}, "routes.candidate.destinations: a shadow sends nothing; leave them out"),
        ({"shadow": False}, "routes.candidate.shadow: a shadow sends nothing; leave it out"),
    ],
)
def test_what_no_shadow_can_be_is_named(shadow: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"routes\.candidate") as error:
        routes(**shadow)
    assert message in str(error.value)
