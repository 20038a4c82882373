"""What a value of the configuration may be: names, addresses, URLs, paths; and the base of every section."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    model_validator,
)

from node.config.secret_files import token_problem

LONGEST_HOST_NAME = 253  # RFC 1035 2.3.4
LONGEST_SERIAL_NUMBER = 64  # a long string (LO)
LONGEST_UID = 64
VIEWER_NAMES = {"StudyInstanceUID", "AccessionNumber"}  # that the address of a viewer may name
LONGEST_UID_ROOT = 40  # characters, which leaves 23 digits for what is named under it


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """A relative path means the same wherever the node is started from."""
    folder = (info.context or {}).get("folder")
    return folder / path.expanduser() if folder else path


def _ae_title(text: str) -> str:
    """PS3.5 6.2, AE."""
    if not text.strip():
        raise ValueError("is empty; should have 1 to 16 characters")
    if len(text) > 16:
        raise ValueError(f"has {len(text)} characters; should have at most 16 characters")
    if text[0].isspace() or "\\" in text or not text.isascii() or not text.isprintable():
        raise ValueError("should be ASCII letters, digits, blanks and signs, without a backslash or a blank in front")
    return text


def _name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text) is None:
        raise ValueError("should be at most 64 ASCII letters, digits, _ and -, with a letter or digit in front")
    return text


def _host(text: str) -> str:
    if "/" in text or text.startswith("["):
        raise ValueError("should be a name or an address alone, such as pacs.example.org, without http:// and brackets")
    if text.count(":") == 1:
        raise ValueError("should be a name or an address alone; give the port under the key port")
    if not _is_address(text) and not _is_host_name(text):
        raise ValueError("should be a name or an address, such as pacs.example.org")
    return text


def _own_host(text: str) -> str:
    """A name of the node itself, as browsers write it: in ASCII, in lower case or not, also of all in a domain."""
    if not _is_address(text) and not (text.isascii() and _is_host_name(text.removeprefix("*."))):
        raise ValueError(
            "should be a name under which browsers ask for the node, without http:// and port, such as "
            "condyle.example.org, or *.example.org for all in that domain; there is none that stands for every name"
        )
    return text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_host_name(text: str) -> bool:
    labels = text.removesuffix(".").split(".")
    # in other alphabets too; the last is no number, which would be half an address
    sound = all(re.fullmatch(r"[\w-]{1,63}", label) for label in labels) and not labels[-1].isdecimal()
    return sound and len(text) <= LONGEST_HOST_NAME


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:  # a port that is no number
        sound = False
    if not sound or any(sign.isspace() for sign in text):
        raise ValueError("should be a URL that begins with http:// or https://, such as https://pacs.example.org/path")
    return text


def _viewer_url(text: str) -> str:
    named = set(re.findall(r"{([^{}]*)}", text))
    if not named or not named <= VIEWER_NAMES:
        raise ValueError(
            f"should name {' or '.join(sorted(f'{{{name}}}' for name in VIEWER_NAMES))}, and nothing else so"
        )
    _url(re.sub(r"{[^{}]*}", "1", text))
    return text


def _uid_root(text: str) -> str:
    if re.fullmatch(r"[0-2](\.(0|[1-9][0-9]*))+", text) is None:
        raise ValueError("should be numbers without leading zeros, separated by dots, such as 2.25 or 1.2.840.4711")
    if len(text) > LONGEST_UID_ROOT:
        raise ValueError(f"has {len(text)} characters; should have at most {LONGEST_UID_ROOT}, as 64 are a whole UID")
    return text


def _device_uid(text: str) -> str:
    if re.fullmatch(r"[0-2](\.(0|[1-9][0-9]*))+", text) is None or len(text) > LONGEST_UID:
        raise ValueError("should be a UID: numbers without leading zeros, separated by dots, at most 64 characters")
    return text


def _serial_number(text: str) -> str:
    text = text.strip()
    if not text or len(text) > LONGEST_SERIAL_NUMBER or not text.isprintable() or not text.isascii() or "\\" in text:
        raise ValueError(f"should be 1 to {LONGEST_SERIAL_NUMBER} printable ASCII characters without a backslash")
    return text


def _database(text: str) -> str:
    from sqlalchemy import make_url  # most who read a configuration need no database
    from sqlalchemy.exc import ArgumentError

    right = "such as postgresql+psycopg://user@host/name, or sqlite:////folder/node.db"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(f"should be the URL of a database, {right}") from None
    kind, _, driver = url.drivername.partition("+")
    if kind not in ("sqlite", "postgresql"):
        raise ValueError(f"{kind}: only PostgreSQL and SQLite work; should be a URL {right}")
    if kind == "postgresql" and driver != "psycopg":
        raise ValueError(f"should begin with postgresql+psycopg://; {driver or 'a URL without a driver'} does not work")
    if kind == "sqlite" and driver not in ("", "pysqlite"):
        raise ValueError(f"should begin with sqlite:///; the driver {driver} does not work")
    if not url.database or url.database == ":memory:":
        raise ValueError(f"names no database; should be a URL {right}")
    return text


def _network(text: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(str(text))
    except ValueError:
        pass
    try:
        wider = ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        raise ValueError("should be an address, or a network such as 10.2.0.0/16") from None
    address = str(text).partition("/")[0]
    raise ValueError(f"should be an address or a network: {wider} for all of them, or {address} alone")


_NOT_HANDED_ON = re.compile(
    # what is loaded or run instead of what is installed, what the box itself sets, and what usually is a secret
    r"LD_.*|DYLD_.*|PYTHON.*|GLIBC_.*|GCONV_PATH|BASH_ENV|ENV|PATH|HOME|TMPDIR|USER|LOGNAME|CONDYLE_.*"
    r"|.*(TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|_KEY|PROXY).*",
    re.IGNORECASE,
)


def _environment_name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name) is None:
        raise ValueError("should be the name of an environment variable alone: letters, digits and _, such as HF_HOME")
    if _NOT_HANDED_ON.fullmatch(name) is not None:
        raise ValueError(
            "is not handed on: such variables change what is run or what the box is, or are secrets; "
            "should be one that a library reads, such as HF_HOME"
        )
    return name


def _coded(text: str) -> str:
    if re.fullmatch(r"[^\s:]{1,16}:[^\s:]{1,64}", text) is None:
        raise ValueError("should be a coding scheme and a code value with a colon between, such as 99ACME:AGREED")
    return text


def off(value: object) -> object:
    """None where the word off stands."""
    return None if value == "off" else value


def off_text(value: object) -> object:
    """An empty text where the word off stands."""
    return "" if value == "off" else value


def _result_clauses(when: object) -> object:
    if not isinstance(when, dict) or not when:
        raise ValueError("should hold clauses about the result, such as state: unsuitable")
    return when


def _fit_token(token: SecretStr) -> SecretStr:
    if (problem := token_problem(token.get_secret_value())) is not None:
        raise ValueError(problem)
    return token


ResultClauses = Annotated[dict[str, Any], BeforeValidator(_result_clauses)]
FilePath = Annotated[Path, AfterValidator(_beside_the_file)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, PlainValidator(_network)]
Name = Annotated[str, AfterValidator(_name)]
AETitle = Annotated[str, AfterValidator(_ae_title)]
EnvironmentName = Annotated[str, AfterValidator(_environment_name)]
Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, AfterValidator(_host)]
OwnHost = Annotated[str, AfterValidator(_own_host)]
Url = Annotated[str, AfterValidator(_url)]
ViewerUrl = Annotated[str, AfterValidator(_viewer_url)]
UidRoot = Annotated[str, AfterValidator(_uid_root)]
DeviceUid = Annotated[str, AfterValidator(_device_uid)]
SerialNumber = Annotated[str, AfterValidator(_serial_number)]
DatabaseUrl = Annotated[str, AfterValidator(_database)]
Coded = Annotated[str, AfterValidator(_coded)]
Token = Annotated[SecretStr, AfterValidator(_fit_token)]


class Section(BaseModel):
    """Base of every part of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_the_default(cls, values: Any) -> Any:
        """A section or list of which every line is switched off is as one that is not there."""
        if not isinstance(values, dict):
            return values
        empty = {
            name
            for name, field in cls.model_fields.items()
            if name in values
            and values[name] is None
            and isinstance(field.get_default(call_default_factory=True), Section | dict | tuple)
        }
        return {name: value for name, value in values.items() if name not in empty}


class Tls(Section):
    """Certificates of a TLS port or client, BCP 195: TLS 1.2 or later."""

    certificate: FilePath
    key: FilePath
    trusted: FilePath | None = None  # CA bundle; where given, the other side must show a certificate it signed


class Account(Section):
    """A user name and the file of its password, where a server wants one; both or none."""

    username: str | None = None
    password_file: FilePath | None = None

    @model_validator(mode="after")
    def _account_is_whole(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            given, lacks = ("username", "password_file") if self.username is not None else ("password_file", "username")
            raise ValueError(f"{given}: needs {lacks} beside it")
        return self
