"""Each answer to `condyle init` is taken, or refused with what would be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node.commands.init_answers import (
    Answers,
    WrongAnswer,
    ae_title,
    destination,
    named,
    not_offered,
    offered,
    pipelines,
    sender,
)
from node.config import DicomWebDestination, DimseDestination, FolderDestination


def networks(text: str) -> list[str]:
    return [str(network) for network in sender(text).networks]


def test_a_sender_is_an_ae_title_at_an_address_or_a_network() -> None:
    assert sender("MR 1@10.2.0.15").ae_title == "MR 1"
    assert networks("MR1@10.2.0.15") == ["10.2.0.15/32"]
    assert networks("MR1@10.2.0.0/16") == ["10.2.0.0/16"]
    assert networks("MR1@2001:db8::1") == ["2001:db8::1/128"]
    assert networks("MR1@localhost") == networks("MR1@127.0.0.1") == ["127.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(("place", "host"), [("10.2.0.15:104", "10.2.0.15"), ("[2001:db8::1]:104", "2001:db8::1")])
def test_a_sender_with_a_port_can_be_called(place: str, host: str) -> None:
    found = sender(f"MR1@{place}")
    assert (found.host, found.port) == (host, 104)


def test_results_go_to_an_archive_a_url_or_a_folder(tmp_path: Path) -> None:
    archive = destination("PACS@pacs.example.org:11112")
    assert isinstance(archive, DimseDestination)
    assert (archive.ae_title, archive.host, archive.port) == ("PACS", "pacs.example.org", 11112)
    assert isinstance(assumed := destination("PACS@10.0.0.1"), DimseDestination)
    assert assumed.port == 104
    assert isinstance(destination("https://vna.example.org/dicom-web"), DicomWebDestination)
    for folder in ("results", "./a@b:1", str(tmp_path), "~/results"):
        found = destination(folder, tmp_path)
        assert isinstance(found, FolderDestination)
        assert found.path == Path(folder).expanduser()


@pytest.mark.parametrize(
    ("read", "text", "right"),
    [
        (ae_title, "A" * 17, "the AE title has 17 characters; should have at most 16 characters"),
        (ae_title, "A\\B", "the AE title should be ASCII letters"),
        (sender, "MR1", "should be AE@ADDRESS or AE@NETWORK"),
        (sender, "@10.0.0.1", "the AE title is empty"),
        (
            sender,
            "MR1@10.2.0.5/16",
            "should be an address or a network: 10.2.0.0/16 for all of them, or 10.2.0.5 alone",
        ),
        (sender, "MR1@mr.example.org", "the address should be an address, or a network"),
        (sender, "MR1@10.0.0.0/8:104", "a network has no port"),
        (sender, "MR1@10.0.0.1:port", "the port should be a whole number from 1 to 65535"),
        (destination, "pacs.example.org:104", "should be AE@HOST:PORT"),
        (destination, "PACS@pacs.example.org:0", "the port should be a whole number from 1 to 65535"),
        (destination, "PACS@not a host", "the host should be a name or an address"),
        (destination, "ftp://pacs.example.org", "should be a URL that begins with http:// or https://"),
        (destination, __file__, "is a file; should be a folder"),
        (pipelines, "knee_oa_risks", "did you mean 'knee_oa_risk'?"),
        (pipelines, "9", "should be a number from 1 to "),
        (pipelines, " , ", "should be all, or names or numbers"),
    ],
)
def test_a_wrong_answer_says_what_would_be_right(read: Callable[[str], object], text: str, right: str) -> None:
    with pytest.raises(WrongAnswer) as told:
        read(text)
    assert right in str(told.value)


def test_pipelines_go_by_number_or_name_and_each_counts_once() -> None:
    assert pipelines("all") == offered()
    assert pipelines(f"2, {offered()[0]} 2") == (offered()[1], offered()[0])


@pytest.mark.usefixtures("trial_installed")
def test_a_pipeline_whose_route_nobody_knows_is_not_offered() -> None:
    other = not_offered()[0]
    assert other not in offered()
    with pytest.raises(WrongAnswer, match=f"{other}: no route to it is known"):
        pipelines(other)


def test_names_for_the_file_are_made_from_what_is_named_and_differ() -> None:
    things = [
        destination(text) for text in ("PACS@a", "PACS@b", "/srv/My results", "http://10.0.0.1/x", "http://vna/x")
    ]
    assert list(named(things)) == ["pacs", "pacs_2", "my_results", "dicomweb", "vna"]


@pytest.mark.parametrize(("senders", "alone"), [(["S@localhost"], True), (["S@localhost", "MR@10.0.0.1"], False)])
def test_a_node_is_for_this_machine_only_if_all_its_senders_are_here(senders: list[str], alone: bool) -> None:
    answers = Answers("CONDYLE", tuple(map(sender, senders)), (), (), "data", 11112, 8090)
    assert answers.only_this_machine is alone
