"""What rules see of the machine and of the node itself: disk, certificates, parts that do not do their work."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from dicom_sr.words import capital
from node.config import Configuration
from node.config.alert_times import in_words
from node.config.alerts import CertificateEnds, DiskLow, NodeProblem
from node.config.certificates import validities
from node.database.alerts import Observation

Check = Callable[[], str | None]  # why something is not right, or None
GB = 10**9


@dataclass(frozen=True)
class Parts:
    """The parts of the node that say of themselves whether they work, by name: those of /health/ready."""

    problems: Mapping[str, Check] = field(default_factory=dict)  # without which the node is not ready
    remarks: Mapping[str, Check] = field(default_factory=dict)  # what can wait


def disk_low(rule: DiskLow, configuration: Configuration) -> Iterator[Observation]:
    """The disk of the data folder, where too little of it is free."""
    usage = shutil.disk_usage(configuration.node.data)
    bounds = [rule.below_mb * 2**20] if rule.below_mb is not None else []
    bounds += [int(rule.below_share * usage.total)] if rule.below_share is not None else []
    if usage.free < max(bounds):
        floor = configuration.receive.disk_floor_mb * 2**20
        yield Observation(
            subject="",
            title="little room on the disk",
            sentence=f"{_size(usage.free)} of {_size(usage.total)} are free on the disk of node.data. "
            f"Below {_size(floor)} new images are refused and jobs wait.",
            advice="Make room, or have images and files of jobs leave sooner: receive.keep_days, run.keep_jobs_days.",
            ending=f"{_size(max(bounds))} and more are free on the disk of node.data.",
        )


def certificates_ending(rule: CertificateEnds, configuration: Configuration, now: datetime) -> Iterator[Observation]:
    """The certificates of the configuration that have run out or soon will."""
    for one in validities(configuration):
        left = one.ends - now
        if left >= timedelta(days=rule.days):
            continue
        over = left <= timedelta(0)
        when = f"ran out on {one.ends:%Y-%m-%d}" if over else f"runs out on {one.ends:%Y-%m-%d}, in {in_words(left)}"
        yield Observation(
            subject=one.key,
            title=f"certificate {one.key} {'has run out' if over else 'runs out soon'}",
            sentence=f"{one.path} {when}.",
            advice="Have it renewed, put the new one in its place and restart the node.",
            ending=f"The certificate {one.key} is valid until later.",
        )


def node_problems(rule: NodeProblem, configuration: Configuration, parts: Parts) -> Iterator[Observation]:
    """The parts of this node that say that they do not work."""
    asked: dict[str, Check] = {**parts.problems, "disk": partial(_below_floor, configuration)}
    found = {name: check() for name, check in asked.items()}
    if rule.remarks:
        for name, check in parts.remarks.items():
            found[name] = "; ".join(filter(None, (found.get(name), check()))) or None
    for name, problem in found.items():
        if problem is not None:
            yield Observation(
                subject=name,
                title=f"problem with {name}",
                sentence=f"{capital(problem)}.",
                advice="The status page and the node's log say more.",
                ending=f"The problem with {name} is gone.",
            )


def _below_floor(configuration: Configuration) -> str | None:
    free = shutil.disk_usage(configuration.node.data).free
    if free >= configuration.receive.disk_floor_mb * 2**20:
        return None
    return f"only {_size(free)} are free: new images are refused, and jobs wait"


def _size(number: int) -> str:
    return f"{number / GB:.1f} GB"
