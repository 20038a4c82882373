"""Who is told when something is wrong with the node, of what, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dicom_sr.words import did_you_mean
from node.config.alert_times import WEEKDAYS, DailyHours, Duration, Hours, TimeOfDay, Weekday
from node.config.notifications import Mail
from node.config.syslog import SyslogSettings
from node.config.values import AETitle, FilePath, Name, ResultClauses, Section, Tls, Url, off, off_text

WHOLE_DAY = Hours(0, 24 * 60)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


# ---- channels
class EmailChannel(Mail):
    """People who are told by e-mail."""

    kind: Literal["email"]
    timeout_s: float = Field(default=30.0, gt=0)


class WebhookChannel(Section):
    """A server that is told by HTTPS POST: a chat, an incident manager."""

    kind: Literal["webhook"]
    url: Url
    format: Literal["standard", "text", "card"] = "standard"  # of the JSON: see `node.alerts.messages`
    secret_file: FilePath | None = None  # signs what is sent
    token_file: FilePath | None = None
    tls: Tls | None = None  # a client certificate, or a CA of the site's own
    timeout_s: float = Field(default=30.0, gt=0)


class SyslogChannel(SyslogSettings):
    """A syslog server that is told."""

    kind: Literal["syslog"]
    transport: Literal["udp", "tcp", "tls"] = "udp"
    facility: Literal[
        "user", "daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
    ] = "daemon"


Channel = Annotated[EmailChannel | WebhookChannel | SyslogChannel, Field(discriminator="kind")]


# ---- rules
class Told(Section):
    """How bad it is, and who is told."""

    severity: Literal["info", "warning", "critical"] = (
        "warning"  # critical: quiet hours and digests do not hold it back
    )
    channels: tuple[Name, ...] = ()  # empty: all


class Lasting(Told):
    """Something that begins, lasts and ends."""

    after: Duration = timedelta(0)  # how long it must last before anybody is told
    calm: Duration = 2 * MINUTE  # how long it must be gone before it counts as over
    repeat: Annotated[Duration | None, BeforeValidator(off)] = DAY  # told again while it lasts; None: not


class DestinationDown(Lasting):
    """A destination that does not take what it is sent."""

    kind: Literal["destination_down"]
    destinations: tuple[Name, ...] = ()  # empty: all
    after: Duration = 15 * MINUTE


class Rate(Lasting):
    """So many within a time."""

    number: int = Field(default=10, ge=1)
    within: Duration = HOUR


class JobsFailed(Rate):
    """Jobs that fail too often."""

    kind: Literal["jobs_failed"]
    number: int = Field(default=3, ge=1)  # of a route, within the time
    share: float | None = Field(default=None, gt=0, le=1)  # of the route's jobs that ended; both must be reached
    routes: tuple[Name, ...] = ()  # empty: all but shadows
    pipelines: tuple[str, ...] = ()  # empty: all


class DiskLow(Lasting):
    """Too little room on the disk of the node's data."""

    kind: Literal["disk_low"]
    below_mb: int | None = Field(default=None, ge=1)
    below_share: float | None = Field(default=None, gt=0, lt=1)  # of the whole disk

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if self.below_mb is None and self.below_share is None:
            raise ValueError("should have below_mb, below_share or both")
        return self


class CertificateEnds(Lasting):
    """A certificate of the configuration that runs out."""

    kind: Literal["certificate_ends"]
    days: int = Field(default=21, ge=1)  # before it does
    calm: Duration = timedelta(0)
    repeat: Annotated[Duration | None, BeforeValidator(off)] = 7 * DAY


class QueueLong(Lasting):
    """Too many jobs that wait, or one that waits too long."""

    kind: Literal["queue_long"]
    jobs: int | None = Field(default=None, ge=1)
    older_than: Duration | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if self.jobs is None and self.older_than is None:
            raise ValueError("should have jobs, older_than or both")
        return self


class NoImages(Lasting):
    """No image has come for too long."""

    kind: Literal["no_images"]
    after: Duration  # within the hours and days below
    senders: tuple[AETitle, ...] = ()  # each of these; empty: anybody
    hours: DailyHours = WHOLE_DAY
    days: tuple[Weekday, ...] = WEEKDAYS
    calm: Duration = timedelta(0)


class NodeProblem(Lasting):
    """A part of the node that does not do its work, as /health/ready says."""

    kind: Literal["node_problem"]
    after: Duration = 5 * MINUTE
    remarks: bool = False  # also what can wait, or concerns one way in among several
    severity: Literal["info", "warning", "critical"] = "critical"


class WorkersDied(Rate):
    """Processes of pipelines that died."""

    kind: Literal["workers_died"]
    number: int = Field(default=3, ge=1)


class SignInsRefused(Rate):
    """Attempts to sign in that were refused."""

    kind: Literal["sign_ins_refused"]
    number: int = Field(default=20, ge=1)
    within: Duration = 10 * MINUTE


class SendersRefused(Rate):
    """Senders that were turned away, or whose images were not stored."""

    kind: Literal["senders_refused"]


class ResultMade(Told):
    """A job that ended in a certain way, or a result that says a certain thing; each is told once."""

    kind: Literal["result"]
    when: ResultClauses  # node/matching/result.py says what it may hold; checked at the start
    routes: tuple[Name, ...] = ()  # empty: all but shadows
    pipelines: tuple[str, ...] = ()  # empty: all
    include: tuple[Literal["study_instance_uid"], ...] = ()  # no message says more of patient and study


Rule = Annotated[
    DestinationDown
    | JobsFailed
    | DiskLow
    | CertificateEnds
    | QueueLong
    | NoImages
    | NodeProblem
    | WorkersDied
    | SignInsRefused
    | SendersRefused
    | ResultMade,
    Field(discriminator="kind"),
]

DEFAULT_RULES: Mapping[str, Rule] = {
    "destinations": DestinationDown(kind="destination_down"),
    "node": NodeProblem(kind="node_problem"),
    "disk": DiskLow(kind="disk_low", below_share=0.1),
    "jobs": JobsFailed(kind="jobs_failed"),
    "queue": QueueLong(kind="queue_long", older_than=HOUR),
    "workers": WorkersDied(kind="workers_died"),
    "certificates": CertificateEnds(kind="certificate_ends"),
    "senders": SendersRefused(kind="senders_refused"),
    "sign_ins": SignInsRefused(kind="sign_ins_refused"),
}


# ---- when
class QuietHours(Section):
    """Hours in which nobody is told of what can wait."""

    hours: DailyHours
    days: tuple[Weekday, ...] = WEEKDAYS  # on which they begin


class Digest(Section):
    """Rules of which everything is told together, at a time of day."""

    at: TimeOfDay = 7 * 60
    days: tuple[Weekday, ...] = WEEKDAYS
    rules: tuple[Name, ...] = ()


class AlertSettings(Section):
    """Who is told of what, and when."""

    channels: dict[Name, Channel] = Field(default_factory=dict)
    rules: dict[Name, Rule] = Field(default_factory=dict)  # empty: `DEFAULT_RULES`, where there is a channel
    quiet_hours: tuple[QuietHours, ...] = ()
    digest: Digest = Digest()
    page_url: Annotated[Url | Literal[""], BeforeValidator(off_text)] = ""  # of the status page; empty: no link
    every_s: float = Field(default=15.0, ge=0.1, le=3600)

    @property
    def rules_in_force(self) -> Mapping[str, Rule]:
        """The rules by name: those of the site, or where it has none, the usual ones."""
        return self.rules or (DEFAULT_RULES if self.channels else {})

    def channels_of(self, rule: Told) -> tuple[str, ...]:
        """The channels that a rule tells."""
        return rule.channels or tuple(self.channels)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        named = [
            (f"rules.{name}.channels", rule.channels, list(self.channels), "channel")
            for name, rule in self.rules.items()
        ]
        named.append(("digest.rules", self.digest.rules, list(self.rules_in_force), "rule"))
        if wrong := [line for key, names, there, what in named for line in unknown(key, names, there, what)]:
            raise ValueError("\n".join(wrong))
        return self


def unknown(key: str, names: Iterable[str], there: list[str], what: str) -> Iterator[str]:
    """Those of some names under a key that nothing has, each as a sentence with its key."""
    for index, name in enumerate(names):
        if name not in there:
            known = f"there are: {', '.join(there) or 'none'}"
            yield f"{key}.{index}: no {what} is called so; {known}{did_you_mean(name, there)}"
