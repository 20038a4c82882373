"""`records.fhir.post_back`, as existing configurations have it, is a destination of kind fhir for all risks."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from node.config import Configuration, FhirDestination, read
from node.config.post_back import DESTINATION
from node.config.route_settings import read_with_settings
from node.errors import ConfigurationError

FHIR = {"url": "https://fhir.example.org/r4", "token_file": "token", "identifier_system": "urn:h", "post_back": True}
ROUTES = {
    "risk": {"when": {}, "level": "study", "pipeline": "knee_oa_risk", "destinations": ["out"]},
    "images": {"when": {}, "pipeline": "knee_super_resolution", "destinations": ["out"]},
}
OUT = {"out": {"kind": "folder", "path": "out"}}


def written(folder: Path, **more: object) -> Configuration:
    sections = {"routes": ROUTES, "destinations": OUT, "records": {"fhir": FHIR}, **more}
    (folder / "config.yaml").write_text(yaml.safe_dump(sections))
    return read_with_settings(folder / "config.yaml")


def test_the_server_is_a_destination_of_the_routes_that_state_risks_and_of_no_other(tmp_path: Path) -> None:
    configuration = written(tmp_path)
    destination = configuration.destinations[DESTINATION]
    assert isinstance(destination, FhirDestination)
    assert (destination.url, destination.identifier_system) == ("https://fhir.example.org/r4", "urn:h")
    assert destination.token_file == tmp_path / "token"
    assert configuration.routes["risk"].destinations == ("out", DESTINATION)
    assert configuration.routes["images"].destinations == ("out",)


def test_a_route_that_names_the_server_itself_is_not_given_it_twice(tmp_path: Path) -> None:
    own = {"emr": {"kind": "fhir", "url": "https://fhir.example.org/r4/"}}
    routes = {"risk": {**ROUTES["risk"], "destinations": ["out", "emr"]}}
    assert written(tmp_path, routes=routes, destinations={**OUT, **own}).routes["risk"].destinations == ("out", "emr")


def test_without_post_back_nothing_is_added(tmp_path: Path) -> None:
    configuration = written(tmp_path, records={"fhir": {**FHIR, "post_back": False}})
    assert set(configuration.destinations) == {"out"}


def test_no_destination_of_a_configuration_can_have_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        written(tmp_path, destinations={**OUT, DESTINATION: {"kind": "folder", "path": "x"}})


def test_dicom_destinations_may_not_ask_for_risk_assessments(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "destinations: {out: {kind: folder, path: out, profile: {kinds: [report, risk_assessment]}}}"
    )
    with pytest.raises(ConfigurationError, match="goes to destinations of kind fhir only; should be one of derived_"):
        read(tmp_path / "config.yaml")
