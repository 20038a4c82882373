"""The configuration: what a mistake is told, and that config.yaml explains every key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from node.config import Configuration, FolderDestination, Section, read
from node.errors import ConfigurationError
from node.route.decide import compile_routes
from pipelines.registry import names, pipeline_type

EXAMPLE = Path(__file__).resolve().parents[3] / "config.yaml"


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("node:\n  ae_title: MUCH_TOO_LONG_FOR_AN_AE", r"config.yaml:2: node.ae_title: 'MUCH.*at most 16 characters"),
        ("status:\n  port: 99999", r"config.yaml:2: status.port: 99999: should be a whole number from 1 to 65535"),
        ("recieve: {}", r"config.yaml:1: recieve: there is no such key; did you mean 'receive'\?"),
        (
            "receive:\n  dimse:\n    prot: 1",
            r"config.yaml:3: receive.dimse.prot: 1: there is no such key; did you mean 'port'",
        ),
        (
            "destinations:\n  pacs:\n    kind: dimse\n    ae_title: PACS\n    host: h\n    port: 0",
            r"config.yaml:6: destinations.pacs.port: 0: should be a whole number from 1 to",
        ),
        (
            "destinations:\n  pacs: {kind: ftp}",
            r"destinations.pacs.kind: 'ftp': should be dimse \(a peer .*\), dicomweb .*, folder ",
        ),
        ("destinations:\n  pacs: {kind: folder}", r"destinations.pacs.path: is missing"),
        ("destinations:\n  ris: {kind: hl7}", r"config.yaml:2: destinations.ris: .*should have host, for a l"),
        (
            "destinations:\n  ris: {kind: hl7, host: h, path: p}",
            r"destinations.ris.path: .*host is given too; should",
        ),
        (
            "destinations:\n  ris: {kind: hl7, host: h, character_set: EBCDIC}",
            r"destinations.ris.character_set: 'EBCDIC': should be one of UTF-8, ASCII, ",
        ),
        (
            "destinations:\n  a: {kind: folder, path: p, profile: {kinds: [oru]}}",
            r"destinations.a.profile.kinds.0: 'oru': goes to destinations of kind hl7 only",
        ),
        (
            "destinations:\n  a: {kind: folder, path: p, profile: {kinds: [rejection_note]}}",
            r"destinations.a.profile.kinds.0: 'rejection_note': goes by withdraw of the destination",
        ),
        (
            "destinations:\n  a: {kind: folder, path: p, profile: ohiv}",
            r"config.yaml:2: destinations.a.profile: 'ohiv': should be ohif, or a section .*; did you mean 'ohif'",
        ),
        (
            "routes:\n  a: {when: {}, pipeline: p, destinations: [pacs]}",
            r"config.yaml:2: routes.a.destinations.0: 'pacs': no destination is called so; there are: none",
        ),
        (
            "verdicts: {concepts: [99ACME:ASSESSMENT], accept: [99ACME:YES], reject: [99ACME:YES]}",
            r"verdicts.reject: .*99ACME:YES is under accept too; a code is one answer",
        ),
        ("verdicts: {reject: [99ACME:NO]}", r"verdicts.reject: .*needs concepts, the names of the coded items"),
        ("verdicts: {concepts: [ASSESSMENT]}", r"verdicts.concepts.*should be a coding scheme and a code value"),
        (
            "run_requests: {callbacks: {ris: {url: 'https://a@h/x?y'}}}",
            r"run_requests.callbacks.ris.url: .*should be an address without a user name",
        ),
        (
            "peers: {pacs: {ae_title: PACS}}\nreceive: {rejection_notes: {senders: [PACS1]}}",
            r"receive.rejection_notes.senders.0: .*no peer has this AE title; there are: PACS; did you mean",
        ),
        (
            "run_requests: {move_ae_title: FETCH}",
            r"run_requests.move_ae_title: .*should be one of receive.dimse.ae_titles that no sender calls",
        ),
        (  # what scanners send would be taken for what was fetched, and never be routed
            "receive: {dimse: {ae_titles: [CONDYLE]}}\nrun_requests: {move_ae_title: CONDYLE}",
            r"config.yaml:2: run_requests.move_ae_title: .*should be one of receive.dimse.ae_titles that no send",
        ),
        (
            "peers:\n  a: {ae_title: A, networks: [10.0.0.1/8]}",
            r"a.networks.0: .10.0.0.1/8.: should be an address",
        ),
        ("node:\n  data: a\n  data: b", r"config.yaml:3: node.data: the key is there already, on line 2"),
        ("node: [", r"config.yaml:1: node: \[: a bracket is not closed"),
        ("- a", r"config.yaml: holds no sections"),
    ],
)
def test_a_mistake_is_told_with_file_line_key_and_what_would_be_right(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read(written(tmp_path, text))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        read(written(tmp_path, "status:\n  port: 0\nrun:\n  workers: 0"))
    assert len(str(error.value).splitlines()) == 2


def test_a_secret_is_not_repeated_in_a_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        read(written(tmp_path, "receive:\n  dicomweb:\n    token: 4711123"))
    assert "4711123" not in str(error.value)


def test_a_missing_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere.yaml: cannot be read: No such file"):
        read(tmp_path / "nowhere.yaml")


def test_paths_are_relative_to_the_file_wherever_the_node_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "destinations:\n  out: {kind: folder, path: results}\n  abs: {kind: folder, path: /x}")
    monkeypatch.chdir("/")
    found = read(path)
    assert found.node.data == tmp_path / "data"
    folders = {name: to.path for name, to in found.destinations.items() if isinstance(to, FolderDestination)}
    assert folders == {"out": tmp_path / "results", "abs": Path("/x")}


def test_sections_of_which_every_line_is_off_are_the_defaults(tmp_path: Path) -> None:
    text = "node:\npeers:\nroutes:\nreceive:\n  dimse:\n  watched_folders:\ndestinations:\nrecords:\nstatus:\n"
    found = read(written(tmp_path, text))
    assert found.status == Configuration().status
    assert found.receive == Configuration().receive


# ---- config.yaml
def everything_on(but: str = "token") -> str:
    """The example with every key that is off taken in; token and token_file exclude each other."""
    text = re.sub(r"(?m)^( *)#(?=\S)", r"\1", EXAMPLE.read_text(encoding="utf-8"))
    text = text.replace("token: change-me", "token: changed-by-the-site")  # as it stands there it is refused
    return re.sub(rf"(?m)^( *){but}:.*$", r"\1# left out", text)


def sections(value: object) -> Iterator[Section]:
    """Every section in a configuration, itself included."""
    if isinstance(value, Section):
        yield value
        for name in type(value).model_fields:
            yield from sections(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from sections(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from sections(item)


def kinds(section: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for kind in section.__subclasses__():
        yield kind
        yield from kinds(kind)


# a section that others extend stands in the example as those others
SECTIONS = [kind for kind in kinds(Section) if kind.__module__.startswith("node.config.") and not kind.__subclasses__()]


def test_the_example_is_fit_to_run() -> None:
    from node.config import checks
    from node.route import checks as route_checks

    example = read(EXAMPLE)
    assert [v.sentence for look in (route_checks.routes, checks.files) for v in look(example) if v.state == "bad"] == []
    assert example.routes


def choices() -> Iterator[tuple[str, str]]:
    """Every key of the example that takes one of some words, and each of these words."""
    bools = ("true", "false", "yes", "no", "on", "off")
    for kind in SECTIONS:
        for name, field in kind.model_fields.items():
            if get_origin(field.annotation) is Literal and name != "kind":
                yield from ((name, str(word)) for word in get_args(field.annotation))
            elif field.annotation is bool:
                yield from ((name, word) for word in bools)
    for pipeline in names():
        for name, field in pipeline_type(pipeline).settings_type.model_fields.items():
            words = [one for one in (field.annotation, *get_args(field.annotation)) if get_origin(one) is Literal]
            for word in (word for one in words for word in get_args(one)):
                yield name, str(word)
            if field.annotation is bool:
                yield from ((name, word) for word in bools)
    # what is said of a key, such as "off: never"
    key = ""
    for line in everything_on().splitlines():
        key = found[1] if (found := re.match(r"\s*(?:- )?(\w+):", line)) else key
        if re.search(r"#.*\boff: ", line):
            yield key, "off"


@pytest.mark.parametrize(("key", "word"), sorted(set(choices())))
def test_every_documented_word_may_stand_bare(tmp_path: Path, key: str, word: str) -> None:
    text = re.sub(r"(?m)^ +(bundle|recalibration): /.*$", "", everything_on())  # which name files
    where = re.compile(rf"(?m)^(\s*(?:- )?{key}:) [^\s#]+")
    places = list(where.finditer(text))
    assert places
    for place in places:  # a key of several sections may have other words in each
        changed = text[: place.start()] + place.expand(rf"\1 {word}") + text[place.end() :]
        try:
            configuration = read(written(tmp_path, changed))
            break
        except ConfigurationError:
            if place is places[-1]:
                raise
    compile_routes(configuration)
    for route in configuration.routes.values():
        pipeline_type(route.pipeline).settings_type(**route.settings)


def test_off_is_none_where_it_is_documented_so(tmp_path: Path) -> None:
    text = "receive: {keep_days: off}\nrun: {box: off}\nrecords: {fhir: {url: http://h, identifier_system: off}}"
    found = read(written(tmp_path, text))
    assert (found.receive.keep_days, found.run.box) == (None, "off")
    assert found.records.fhir is not None
    assert found.records.fhir.identifier_system == ""


def test_the_tokens_of_the_example_must_be_changed(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^( *)#token: ", r"\1token: ", EXAMPLE.read_text(encoding="utf-8"))
    with pytest.raises(ConfigurationError) as error:
        read(written(tmp_path, text))
    assert str(error.value).count("token: has 9 characters; should have at least 16") == 4


@pytest.mark.parametrize("but", ["token", "token_file"])
def test_the_example_with_everything_on_is_valid(tmp_path: Path, but: str) -> None:
    assert len(compile_routes(read(written(tmp_path, everything_on(but))))) == 5


@pytest.mark.parametrize("kind", SECTIONS)
def test_every_key_stands_in_the_example(tmp_path: Path, kind: Any) -> None:
    whole = (read(written(tmp_path, everything_on(but))) for but in ("token", "token_file"))
    shown = [s.model_fields_set for one in whole for s in sections(one) if type(s) is kind]
    assert set(kind.model_fields) - set().union(*shown) == set()


@pytest.mark.parametrize("name", names())
def test_every_setting_of_an_installed_pipeline_stands_in_the_example(tmp_path: Path, name: Any) -> None:
    routes = read(written(tmp_path, everything_on())).routes.values()
    shown = [set(route.settings) for route in routes if route.pipeline == name]
    assert shown, f"config.yaml has no route to {name}"
    assert set(pipeline_type(name).settings_type.model_fields) == set().union(*shown)


def test_every_key_of_the_example_is_explained_where_it_stands() -> None:
    text = everything_on()
    lines = text.splitlines()
    explained = re.compile(r"#\s+\S.*\w")

    def keys(node: yaml.Node) -> Iterator[yaml.Node]:
        if isinstance(node, yaml.MappingNode) and not node.flow_style:
            for key, value in node.value:
                yield key
                yield from keys(value)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                yield from keys(item)

    unexplained = []
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert root is not None
    for key in keys(root):
        number = key.start_mark.line
        above = lines[number - 1].strip() if number else ""
        if not explained.search(lines[number]) and not above.startswith("# "):
            unexplained.append(f"line {number + 1}: {key.value}")
    # a destination's name says what it is; its kind, on the next line, explains it
    assert [line for line in unexplained if not line.endswith((": results", ": pacs", ": vna", ": archive"))] == []
