"""`config.yaml` as frozen types, read once at the start.

An unknown key is an error, and every default is here and nowhere else.
"""

from __future__ import annotations

import difflib
import ipaddress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from dicom_sr.profile import DEFAULT_KINDS, DICOM_KINDS, Kind
from node.config.tokens import token_problem
from node.config.yaml_file import YamlFile
from node.errors import ConfigurationError


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """A relative path means the same wherever the node is started from."""
    folder = (info.context or {}).get("folder")
    return folder / path.expanduser() if folder else path


AETitle = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[^\\\s][^\\]*$")]
Port = Annotated[int, Field(ge=1, le=65535)]


def _network(text: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(str(text))
    except ValueError as error:
        raise ValueError(f"should be an address, or a network such as 10.2.0.0/16: {error}") from None


def _for_dicom(kind: Kind) -> Kind:
    if kind not in DICOM_KINDS:
        raise ValueError(f"goes to destinations of kind fhir only; should be one of {', '.join(DICOM_KINDS)}")
    return kind


def _fit_token(token: SecretStr) -> SecretStr:
    if (problem := token_problem(token.get_secret_value())) is not None:
        raise ValueError(problem)
    return token


FilePath = Annotated[Path, AfterValidator(_beside_the_file)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, PlainValidator(_network)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class Section(BaseModel):
    """Base of every part of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tls(Section):
    """Certificates of a TLS port or client, BCP 195: TLS 1.2 or later."""

    certificate: FilePath
    key: FilePath
    trusted: FilePath | None = None  # CA bundle; where given, the other side must show a certificate it signed


class Peer(Section):
    """Who may send to the node, and where to report storage commitment to."""

    ae_title: AETitle
    networks: tuple[Network, ...] = ()  # empty: any address
    host: str | None = None  # for reports back to it
    port: Port | None = None
    maximum_associations: int = Field(default=16, ge=1)
    tls: Tls | None = None  # for connections to it


class DimseSettings(Section):
    """The DICOM port."""

    host: str = "0.0.0.0"
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


class TokenSection(Section):
    """A way in over HTTP: only this machine may use it, or with a token everybody who shows it."""

    token: Annotated[SecretStr, AfterValidator(_fit_token)] | None = None
    token_file: FilePath | None = None  # its length is looked at when the file is read

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("token and token_file are both given; keep one of them, better token_file")
        return self


class DicomWebSettings(TokenSection):
    """STOW-RS on the status page's port."""

    enabled: bool = True


class WatchedFolder(Section):
    """A folder of which everything that settles in it is imported."""

    path: FilePath
    after: Literal["keep", "delete"] = "keep"


class OrthancFeed(Section):
    """An Orthanc whose /changes are followed, where it cannot route by DICOM."""

    url: str
    username: str | None = None
    password_file: FilePath | None = None
    poll_s: float = Field(default=2.0, gt=0)


class ReceiveSettings(Section):
    """How instances come in, and when a series or study counts as complete."""

    dimse: DimseSettings = DimseSettings()
    dicomweb: DicomWebSettings = DicomWebSettings()
    watched_folders: tuple[WatchedFolder, ...] = ()
    orthanc_feeds: dict[Name, OrthancFeed] = {}
    durability: Literal["process", "power"] = "power"  # success survives a killed process, or a power cut too
    disk_floor_mb: int = Field(default=1024, ge=0)
    keep_days: int | None = Field(default=None, ge=1)  # images whose jobs are done and delivered; None: for ever
    series_quiet_s: float = Field(default=30.0, ge=0)
    study_quiet_s: float = Field(default=60.0, ge=0)
    known_count_quiet_s: float = Field(default=0.2, ge=0)  # where expected counts are met and associations have ended


class RunSettings(Section):
    """Inference processes and their limits."""

    workers: int = Field(default=1, ge=1)  # inference processes; one per GPU or CPU slot
    time_limit_s: float = Field(default=1800.0, gt=0)
    memory_limit_mb: int = Field(default=16384, ge=512)
    keep_jobs_days: int = Field(default=30, ge=1)


class Profile(Section):
    """Which kinds of object go to a destination, and in which form."""

    measurement_report: Literal["comprehensive_3d", "comprehensive"] = "comprehensive_3d"
    kinds: tuple[Annotated[Kind, AfterValidator(_for_dicom)], ...] = DEFAULT_KINDS
    not_run_reports: bool = False  # a pipeline due that did not run becomes a capture and a report
    synthetic_data: bool = True  # SyntheticData YES on derived series
    snomed_licence: bool = False  # SNOMED codes outside DICOM's own content in place of private ones


class DimseDestination(Section):
    """A peer that results are sent to by C-STORE."""

    kind: Literal["dimse"]
    ae_title: AETitle
    host: str
    port: Port = 104
    calling_ae_title: AETitle | None = None
    tls: Tls | None = None
    commitment: bool = False  # ask for storage commitment; "confirmed" only after it
    associations: int = Field(default=1, ge=1, le=8)
    timeout_s: float = Field(default=120.0, gt=0)
    profile: Profile = Profile()

    @property
    def confirms(self) -> bool:
        """Whether an object counts as sent only once the peer has said that it keeps it."""
        return self.commitment


class DicomWebDestination(Section):
    """A server that results are sent to by STOW-RS."""

    kind: Literal["dicomweb"]
    url: str
    token_file: FilePath | None = None
    tls: Tls | None = None  # a client certificate, or a CA of the site's own
    confirm: bool = False  # ask back by QIDO-RS; "confirmed" only after it
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
    profile: Profile = Profile()
    confirms: ClassVar[bool] = False  # a file that is there is kept


class FhirDestination(Section):
    """A FHIR R4 server: it is given the risks that pipelines state, as RiskAssessment, and nothing else."""

    kind: Literal["fhir"]
    url: str
    token_file: FilePath | None = None
    identifier_system: str = ""  # of the patient IDs of the images; empty: the value alone is given
    confirm: bool = False  # look for each one there; "confirmed" only after it
    timeout_s: float = Field(default=30.0, gt=0)

    @property
    def confirms(self) -> bool:
        """Whether a resource counts as sent only once it was found there."""
        return self.confirm

    @property
    def profile(self) -> Profile:
        """What goes there; not the site's to choose."""
        return RISKS_ONLY


RISKS_ONLY = Profile.model_construct(kinds=("risk_assessment",))

Destination = Annotated[
    DimseDestination | DicomWebDestination | FolderDestination | FhirDestination, Field(discriminator="kind")
]
ARCHIVES = (DimseDestination, DicomWebDestination)  # kinds of destination that can be asked for what they keep


class Route(Section):
    """A line of `config.yaml`: when, which pipeline, where to."""

    when: dict[str, Any]  # a matcher; node/route/match.py says what it may hold and checks it at the start
    level: Literal["series", "study"] = "series"
    pipeline: str
    settings: dict[str, Any] = {}
    destinations: tuple[Name, ...]
    priority: int = 100
    shadow: bool = False  # run, keep the result out of the destinations


class MllpSettings(Section):
    """HL7 v2 messages about patients, over MLLP."""

    host: str = "127.0.0.1"
    port: Port = 2575
    networks: tuple[Network, ...] = ()  # senders' addresses; empty: any


class FhirServer(Section):
    """A FHIR R4 server that is asked for a patient's record when none has been sent."""

    url: str
    token_file: FilePath | None = None
    identifier_system: str = ""  # of the patient IDs of the images; empty: the server is asked for the value alone
    post_back: bool = False  # risks, asked for or of a study, go there as RiskAssessment too
    timeout_s: float = Field(default=30.0, gt=0)


class RecordSettings(TokenSection):
    """Patients' records, for pipelines that work on them; the token is for /fhir and /risk."""

    keep_days: int = Field(default=30, ge=1)
    key_file: FilePath | None = None  # encrypts them on disk
    issuers: dict[str, str] = {}  # identifier system or assigning authority -> IssuerOfPatientID
    default_issuer: str = ""  # issuer of patient IDs in images and records that name none
    answer_wait_s: float = Field(default=30.0, ge=0, le=600)  # for the answer to a request, unless it says otherwise
    answer_destinations: tuple[Name, ...] = ()  # of kind fhir: they get the answers to requests too
    mllp: MllpSettings | None = None
    fhir: FhirServer | None = None


class PriorSettings(Section):
    """Where a patient's earlier report is looked for, for pipelines that compare with it."""

    keep_days: int = Field(default=1100, ge=0)  # own reports; a visit every year finds the last two
    ask: tuple[Name, ...] = ()  # destinations of kind dimse or dicomweb
    retrieve: Literal["auto", "get", "move"] = "auto"  # from a DICOM archive; move needs the archive in `peers`
    timeout_s: float = Field(default=20.0, gt=0)  # for each archive
    studies: int = Field(default=5, ge=1)  # the patient's latest that an archive names, looked into


class StatusSettings(TokenSection):
    """The port of the page, health, metrics and everything else that is asked by HTTP; the token is for the page."""

    host: str = "127.0.0.1"
    port: Port = 8090  # not 8042, where Orthanc's is
    tls: Tls | None = None  # https for the page and for STOW-RS
    trusted_proxies: tuple[Network, ...] = ()  # who say truly where a request came from


class NodeSettings(Section):
    """Who the node is, and where its data lie."""

    ae_title: AETitle = "CONDYLE"
    data: FilePath = Field(default=Path("data"), validate_default=True)
    database: str | None = None  # SQLAlchemy URL; None: SQLite at <data>/node.db
    institution: str = ""
    uid_root: str = "2.25"

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the database, configured or not."""
        return self.database or f"sqlite:///{(self.data / 'node.db').absolute()}"


class Configuration(Section):
    """The whole of `config.yaml`."""

    node: NodeSettings = Field(default_factory=dict, validate_default=True)
    peers: dict[Name, Peer] = {}
    receive: ReceiveSettings = ReceiveSettings()
    routes: dict[Name, Route] = {}
    destinations: dict[Name, Destination] = {}
    run: RunSettings = RunSettings()
    records: RecordSettings = RecordSettings()
    priors: PriorSettings = PriorSettings()
    status: StatusSettings = StatusSettings()

    @model_validator(mode="after")
    def _destinations_exist(self) -> Configuration:
        for name, route in self.routes.items():
            for destination in route.destinations:
                if destination not in self.destinations:
                    known = ", ".join(self.destinations) or "none"
                    raise ValueError(f"routes.{name}.destinations: no destination {destination!r}; there are: {known}")
        return self

    @model_validator(mode="after")
    def _answers_go_to_fhir_servers(self) -> Configuration:
        servers = [name for name, of in self.destinations.items() if isinstance(of, FhirDestination)]
        for name in self.records.answer_destinations:
            if name not in servers:
                known = ", ".join(servers) or "none"
                raise ValueError(
                    f"records.answer_destinations: no destination {name!r} of kind fhir; there are: {known}"
                )
        return self

    @model_validator(mode="after")
    def _archives_can_be_asked(self) -> Configuration:
        archives = [name for name, of in self.destinations.items() if isinstance(of, ARCHIVES)]
        for name in self.priors.ask:
            if name not in archives:
                known = ", ".join(archives) or "none"
                raise ValueError(f"priors.ask: no destination {name!r} of kind dimse or dicomweb; there are: {known}")
        return self


def read(path: Path) -> Configuration:
    """The configuration in `path`; paths in it are relative to the folder that it is in.

    Raises
    ------
    ConfigurationError
        Naming the file, the line, the key, the value and what would be right; one line per mistake.
    """
    file = YamlFile(path)
    if not isinstance(file.values, dict):
        raise ConfigurationError(f"{path}: holds no sections; it should begin with a line such as 'node:'")
    try:
        return Configuration.model_validate(file.values, context={"folder": path.absolute().parent})
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(file, dict(e)) for e in error.errors())) from error


def _explain(file: YamlFile, error: dict[str, Any]) -> str:
    """One mistake in one line: where, what stands there, what would be right."""
    where: tuple[int | str, ...] = error["loc"]
    line = file.line(where)
    place = f"{file.path}:{line}" if line else str(file.path)
    kinds = [*(get_args(Destination)[0].__args__)]
    tags = {get_args(kind.model_fields["kind"].annotation)[0] for kind in kinds}
    key = ".".join(str(part) for index, part in enumerate(where) if not (index == 2 and part in tags))
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(where[-1]), sorted(known_keys()), n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{place}: {key}: there is no such key{hint}"
    if error["type"] == "missing":
        return f"{place}: {key}: is missing and has no default"
    message = str(error["msg"]).removeprefix("Value error, ")
    value = error.get("input")
    if isinstance(value, dict | list) or any(word in key for word in ("token", "password")):
        return f"{place}: {key}: {message}" if key else f"{place}: {message}"
    return f"{place}: {key}: {value!r}: {message}"


def known_keys() -> set[str]:
    """Every key that some section has."""

    def below(section: type[Section]) -> set[str]:
        return set(section.model_fields).union(*(below(kind) for kind in section.__subclasses__()))

    return below(Section)
