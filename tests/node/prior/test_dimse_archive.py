"""What an archive answers by DIMSE is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from node.config import DimseDestination
from node.demo.orthanc_process import free_port
from node.errors import PeerUnavailable
from node.network.deadline import Deadline
from node.network.requestor import LARGEST_MESSAGE
from node.network.sop_classes import StudyRootQueryRetrieveInformationModelFind
from node.prior.dimse_archive import DimseArchive
from tests.scp import end, listen


@pytest.mark.parametrize("bytes_", [100, 8 * LARGEST_MESSAGE])
def test_an_answer_longer_than_any_honest_one_ends_the_search(bytes_: int) -> None:
    def find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        match = Dataset()
        match.SeriesInstanceUID, match.TextValue = "1.2.3", "x" * bytes_
        yield 0xFF00, match

    port = free_port()
    ae = AE("ARCHIVE")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    server = listen(ae, [(evt.EVT_C_FIND, find)], port)
    destination = DimseDestination(kind="dimse", ae_title="ARCHIVE", host="127.0.0.1", port=port)
    archive = DimseArchive("pacs", destination, "CONDYLE", "auto", Deadline("pacs", 20), lambda *_: b"", [])
    try:
        if bytes_ > LARGEST_MESSAGE:
            with pytest.raises(PeerUnavailable):
                list(archive.reports("1.2"))
        else:
            assert list(archive.reports("1.2")) == []
    finally:
        archive.close()
        end(server)
