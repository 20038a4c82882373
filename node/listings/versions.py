"""What is installed."""

from __future__ import annotations

from importlib.metadata import version

from node.listings.listing import Listing
from pipelines.registry import names, pipeline_type


class VersionListing(Listing):
    """The version of the node, and those of its pipelines by name."""

    condyle: str
    pipelines: dict[str, str]


def installed() -> VersionListing:
    """What is installed here."""
    return VersionListing(condyle=version("condyle"), pipelines={name: pipeline_type(name).version for name in names()})
