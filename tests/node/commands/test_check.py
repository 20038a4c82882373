"""`condyle check` on a working configuration with one thing wrong: file, line, key, value and what would be right."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from node import box
from node.commands.check import check
from node.config import checks
from node.demo.orthanc_process import free_port
from node.errors import ConfigurationError
from tests.node.on_demand.told import Told

TOKEN = "0123456789abcdef"
TLS = "tls: {certificate: cert.pem, key: key.pem}"


@pytest.fixture(autouse=True)
def _a_machine_that_has_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "why_not", lambda: None)  # whether this one does is no part of the configuration


class Place(NamedTuple):
    """A folder with a working configuration and the files that it may name."""

    path: Path
    text: str
    taken: int  # a port that another program listens on


def sound(dimse: int, page: int) -> str:
    return f"""node:
  ae_title: CONDYLE
  data: data
  institution: ""
  uid_root: "2.25"
peers:
  scanner:
    ae_title: SCANNER
    networks: [127.0.0.0/8]
receive:
  dimse:
    host: 127.0.0.1
    port: {dimse}
    require_known_peer: true
    ae_titles: []
  series_quiet_s: 30.0
  dicomweb:
    enabled: true
  watched_folders:
    - path: inbox
routes:
  knee:
    when:
      Modality: MR
      SeriesDescription: "*sag*"
      EchoTime: {{min: 5}}
      series.slices: {{min: 4}}
    level: series
    pipeline: knee_super_resolution
    settings:
      method: tricubic
    destinations: [results]
destinations:
  results:
    kind: folder
    path: results
    profile:
      measurement_report: comprehensive_3d
      kinds: [report]
priors:
  ask: []
run:
  workers: 1
records:
  keep_days: 30
status:
  host: 127.0.0.1
  port: {page}
"""


def key_and_certificate(folder: Path, name: str, days: int = 365) -> None:
    """A key `name`key.pem and a certificate `name`cert.pem that runs out in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    (folder / f"{name}key.pem").write_bytes(plain)
    (folder / f"{name}locked.pem").write_bytes(locked)
    (folder / f"{name}cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("configuration")
    (folder / "inbox").mkdir()
    (folder / "file").write_text("")
    (folder / "empty").write_text("\n")
    (folder / "token").write_text(TOKEN)
    for name, days in (("", 365), ("other-", 365), ("old-", -1), ("late-", 10)):
        key_and_certificate(folder, name, days)
    return folder


@pytest.fixture
def place(files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("COLUMNS", "200")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield Place(files / "config.yaml", sound(free_port(), free_port()), taken.getsockname()[1])


Ask = Callable[[str | bytes], tuple[int, list[str]]]


@pytest.fixture
def ask(place: Place, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Writes a configuration and checks it: the exit code, and the lines about what is wrong or doubtful."""

    def asked(content: str | bytes) -> tuple[int, list[str]]:
        place.path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            code = check(place.path, online=False)
        except ConfigurationError as error:  # what `main` prints
            return 3, [f"bad {line}" for line in str(error).splitlines()]
        shown = capsys.readouterr().out.splitlines()
        return code, [line for line in shown if line.startswith(("bad", "doubtful"))]

    return asked


class Wrong(NamedTuple):
    """A change to the sound configuration, and what is said about it after file and line."""

    name: str
    old: str
    new: str
    told: str  # after file and line; a regular expression
    state: str = "bad"
    at: str = ""  # a text on the line that is named; by default the first line that was changed


MISTAKES = [Wrong(**one) for one in yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text("utf-8"))]
# What is no mistake: the node runs with it.
FIT: list[tuple[str, str, str]] = [
    ("02 port as a quoted number", "port: DIMSE", "port: 'DIMSE'"),
    ("21 an AE title in lower case", "ae_title: SCANNER", "ae_title: Scanner-1"),
    ("51 yes in quotes for true", "enabled: true", "enabled: 'yes'"),
    ("51 yes for true", "enabled: true", "enabled: yes"),
    ("53 a data folder to be made", "data: data", "data: other"),
    ("sections without a line", "priors:\n  ask: []\nrun:\n  workers: 1\n", "priors:\nrun:\n"),
    (
        "an account of its own for a feed",
        "routes:",
        "  orthanc_feeds:\n    a: {url: 'http://h', username: a, password_file: token}\nroutes:",
    ),
    (
        "certificates",
        "  port: PAGE",
        "  port: PAGE\n  tls: {certificate: cert.pem, key: key.pem, trusted: other-cert.pem}",
    ),
    ("an own UID root", '"2.25"', '"1.2.840.4711"'),
    ("two ports", "port: DIMSE", f"port: DIMSE\n    {TLS}\n    tls_port: FREE"),
]


def with_ports(place: Place, text: str) -> str:
    """The text with words in capitals replaced by what they stand for."""
    dimse, page = re.findall(r" port: (\d+)", place.text)
    for word, stands_for in {
        "DIMSE": dimse,
        "PAGE": page,
        "TAKEN": str(place.taken),
        "FREE": str(free_port()),
        "FOLDER": str(place.path.parent),
        "ROUTES": place.text[place.text.index("routes:") : place.text.index("destinations:\n")],
    }.items():
        text = text.replace(word, stands_for)
    return text


def changed(place: Place, old: str, new: str) -> str:
    """The configuration with the change in it."""
    assert with_ports(place, old) in place.text
    return place.text.replace(with_ports(place, old), with_ports(place, new), 1)


def told_line(place: Place, wrong: Wrong, text: str) -> int:
    """The line (from 1) that should be named."""
    lines, before = text.split("\n"), place.text.split("\n")
    at = with_ports(place, wrong.at)
    first = next(number for number, line in enumerate(lines) if line != before[number])
    if not at:
        return first + 1
    # from the change on, or in front of it where the line that lacks something is named
    after = [number for number, line in enumerate(lines) if at in line and number >= first]
    return (after[0] if after else max(n for n, line in enumerate(lines) if at in line)) + 1


@pytest.mark.parametrize("wrong", MISTAKES, ids=[wrong.name for wrong in MISTAKES])
def test_a_mistake_is_told_with_file_line_key_value_and_what_would_be_right(
    place: Place, ask: Ask, wrong: Wrong
) -> None:
    text = changed(place, wrong.old, wrong.new)
    code, lines = ask(text)
    expected = rf"{wrong.state} +{place.path}:{told_line(place, wrong, text)}: {wrong.told}"
    assert any(re.match(expected, line) for line in lines), "\n".join(lines)
    assert len(lines) == 1 or wrong.old == "routes:", "what follows from a mistake is no mistake of its own"
    assert (code != 0) is (wrong.state == "bad")
    assert sum(line.startswith("bad") for line in lines) == (wrong.state == "bad"), "one mistake is told once"
    for jargon in (
        "pydantic",
        "Input should",
        "valid ",
        "discriminator",
        "pattern '",
        "<unicode",
        "instance of",
        "geheim",
        TOKEN,
    ):
        assert jargon not in "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "config.yaml: is empty; should hold the configuration, beginning with 'node:'"),  # 32
        (b"# only\n# comments\n", "config.yaml: is empty"),  # 33
        (
            b"node:\n  institution: Universit\xe4t\n",
            "config.yaml:2: is not UTF-8 text: it has the byte 0xE4; save",
        ),  # 56
        (b"- a\n", "config.yaml: holds no sections; it should begin with a line such as 'node:'"),
    ],
)
def test_a_file_that_holds_no_configuration_is_told_so(ask: Ask, content: bytes, told: str) -> None:
    code, (line,) = ask(content)
    assert code == 3
    assert told in line


@pytest.mark.parametrize(("old", "new"), [fit[1:] for fit in FIT], ids=[fit[0] for fit in FIT])
def test_what_is_no_mistake_is_taken(place: Place, ask: Ask, old: str, new: str) -> None:
    assert ask(changed(place, old, new)) == (0, [])


@pytest.mark.parametrize("change", [lambda b: b, lambda b: b"\xef\xbb\xbf" + b, lambda b: b.replace(b"\n", b"\r\n")])
def test_a_byte_order_mark_and_windows_line_ends_are_no_mistakes(
    place: Place, ask: Ask, change: Callable[[bytes], bytes]
) -> None:
    assert ask(change(place.text.encode())) == (0, [])  # 31, 55


def test_what_was_found_is_told_as_json_too(place: Place, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    text = place.text.replace("workers: 1", "workers: 0", 1)
    assert ask(text)[0] == 3
    assert check(place.path, online=False, json_output=True) == 3
    told = json.loads(capsys.readouterr().out)
    assert [one["key"] for one in told if one["state"] == "bad"] == ["run.workers"]
    place.path.write_text(place.text, encoding="utf-8")
    assert check(place.path, online=False, json_output=True) == 0
    assert "good" in {one["state"] for one in json.loads(capsys.readouterr().out)}


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(place: Place, ask: Ask) -> None:
    text = place.text
    changes = [
        ("ae_title: SCANNER", "ae_title: 4711"),
        ("path: inbox", "path: inbix"),
        ("Modality: MR", "Modalty: MR"),
        ("method: tricubic", "methd: tricubic"),
        ("destinations: [results]", "destinations: [results, result]"),
        ("[report]", "[reports]"),
        ("workers: 1", "workers: 0"),
    ]
    for old, new in changes:
        text = text.replace(old, new, 1)
    code, lines = ask(text)
    keys = [re.match(r"bad +\S+:(\d+): (\S+):", line) for line in lines]
    assert code == 3
    assert [found[2] for found in keys if found] == [
        "peers.scanner.ae_title",
        "receive.watched_folders.0.path",
        "routes.knee.when.Modalty",
        "routes.knee.settings.methd",
        "routes.knee.destinations.1",
        "destinations.results.profile.kinds.0",
        "run.workers",
    ]
    numbers = [int(found[1]) for found in keys if found]
    assert numbers == sorted(numbers)


def test_a_check_leaves_nothing_behind(place: Place, ask: Ask) -> None:
    place.path.write_text("")
    before = sorted(place.path.parent.rglob("*"))
    ask(place.text)
    assert sorted(place.path.parent.rglob("*")) == before


def test_a_system_that_allows_few_open_files_is_a_warning(
    place: Place, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "ENOUGH_FILES", 2**40)  # more than any system allows
    code, (line,) = ask(place.text)
    assert code == 0
    assert re.search(r"node: the system allows \d+ open files; should be \d+ or more \(ulimit -Hn", line)


def test_every_key_has_one_verdict(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    text = changed(place, "path: results", "path: data/results")  # a warning
    place.path.write_text(text.replace(with_ports(place, "port: PAGE"), with_ports(place, "port: DIMSE")))
    check(place.path, online=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    verdicts = [words for words in lines if words and words[0] in ("good", "doubtful", "bad")]
    keys = [(words[1] if words[0] == "good" else words[2]).removesuffix(":") for words in verdicts]
    assert {words[0] for words in verdicts} == {"good", "doubtful", "bad"}
    assert len(set(keys)) == len(keys)


def test_a_receiver_of_callbacks_is_asked_whether_it_answers_and_told_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    with Told() as told:
        receivers = {"ris": {"url": told.url}, "away": {"url": f"http://127.0.0.1:{free_port()}/secret"}}
        path.write_text(yaml.safe_dump({"run_requests": {"enabled": True, "callbacks": receivers}}))
        check(path, online=True)
        assert told.posts == []
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert f"good run_requests.callbacks.ris {told.url.removesuffix('/hook')} answers: HTTP 204 No Content" in lines
    (away,) = [line for line in lines if line.startswith("bad") and "callbacks.away" in line]
    assert away.endswith(": ConnectError")
    assert "secret:" not in away
