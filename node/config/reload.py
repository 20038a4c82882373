"""What of a change of the configuration counts in a running node, and what only at its next start.

Every key stands in one of two tables, itself or by a part that it is in; a test holds them to it. A new key has to be
put into the one or the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from node.config.sections import Configuration

LIVE: Mapping[str, str] = {
    "peers": "associations that are open stay; from the next one on",
    "routes": "from the next decision on; jobs that were made before keep what they were made with",
    "bundles": "from the next decision on",
    "destinations": "those that are the same go on; another stops after the object that is being sent",
    "receive.dimse.ae_titles": "from the next association on",
    "receive.dimse.require_called_ae_title": "from the next association on",
    "receive.dimse.require_known_peer": "from the next association on",
    "receive.dimse.maximum_associations": "from the next association on",
    "receive.dicomweb": "from the next request on",
    "receive.keep_days": "within the hour",
    "receive.rejection_notes": "from the next note on",
    "receive.series_quiet_s": "also for what has arrived and is not decided about",
    "receive.study_quiet_s": "also for what has arrived and is not decided about",
    "receive.known_count_quiet_s": "also for what has arrived and is not decided about",
    "run.keep_jobs_days": "within the hour",
    "records.token": "from the next request on",
    "records.token_file": "from the next request on",
    "records.keep_days": "within the hour",
    "records.issuers": "from the next message on",
    "records.answer_wait_s": "from the next request on",
    "records.answer_destinations": "from the next request on",
    "records.fhir": "from the next record that is looked for on",
    "run_requests": "from the next request on",
    "priors": "from the next job on",
    "verdicts": "from the next object that is looked into on",
    "history": "within a few hours",
    "audit": "from the next line on",
    "alerts": "from the next look on",
    "status.token": "from the next page on",
    "status.token_file": "from the next page on",
    "status.allowed_hosts": "from the next page on",
    "status.open_loopback": "from the next page on",
    "status.certificate_role": "from the next page on",
    "status.openid": "from the next sign-in on",
    "status.url": "from the next page on",
    "status.session_idle_minutes": "from the next page on",
    "status.session_hours": "from the next sign-in on",
    "status.viewer_url": "from the next page on",
}
"""Keys that a reload puts in force, and when that shows."""

_PORT = "the port is open, and what is connected to it would be cut off"
_PROCESSES = "the processes that run pipelines are given it when they are started"
_RECEIVERS = "the processes that receive are given it when they are started"
RESTART: Mapping[str, str] = {
    "node": "the data folder, the database and the name of a running node stay what they are",
    "receive.dimse.host": _PORT,
    "receive.dimse.port": _PORT,
    "receive.dimse.tls": _PORT,
    "receive.dimse.tls_port": _PORT,
    "receive.dimse.server": _PORT,
    "receive.dimse.processes": _PORT,
    "receive.dimse.maximum_pdu_size": _RECEIVERS,
    "receive.dimse.association_timeout_s": _RECEIVERS,
    "receive.dimse.idle_timeout_s": _RECEIVERS,
    "receive.dimse.maximum_instance_bytes": _RECEIVERS,
    "receive.watched_folders": _RECEIVERS,
    "receive.orthanc_feeds": _RECEIVERS,
    "receive.durability": _RECEIVERS,
    "receive.disk_floor_mb": _RECEIVERS,
    "run.workers": _PROCESSES,
    "run.time_limit_s": _PROCESSES,
    "run.memory_limit_mb": _PROCESSES,
    "run.box": _PROCESSES,
    "run.environment": _PROCESSES,
    "run.gpus": _PROCESSES,
    "run.workers_per_gpu": _PROCESSES,
    "run.gpu_memory_limit_mb": _PROCESSES,
    "records.key_file": "records that are open are sealed with it",
    "records.default_issuer": "what is kept of patients is found by it",
    "records.patient_changes": "which changes of patients count is settled at the start",
    "records.mllp": _PORT,
    "telemetry": "traces go to one collector, from the start of the node on",
    "status.host": _PORT,
    "status.port": _PORT,
    "status.tls": _PORT,
    "status.trusted_proxies": "the limits of connections go by it",
}
"""Keys that count at the next start, and why."""


class Reconfigurable(Protocol):
    """A part of the running node that can go on with another configuration."""

    def reconfigure(self, configuration: Configuration) -> None:
        """Work by this configuration from now on; what is under way ends as it began."""


@dataclass(frozen=True)
class Change:
    """A key whose value is another."""

    key: str
    waits: str = ""  # why it counts only at the next start; empty: it counts now

    @property
    def sentence(self) -> str:
        """What becomes of it."""
        return f"{self.key}: needs a restart: {self.waits}" if self.waits else f"{self.key}: in force"


def changes(before: Configuration, after: Configuration) -> list[Change]:
    """Every key whose value is another, in the order of the configuration."""
    return list(_changes("", before, after))


def merged(running: Configuration, wanted: Configuration) -> Configuration:
    """What a running node can work by: `wanted`, with the parts of `running` that only a restart changes."""
    found = _merged("", running, wanted)
    assert isinstance(found, Configuration)
    return found


def waits(key: str) -> str | None:
    """Why a key counts only at the next start; empty where it counts at once; None where no table says."""
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        part = ".".join(parts[:length])
        if part in RESTART:
            return RESTART[part]
        if part in LIVE:
            return ""
    return None


def _changes(key: str, before: object, after: object) -> Iterator[Change]:
    if before == after:
        return
    pairs = _children(before, after)
    if pairs is None:
        yield Change(key, waits(key) or "")
        return
    for name, (one, other) in pairs.items():
        yield from _changes(f"{key}.{name}" if key else name, one, other)


def _children(before: object, after: object) -> dict[str, tuple[object, object]] | None:
    """What is in both of two sections of one kind, or in two mappings of names; None where they have no parts."""
    if isinstance(before, BaseModel) and type(before) is type(after):
        return {name: (getattr(before, name), getattr(after, name)) for name in type(before).model_fields}
    if isinstance(before, dict) and isinstance(after, dict):
        return {str(name): (before.get(name), after.get(name)) for name in {**before, **after}}
    return None


def _merged(key: str, running: object, wanted: object) -> object:
    stays = waits(key) if key else None
    if stays is not None:
        return running if stays else wanted
    assert isinstance(running, BaseModel), key
    assert isinstance(wanted, BaseModel), key
    parts = {
        name: _merged(f"{key}.{name}" if key else name, getattr(running, name), getattr(wanted, name))
        for name in type(running).model_fields
    }
    return wanted.model_copy(update=parts)
