"""A study is fetched whole or not at all, and an accession number stands for one study."""

from __future__ import annotations

import pytest

from node.errors import PeerUnavailable, StudyNotFound
from node.on_demand.archives import Image, require_all, the_study
from node.receive.status import NotStored, Status

IMAGES = [Image("1.1", f"1.1.{number}", "") for number in range(3)]


def test_an_image_that_did_not_come_is_missed_and_the_reason_told() -> None:
    require_all("pacs", IMAGES, {"1.1.0", "1.1.1", "1.1.2", "9.9"}, None, "answers 0x0000")
    with pytest.raises(PeerUnavailable, match="pacs: 2 of 3 images did not come: answers 0xB000"):
        require_all("pacs", IMAGES, {"1.1.0"}, None, "answers 0xB000")
    full = NotStored(Status.OUT_OF_RESOURCES, "The disk is full")
    with pytest.raises(PeerUnavailable, match="pacs: 1 of 3 images did not come: not stored, The disk is full"):
        require_all("pacs", IMAGES, {"1.1.0", "1.1.1"}, full, "answers 0xB000")


def test_an_accession_number_stands_for_one_study() -> None:
    assert the_study("pacs", ["1.2", "1.2"]) == "1.2"
    with pytest.raises(StudyNotFound, match="has no study"):
        the_study("pacs", [])
    with pytest.raises(StudyNotFound, match="has 2 studies"):
        the_study("pacs", ["1.2", "1.3"])
