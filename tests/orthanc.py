"""The archive of the tests: the demo's Orthanc, spoken to through orthanc-rest-client where that client works.

The client is GPL and so is imported by tests only. It keeps the server's address on its classes, so each call makes a
client; its timeouts are 1 s and 3 s unless told, so they are told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apiron
import orthanc_rest_client

from node.demo.orthanc_process import Modality, Orthanc, OrthancFailed, OrthancMissing, free_port

__all__ = ["Archive", "Modality", "OrthancFailed", "OrthancMissing", "free_port"]

TIMEOUT = apiron.Timeout(connection_timeout=2, read_timeout=60)


class Archive(Orthanc):
    """A real Orthanc with the four calls that tests make of an archive."""

    @property
    def _client(self) -> Any:
        return orthanc_rest_client.Orthanc(self.url, warn_insecure=False)

    def upload(self, file: Path | bytes) -> str:
        """Put one Part 10 file in by REST; returns Orthanc's ID of the instance."""
        content = file if isinstance(file, bytes) else file.read_bytes()
        return str(self._client.add_instance(content, timeout_spec=TIMEOUT)["ID"])

    def find(self, level: str, **query: str) -> list[str]:
        """Orthanc's IDs of the resources of `level` (Patient, Study, Series, Instance) that match `query`."""
        return list(self._client.find({"Level": level, "Query": query}, timeout_spec=TIMEOUT))

    def studies(self) -> list[str]:
        """Orthanc's IDs of all studies."""
        return list(self._client.get_studies(timeout_spec=TIMEOUT))

    def download(self, instance: str) -> bytes:
        """The Part 10 file of the instance with Orthanc's ID `instance`."""
        chunks = self._client.get_instance_file(instance, timeout_spec=TIMEOUT)
        return b"".join(chunk if isinstance(chunk, bytes) else chunk.encode("latin-1") for chunk in chunks)
