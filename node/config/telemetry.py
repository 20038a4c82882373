"""Where traces go, and what is wrong with that."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field

from node.config.secret_files import read_secret
from node.config.values import FilePath, Section, Url
from node.errors import ConfigurationError

PACKAGES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*([!-~][ -~]*)")  # RFC 9110 5.1, 5.5


class TelemetrySettings(Section):
    """Traces of studies by OpenTelemetry; nothing is sent without an endpoint."""

    otlp_endpoint: Url | None = None  # of the collector, OTLP by HTTP; whole, with /v1/traces
    headers_file: FilePath | None = None  # lines NAME: VALUE
    trusted: FilePath | None = None  # authorities of the collector's certificate; None: the system's
    uids: bool = False  # spans name the Study Instance UID and the job
    timeout_s: float = Field(default=10.0, gt=0, le=60)


def read_headers(path: Path) -> dict[str, str]:
    """The headers that a collector wants to see, by name in small letters.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or a line is none; the message names the line's number and not what it holds.
    """
    key = "telemetry.headers_file"
    headers = {}
    for number, line in enumerate(read_secret(key, path).splitlines(), 1):
        if not line.strip():
            continue
        found = _HEADER.fullmatch(line.strip())
        if found is None:
            wanted = "should be a name and a value with a colon between, such as Authorization: Bearer TOKEN"
            raise ConfigurationError(f"{key}: {path}: line {number} is no header; {wanted}")
        headers[found[1].lower()] = found[2]
    return headers


def packages_missing() -> bool:
    """Whether the packages that make and send traces are not installed."""
    try:
        return any(find_spec(name) is None for name in PACKAGES)
    except ModuleNotFoundError:  # one that such a name lies in
        return True


MISSING = 'the packages for traces are not installed; install them: pip install "condyle[tracing]"'
