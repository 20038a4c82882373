"""`config.yaml` as frozen types, read once at the start.

An unknown key is an error, and every default is here and nowhere else. A validator's message says what would be right;
`node.config.reading` puts file, line, key and value before it. Where a section says something of one of its keys, the
message begins with that key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from dicom_sr.profile import Kind, MessageHeader
from dicom_sr.words import did_you_mean
from node.config.alerts import AlertSettings, DestinationDown, JobsFailed, ResultMade, unknown
from node.config.audit import AuditSettings
from node.config.callbacks import CallbackReceiver
from node.config.notifications import EmailDestination, WebhookDestination
from node.config.openid import OpenIdSettings, RoleName
from node.config.profile import Profile
from node.config.shadow_routes import filled_in
from node.config.telemetry import TelemetrySettings
from node.config.values import (
    Account,
    AETitle,
    Coded,
    DatabaseUrl,
    DeviceUid,
    EnvironmentName,
    FilePath,
    Host,
    Name,
    Network,
    OwnHost,
    Port,
    ResultClauses,
    Section,
    SerialNumber,
    Tls,
    Token,
    UidRoot,
    Url,
    ViewerUrl,
    off,
    off_text,
)
from pipelines.monai_bundle.settings import PREFIX, BundleEntry


def _clauses(when: object) -> object:
    if not isinstance(when, dict):
        empty = "is empty; " if when is None else ""
        raise ValueError(f"{empty}should hold clauses such as Modality: MR; {{}} matches everything")
    return when


class Peer(Section):
    """Who may send to the node, and where to report storage commitment to."""

    ae_title: AETitle
    networks: tuple[Network, ...] = ()  # empty: any address
    host: Host | None = None  # for reports back to it
    port: Port | None = None
    maximum_associations: int = Field(default=16, ge=1)
    tls: Tls | None = None  # for connections to it


class DimseSettings(Section):
    """The DICOM port."""

    host: Host = "0.0.0.0"
    port: Port = 11112
    ae_titles: tuple[AETitle, ...] = ()  # called AE titles beside node.ae_title
    require_called_ae_title: bool = True
    require_known_peer: bool = True  # calling AE title and address must be in `peers`
    tls: Tls | None = None
    tls_port: Port | None = None  # a second port, for TLS; then `port` stays without
    server: Literal["fast", "plain"] = "fast"
    processes: int = Field(default=1, ge=1, le=16)
    maximum_associations: int = Field(default=100, ge=1)
    maximum_pdu_size: int = Field(default=131072, ge=4096, le=1048576)
    association_timeout_s: float = Field(default=5.0, gt=0)  # silent before A-ASSOCIATE-RQ
    idle_timeout_s: float = Field(default=300.0, gt=0)  # silent inside an association
    maximum_instance_bytes: int = Field(default=4 * 2**30, ge=2**20)

    @model_validator(mode="after")
    def _tls_port_has_tls(self) -> Self:
        if self.tls_port is not None and self.tls is None:
            raise ValueError("tls_port: needs receive.dimse.tls with a certificate and a key beside it")
        return self


class TokenSection(Section):
    """A way in over HTTP: only this machine may use it, or with a token everybody who shows it."""

    token: Token | None = None
    token_file: FilePath | None = None  # its length is looked at when the file is read

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("token_file: token is given too; should be one of the two, better token_file")
        return self


class DicomWebSettings(TokenSection):
    """STOW-RS on the status page's port."""

    enabled: bool = True


class WatchedFolder(Section):
    """A folder of which everything that settles in it is imported."""

    path: FilePath
    after: Literal["keep", "delete"] = "keep"


class OrthancFeed(Account):
    """An Orthanc whose /changes are followed, where it cannot route by DICOM."""

    url: Url
    poll_s: float = Field(default=2.0, gt=0)


class RejectionNoteSettings(Section):
    """What rejection notes that come in may do."""

    action: Literal["mark", "withdraw", "ignore"] = "mark"  # of results that were made before
    senders: tuple[AETitle, ...] = ()  # whose notes count; empty: everybody's who may send


class ReceiveSettings(Section):
    """How instances come in, and when a series or study counts as complete."""

    dimse: DimseSettings = DimseSettings()
    dicomweb: DicomWebSettings = DicomWebSettings()
    watched_folders: tuple[WatchedFolder, ...] = ()
    orthanc_feeds: dict[Name, OrthancFeed] = Field(default_factory=dict)
    durability: Literal["process", "power"] = "power"  # success survives a killed process, or a power cut too
    disk_floor_mb: int = Field(default=1024, ge=0)
    keep_days: Annotated[int | None, Field(ge=1), BeforeValidator(off)] = (
        None  # images whose jobs are done and delivered; None: for ever
    )
    rejection_notes: RejectionNoteSettings = RejectionNoteSettings()
    series_quiet_s: float = Field(default=30.0, ge=0)
    study_quiet_s: float = Field(default=60.0, ge=0)
    known_count_quiet_s: float = Field(default=0.2, ge=0)  # where expected counts are met and associations have ended


class RunSettings(Section):
    """Inference processes and their limits."""

    workers: int = Field(default=1, ge=1)  # inference processes
    time_limit_s: float = Field(default=1800.0, gt=0)
    memory_limit_mb: int = Field(default=16384, ge=512)
    keep_jobs_days: int = Field(default=30, ge=1)
    box: Literal["auto", "required", "off"] = "auto"  # whether these processes run in one: see `node.box`
    environment: tuple[EnvironmentName, ...] = ()  # of the node's, besides what `node.box` passes on
    gpus: Literal["auto", "none"] | tuple[Annotated[int, Field(ge=0)], ...] = "auto"  # see `node.gpus`
    workers_per_gpu: int = Field(default=1, ge=1)
    gpu_memory_limit_mb: int | None = Field(default=None, ge=256)  # of each process


class DimseDestination(Section):
    """A peer that results are sent to by C-STORE."""

    kind: Literal["dimse"]
    ae_title: AETitle
    host: Host
    port: Port = 104
    calling_ae_title: AETitle | None = None
    tls: Tls | None = None
    commitment: bool = False  # ask for storage commitment; "confirmed" only after it
    associations: int = Field(default=1, ge=1, le=8)
    withdraw: Literal["iocm", "none"] = "none"  # how it is told that a result is taken back
    timeout_s: float = Field(default=120.0, gt=0)
    profile: Profile = Profile()

    @property
    def confirms(self) -> bool:
        """Whether an object counts as sent only once the peer has said that it keeps it."""
        return self.commitment


class DicomWebDestination(Section):
    """A server that results are sent to by STOW-RS."""

    kind: Literal["dicomweb"]
    url: Url
    token_file: FilePath | None = None
    tls: Tls | None = None  # a client certificate, or a CA of the site's own
    confirm: bool = False  # ask back by QIDO-RS; "confirmed" only after it
    withdraw: Literal["iocm", "delete-dicomweb", "none"] = "none"  # how it is told that a result is taken back
    timeout_s: float = Field(default=120.0, gt=0)
    profile: Profile = Profile()

    @property
    def confirms(self) -> bool:
        """Whether an object counts as sent only once the server has said that it keeps it."""
        return self.confirm


class FolderDestination(Section):
    """A folder that results are written to."""

    kind: Literal["folder"]
    path: FilePath
    readable_by: Literal["owner", "group", "everyone"] = "owner"  # of what is written there; the owner is the node
    withdraw: Literal["iocm", "none"] = "none"  # iocm: a rejection note is written there too
    profile: Profile = Profile()
    confirms: ClassVar[bool] = False  # a file that is there is kept


class FhirDestination(Section):
    """A FHIR R4 server: it is given risks as RiskAssessment and, if asked for, results as DiagnosticReport."""

    kind: Literal["fhir"]
    url: Url
    token_file: FilePath | None = None
    identifier_system: Annotated[str, BeforeValidator(off_text)] = (
        ""  # of the patient IDs of the images; empty: the value alone is given
    )
    resources: tuple[Literal["risk_assessment", "diagnostic_report"], ...] = ("risk_assessment",)
    find_patient: bool = False  # refer to the server's own Patient, who is looked for by the patient ID
    status: Literal["preliminary", "final"] = "preliminary"  # of DiagnosticReports
    not_run_reports: bool = False  # a pipeline due that did not run becomes a DiagnosticReport
    snomed_licence: bool = False  # as in `Profile`
    confirm: bool = False  # look for each one there; "confirmed" only after it
    withdraw: Literal["entered-in-error", "none"] = "none"  # the status that results get there which are taken back
    timeout_s: float = Field(default=30.0, gt=0)

    @property
    def confirms(self) -> bool:
        """Whether a resource counts as sent only once it was found there."""
        return self.confirm

    @property
    def profile(self) -> Profile:
        """What goes there."""
        return _foreign_profile(self.resources, self)


class Hl7Destination(Section):
    """A receiver of HL7 v2 messages (ORU^R01), by MLLP or in a folder: a RIS or an interface engine."""

    kind: Literal["hl7"]
    host: Host | None = None  # of an MLLP listener
    port: Port = 2575
    tls: Tls | None = None
    path: FilePath | None = None  # a folder that messages are written to, in place of a listener
    readable_by: Literal["owner", "group", "everyone"] = "owner"  # of what is written there
    sending_application: str = "CONDYLE"
    sending_facility: Annotated[str, BeforeValidator(off_text)] = ""  # empty: node.institution
    receiving_application: Annotated[str, BeforeValidator(off_text)] = ""
    receiving_facility: Annotated[str, BeforeValidator(off_text)] = ""
    assigning_authority: Annotated[str, BeforeValidator(off_text)] = ""  # of patient IDs; empty: the images' issuer
    character_set: Literal["UTF-8", "ASCII", "8859/1", "8859/2", "8859/15"] = "UTF-8"
    patient: Literal["full", "identifier"] = "full"
    status: Literal["preliminary", "final"] = "preliminary"
    not_run_reports: bool = False  # a pipeline due that did not run becomes a message
    withdraw: Literal["oru", "none"] = "none"  # oru: a further message says that the results were wrong
    snomed_licence: bool = False  # as in `Profile`
    timeout_s: float = Field(default=30.0, gt=0)  # for the acknowledgement
    confirms: ClassVar[bool] = False  # what is acknowledged is kept

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.host is None and self.path is None:
            raise ValueError("should have host, for a listener, or path, for a folder")
        if self.host is not None and self.path is not None:
            raise ValueError("path: host is given too; should be one of the two")
        if self.path is not None and self.tls is not None:
            raise ValueError("tls: is of no use with path; should be left out")
        return self

    @property
    def profile(self) -> Profile:
        """What goes there."""
        return _foreign_profile(("oru",), self)

    def message_header(self, institution: str) -> MessageHeader:
        """Who sends to whom, for the encoder; `institution`, the node's, stands in for a facility that is not named."""
        return MessageHeader(
            sending_application=self.sending_application,
            sending_facility=self.sending_facility or institution,
            receiving_application=self.receiving_application,
            receiving_facility=self.receiving_facility,
            assigning_authority=self.assigning_authority,
            character_set="UNICODE UTF-8" if self.character_set == "UTF-8" else self.character_set,
            patient=self.patient,
        )


def _foreign_profile(kinds: tuple[Kind, ...], of: FhirDestination | Hl7Destination) -> Profile:
    """The profile of a destination that gets no DICOM."""
    return Profile.model_construct(kinds=kinds, not_run_reports=of.not_run_reports, snomed_licence=of.snomed_licence)


Destination = Annotated[
    DimseDestination
    | DicomWebDestination
    | FolderDestination
    | FhirDestination
    | Hl7Destination
    | EmailDestination
    | WebhookDestination,
    Field(discriminator="kind"),
]
ARCHIVES = (DimseDestination, DicomWebDestination)  # kinds of destination that can be asked for what they keep


class ConditionalDestination(Section):
    """A destination of a route that gets only some of its results."""

    to: Name
    when: ResultClauses  # node/matching/result.py says what it may hold; checked at the start


def _name_or_condition(value: object) -> str:
    """Which of the two an entry of `Route.destinations` is."""
    return "conditionaldestination" if isinstance(value, dict | ConditionalDestination) else "str"


RouteDestination = Annotated[
    Annotated[Name, Tag("str")] | Annotated[ConditionalDestination, Tag("conditionaldestination")],
    Discriminator(_name_or_condition),
]


class Route(Section):
    """A line of `config.yaml`: when, which pipeline, where to."""

    when: Annotated[
        dict[str, Any], BeforeValidator(_clauses)
    ]  # a matcher; node/route/match.py says what it may hold and checks it at the start
    level: Literal["series", "study"] = "series"
    pipeline: str
    settings: dict[str, Any] = Field(default_factory=dict)
    destinations: tuple[RouteDestination, ...]
    priority: int = 100
    shadow: bool = False  # run, keep the result out of the destinations
    shadow_of: Name | None = None  # the route that it is compared with, and takes after (`node.config.shadow_routes`)
    shadow_folder: FilePath | None = None  # of what it makes; None: a folder in the data folder

    @property
    def destination_names(self) -> tuple[str, ...]:
        """Where results may go, whatever they are."""
        return tuple(one.to if isinstance(one, ConditionalDestination) else one for one in self.destinations)

    @property
    def conditions(self) -> dict[str, dict[str, Any]]:
        """By destination: which results it gets; one that is not here gets all."""
        return {one.to: one.when for one in self.destinations if isinstance(one, ConditionalDestination)}


class MllpSettings(Section):
    """HL7 v2 messages about patients, over MLLP."""

    host: Host = "127.0.0.1"
    port: Port = 2575
    networks: tuple[Network, ...] = ()  # senders' addresses; empty: any


class FhirServer(Section):
    """A FHIR R4 server that is asked for a patient's record when none has been sent."""

    url: Url
    token_file: FilePath | None = None
    identifier_system: Annotated[str, BeforeValidator(off_text)] = (
        ""  # of the patient IDs of the images; empty: the server is asked for the value alone
    )
    post_back: bool = False  # risks, asked for or of a study, go there as RiskAssessment too
    timeout_s: float = Field(default=30.0, gt=0)


class RecordSettings(TokenSection):
    """Patients' records, for pipelines that work on them; the token is for /fhir and /risk."""

    keep_days: int = Field(default=30, ge=1)
    key_file: FilePath | None = None  # encrypts them on disk
    issuers: dict[str, str] = Field(
        default_factory=dict
    )  # identifier system or assigning authority -> IssuerOfPatientID
    default_issuer: str = ""  # issuer of patient IDs in images and records that name none
    answer_wait_s: float = Field(default=30.0, ge=0, le=600)  # for the answer to a request, unless it says otherwise
    answer_destinations: tuple[Name, ...] = ()  # of kind fhir: they get the answers to requests too
    patient_changes: bool = False  # merges and corrections by HL7 count for jobs, results and kept reports too
    mllp: MllpSettings | None = None
    fhir: FhirServer | None = None


class RunRequestSettings(TokenSection):
    """Requests to run a pipeline on a study: POST /run on the status page's port."""

    enabled: bool = False
    archives: tuple[Name, ...] = ()  # destinations of kind dimse or dicomweb that studies may be fetched from
    retrieve: Literal["auto", "get", "move"] = "auto"  # from a DICOM archive
    move_ae_title: AETitle | None = None  # that C-MOVE names, known to the archive; None: node.ae_title
    timeout_s: float = Field(default=3600.0, gt=0)  # for each study
    callbacks: dict[Name, CallbackReceiver] = Field(default_factory=dict)  # whom a request may have told of its end


class PriorSettings(Section):
    """Where a patient's earlier report is looked for, for pipelines that compare with it."""

    keep_days: int = Field(default=1100, ge=0)  # own reports; a visit every year finds the last two
    ask: tuple[Name, ...] = ()  # destinations of kind dimse or dicomweb
    retrieve: Literal["auto", "get", "move"] = "auto"  # from a DICOM archive; move needs the archive in `peers`
    timeout_s: float = Field(default=20.0, gt=0)  # for each archive
    studies: int = Field(default=5, ge=1)  # the patient's latest that an archive names, looked into


class VerdictSettings(Section):
    """What readers say about results: Assessment SRs and edited copies that come in."""

    read: bool = True
    comments: bool = False  # stored too, without what identifies the patient
    form: bool = False  # the page takes verdicts too, of whoever may see it
    # codes of others, beside the node's own: names of the item with the answer or the reason, then the answers
    concepts: tuple[Coded, ...] = ()
    reasons: tuple[Coded, ...] = ()
    accept: tuple[Coded, ...] = ()
    modify: tuple[Coded, ...] = ()
    reject: tuple[Coded, ...] = ()

    @model_validator(mode="after")
    def _each_code_means_one_thing(self) -> Self:
        meanings: dict[str, str] = {}
        for answer in ("accept", "modify", "reject"):
            for code in getattr(self, answer):
                if meanings.setdefault(code, answer) != answer:
                    raise ValueError(f"{answer}: {code} is under {meanings[code]} too; a code is one answer")
        if meanings and not self.concepts:
            key = next(iter(meanings.values()))
            raise ValueError(f"{key}: needs concepts, the names of the coded items in which these answers stand")
        return self


class HistorySettings(Section):
    """How long the database tells what happened; jobs, what they made and where that went stay for ever."""

    decisions_days: int = Field(default=365, ge=1)  # requests whose study was fetched, and callbacks
    events_days: int = Field(default=365, ge=1)  # the timelines of jobs, and alerts
    associations_days: int = Field(default=365, ge=1)  # and storage commitment; not while an image of it is stored
    audit_days: int = Field(default=3650, ge=1)  # refusals, operator actions


class StatusSettings(TokenSection):
    """The port of the page, health, metrics and everything else that is asked by HTTP; the token is for the page."""

    host: Host = "127.0.0.1"
    port: Port = 8090  # not 8042, where Orthanc's is
    url: Url | None = None  # of the page, as browsers ask for it; where an OpenID provider sends them back to
    tls: Tls | None = None  # https for the page and for STOW-RS
    certificate_role: RoleName = "viewer"  # of whoever shows a client certificate (tls.trusted) and signs in no further
    openid: OpenIdSettings | None = None
    open_loopback: bool = False  # this machine needs no sign-in, where there are users, openid or a token too
    session_idle_minutes: int = Field(default=60, ge=1)  # without a request, then one signs in again
    session_hours: int = Field(default=12, ge=1)  # then in any case
    trusted_proxies: tuple[Network, ...] = ()  # who say truly where a request came from
    allowed_hosts: tuple[OwnHost, ...] = ()  # further names of the node in URLs; its addresses need not be named
    viewer_url: ViewerUrl | None = None  # where a study is looked at

    @model_validator(mode="after")
    def _openid_knows_the_way_back(self) -> Self:
        if self.openid is not None and self.url is None:
            raise ValueError(
                "openid: needs status.url beside it, the address of the page as browsers ask for it; "
                "the provider sends them back there"
            )
        return self


class NodeSettings(Section):
    """Who the node is, and where its data lie."""

    ae_title: AETitle = "CONDYLE"
    data: FilePath = Field(default=Path("data"), validate_default=True)
    database: DatabaseUrl | None = None  # a URL; None: SQLite at <data>/node.db
    institution: str = ""
    uid_root: UidRoot = "2.25"
    device_serial_number: SerialNumber | None = None  # None: one of this installation, made at its first start
    device_uid: DeviceUid | None = None  # None: made from the institution and the serial number

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the database, configured or not."""
        return self.database or f"sqlite:///{(self.data / 'node.db').absolute()}"


class Configuration(Section):
    """The whole of `config.yaml`."""

    node: NodeSettings = Field(default_factory=dict, validate_default=True)
    peers: dict[Name, Peer] = Field(default_factory=dict)
    receive: ReceiveSettings = ReceiveSettings()
    routes: dict[Name, Route] = Field(default_factory=dict)
    bundles: dict[Name, BundleEntry] = Field(default_factory=dict)  # MONAI bundles, which routes name as bundle:NAME
    destinations: dict[Name, Destination] = Field(default_factory=dict)
    run: RunSettings = RunSettings()
    records: RecordSettings = RecordSettings()
    run_requests: RunRequestSettings = RunRequestSettings()
    priors: PriorSettings = PriorSettings()
    verdicts: VerdictSettings = VerdictSettings()
    history: HistorySettings = HistorySettings()
    audit: AuditSettings = AuditSettings()
    alerts: AlertSettings = AlertSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    status: StatusSettings = StatusSettings()

    @model_validator(mode="before")
    @classmethod
    def _shadows_take_after_their_routes(cls, values: Any) -> Any:
        return filled_in(values)

    @model_validator(mode="after")
    def _destinations_exist(self) -> Self:
        """Everything that names a destination names one that is there and can do what is asked of it."""
        every = list(self.destinations)
        servers = [name for name, of in self.destinations.items() if isinstance(of, FhirDestination)]
        archives = [name for name, of in self.destinations.items() if isinstance(of, ARCHIVES)]
        named = (
            *((f"routes.{route}.destinations", of.destination_names, every, "") for route, of in self.routes.items()),
            ("records.answer_destinations", self.records.answer_destinations, servers, " of kind fhir"),
            ("priors.ask", self.priors.ask, archives, " of kind dimse or dicomweb"),
            ("run_requests.archives", self.run_requests.archives, archives, " of kind dimse or dicomweb"),
        )
        wrong = [
            problem
            for key, names, fit, kind in named
            for problem in _wrong_names(key, names, self.destinations, fit, kind)
        ]
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    @model_validator(mode="after")
    def _what_is_moved_is_taken(self) -> Self:
        """The node answers to the AE title that C-MOVE names; no route is asked about what comes under it."""
        title = self.run_requests.move_ae_title
        if title is not None and (title not in self.receive.dimse.ae_titles or title == self.node.ae_title):
            raise ValueError(
                "run_requests.move_ae_title: should be one of receive.dimse.ae_titles that no sender calls: "
                "no route is asked about what comes under it"
            )
        return self

    @model_validator(mode="after")
    def _who_rejects_may_send(self) -> Self:
        """Whose rejection notes count is a peer, where only peers may send."""
        known = [peer.ae_title for peer in self.peers.values()]
        if self.receive.dimse.require_known_peer:
            for index, title in enumerate(self.receive.rejection_notes.senders):
                if title not in known:
                    there = f"there are: {', '.join(known) or 'none'}"
                    raise ValueError(
                        f"receive.rejection_notes.senders.{index}: no peer has this AE title; {there}"
                        f"{did_you_mean(title, known)}"
                    )
        return self

    @model_validator(mode="after")
    def _alerts_are_of_what_is_there(self) -> Self:
        """The destinations and routes that rules of alerts name are there."""
        wrong: list[str] = []
        for name, rule in self.alerts.rules.items():
            if isinstance(rule, DestinationDown):
                key = f"alerts.rules.{name}.destinations"
                wrong += unknown(key, rule.destinations, list(self.destinations), "destination")
            elif isinstance(rule, JobsFailed | ResultMade):
                wrong += unknown(f"alerts.rules.{name}.routes", rule.routes, list(self.routes), "route")
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    @model_validator(mode="after")
    def _bundles_exist(self) -> Self:
        """Every route to a bundle names one that is there, whose settings stand with it."""
        wrong = []
        for name, route in self.routes.items():
            if not route.pipeline.startswith(PREFIX):
                continue
            bundle = route.pipeline.removeprefix(PREFIX)
            if bundle not in self.bundles:
                there = f"there are: {', '.join(self.bundles) or 'none'}"
                sentence = f"no bundle is called so; {there}{did_you_mean(bundle, self.bundles)}"
                wrong.append(f"routes.{name}.pipeline: {sentence}")
            elif route.settings:
                wrong.append(
                    f"routes.{name}.settings: should be empty; what is set of a bundle stands in bundles.{bundle}"
                )
        if wrong:
            raise ValueError("\n".join(wrong))
        return self


def _wrong_names(
    key: str, names: Sequence[str], destinations: Mapping[str, Destination], fit: Sequence[str], kind: str
) -> Iterator[str]:
    """What is wrong with names of destinations that should be one of `fit`, each as a sentence with its key."""
    there = f"there are: {', '.join(fit) or 'none'}"
    for index, name in enumerate(names):
        if name not in destinations:
            yield f"{key}.{index}: no destination{kind} is called so; {there}{did_you_mean(name, fit)}"
        elif name not in fit:
            yield f"{key}.{index}: is of kind {destinations[name].kind}; should be a destination{kind}; {there}"
        elif name in names[:index]:
            yield f"{key}.{index}: is there twice; keep one of the two"
