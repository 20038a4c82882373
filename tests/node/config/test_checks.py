"""What is wrong with everything that a configuration names; nothing is changed by looking."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

import pytest

from node import box
from node.config import Configuration, checks
from node.config.checks import CheckResult, files, folders, overlaps, peers, ports, reports, used_ports
from node.demo.orthanc_process import free_port


def configuration(**sections: object) -> Configuration:
    return Configuration.model_validate(sections)


def states(found: object) -> list[tuple[str, str]]:
    return [(result.key, result.state) for result in found if isinstance(result, CheckResult)]  # type: ignore[attr-defined]


def test_a_file_that_is_there_is_good_and_one_that_is_not_is_bad(tmp_path: Path) -> None:
    token, key = tmp_path / "token", tmp_path / "key"
    token.write_text("a secret of this hospital".replace(" ", "-"))
    found = files(configuration(receive={"dicomweb": {"token_file": str(token)}}, records={"key_file": str(key)}))
    results = list(found)
    assert states(results) == [("receive.dicomweb.token_file", "good"), ("records.key_file", "bad")]
    assert results[1].sentence == f"{key}: there is no such file"
    assert "secret" not in results[0].sentence


def test_a_folder_is_good_if_it_can_be_made_and_bad_under_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = {"kind": "folder", "path": str(tmp_path / "file" / "out")}
    results = list(folders(configuration(node={"data": str(tmp_path / "data")}, destinations={"out": out})))
    assert states(results) == [("node.data", "good"), ("destinations.out.path", "bad")]
    assert results[0].sentence.endswith("can be made")
    assert "is a file where a folder should be" in results[1].sentence
    assert not (tmp_path / "data").exists()


def test_a_watched_folder_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "in").mkdir()
    watched = [{"path": str(tmp_path / name)} for name in ("in", "none", "file")]
    data = str(tmp_path / "data")
    results = list(folders(configuration(node={"data": data}, receive={"watched_folders": watched})))
    assert states(results)[1:] == [
        ("receive.watched_folders.0.path", "good"),
        ("receive.watched_folders.1.path", "bad"),
        ("receive.watched_folders.2.path", "bad"),
    ]
    assert results[2].sentence == f"{tmp_path}/none: there is no such folder; make it"
    assert results[3].sentence == f"{tmp_path}/file: is a file where a folder should be"


DATA, IN, TOO, OUT = (
    "node.data",
    "receive.watched_folders.0.path",
    "receive.watched_folders.1.path",
    "destinations.out.path",
)


@pytest.mark.parametrize(
    ("data", "watched", "out", "told"),
    [
        ("data", ["in", "in2"], "out", []),
        ("data", ["data2"], "data3", []),  # the name of one begins as that of the other
        ("data", ["data"], None, [(IN, "is node.data too")]),
        ("data", ["data/instances"], None, [(IN, "lies in node.data ({}/data)")]),
        ("top/data", ["top"], None, [(IN, "holds node.data ({}/top/data)")]),
        ("data", ["link-to-data"], None, [(IN, "is node.data too")]),
        ("data", ["link-to-data/instances/0"], None, [(IN, "lies in node.data")]),
        ("link-to-data", ["data/../data/instances"], None, [(IN, "lies in node.data")]),
        ("link-to-data/deep", ["data"], None, [(IN, "holds node.data")]),
        ("data", ["in", "in/deep"], None, [(TOO, f"lies in {IN}")]),
        ("data", ["in/deep", "in"], None, [(TOO, f"holds {IN}")]),
        ("data", ["in", "./in"], None, [(TOO, f"is {IN} too")]),
        ("data", ["data", "data"], None, [(IN, "is node.data too"), (TOO, "is node.data too")]),
        ("data", ["in"], "in/out", [(OUT, f"lies in {IN}")]),
        ("data", ["out/in"], "out", [(OUT, f"holds {IN}")]),
        ("data", ["in"], "in", [(OUT, f"is {IN} too")]),
        ("top/data", ["top/in"], "top", [(OUT, f"holds {IN}")]),
        ("data", [], "data/results", [(OUT, "lies in node.data")]),
        ("out/data", [], "out", [(OUT, "holds node.data")]),
    ],
)
def test_folders_of_the_node_watched_folders_and_deliveries_are_apart(
    tmp_path: Path, data: str, watched: list[str], out: str | None, told: list[tuple[str, str]]
) -> None:
    (tmp_path / "data" / "instances").mkdir(parents=True)
    (tmp_path / "link-to-data").symlink_to("data")
    destinations = {} if out is None else {"out": {"kind": "folder", "path": str(tmp_path / out)}}
    found = list(
        overlaps(
            configuration(
                node={"data": str(tmp_path / data)},
                receive={"watched_folders": [{"path": f"{tmp_path}/{path}", "after": "delete"} for path in watched]},
                destinations=destinations,
            )
        )
    )
    assert [result.key for result in found] == [key for key, _ in told]
    for result, (_, words) in zip(found, told, strict=True):
        assert words.format(tmp_path) in result.sentence
        assert "; should be a folder " in result.sentence
        assert result.state == ("doubtful" if "node.data" in words and result.key == OUT else "bad")


def test_a_folder_for_messages_is_apart_from_watched_ones_and_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    messages = {"kind": "hl7", "path": str(tmp_path / "in" / "messages")}
    found = configuration(
        node={"data": str(tmp_path / "data")},
        receive={"watched_folders": [{"path": str(tmp_path / "in")}]},
        destinations={"messages": messages, "ris": {"kind": "hl7", "host": "h"}},
    )
    assert [(result.key, result.state) for result in overlaps(found)] == [("destinations.messages.path", "bad")]
    apart = found.destinations["messages"].model_copy(update={"path": tmp_path / "messages"})
    found = found.model_copy(update={"destinations": {"messages": apart}})
    (result,) = [one for one in folders(found) if one.key == "destinations.messages.path"]
    assert (result.state, result.sentence) == ("good", f"{tmp_path / 'messages'} can be made")


def test_two_destinations_may_share_a_folder(tmp_path: Path) -> None:
    out = {"kind": "folder", "path": str(tmp_path / "out")}
    assert list(overlaps(configuration(node={"data": str(tmp_path / "data")}, destinations={"a": out, "b": out}))) == []


def test_a_port_in_use_is_bad_unless_the_node_itself_holds_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dimse = {"host": "127.0.0.1", "port": taken.getsockname()[1]}
        sections = {"node": {"data": str(tmp_path)}, "receive": {"dimse": dimse}, "status": {"port": free_port()}}
        results = list(ports(configuration(**sections)))
        assert states(results) == [("receive.dimse.port", "bad"), ("status.port", "good")]
        assert "is in use by another program" in results[0].sentence
        with (tmp_path / "engine-here-1.lock").open("w") as lock:
            assert states(ports(configuration(**sections)))[0] == ("receive.dimse.port", "bad")
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert states(ports(configuration(**sections)))[0] == ("receive.dimse.port", "good")


def test_a_port_on_an_address_of_another_machine_is_bad() -> None:
    found = ports(configuration(receive={"dimse": {"host": "192.0.2.1", "port": 11112}}, status={"port": free_port()}))
    assert states(found)[0] == ("receive.dimse.port", "bad")


def test_every_port_that_the_node_opens_is_looked_at() -> None:
    tls = {"tls": {"certificate": "c.pem", "key": "k.pem"}, "tls_port": 2762}
    keys = [key for key, _, _ in used_ports(configuration(records={"mllp": {}}, receive={"dimse": tls}))]
    assert keys == ["receive.dimse.port", "receive.dimse.tls_port", "status.port", "records.mllp.port"]


@pytest.mark.parametrize(("required", "expected"), [(True, [("peers", "doubtful")]), (False, [])])
def test_a_node_that_lets_nobody_in_is_doubtful(required: bool, expected: list[tuple[str, str]]) -> None:
    assert states(peers(configuration(receive={"dimse": {"require_known_peer": required}}))) == expected


@pytest.mark.parametrize(
    ("host", "networks", "problem"),
    [
        ("10.2.0.7", ["10.2.0.0/16"], None),
        ("10.2.0.7", [], None),
        ("pacs.example", ["10.2.0.0/16"], None),  # a name: what it stands for may change
        ("10.3.0.7", ["10.2.0.0/16"], "10.3.0.7 is in no network of PACS in peers"),
    ],
)
def test_an_archive_that_reports_must_be_let_in(host: str, networks: list[str], problem: str | None) -> None:
    archive = {"kind": "dimse", "ae_title": "PACS", "host": host, "commitment": True}
    found = list(
        reports(
            configuration(destinations={"pacs": archive}, peers={"pacs": {"ae_title": "PACS", "networks": networks}})
        )
    )
    assert states(found) == ([("destinations.pacs.commitment", "doubtful")] if problem else [])
    assert not problem or problem in found[0].sentence


def test_where_pipelines_run_without_a_box_the_check_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(wanted: str) -> tuple[str, str]:
        (result,) = checks.the_box(configuration(run={"box": wanted}))
        assert result.key == "run.box"
        return result.state, result.sentence

    monkeypatch.setattr(box, "why_not", lambda: "bubblewrap (bwrap) is not installed")
    assert found("required") == ("bad", "required: there is no box, for bubblewrap (bwrap) is not installed")
    state, sentence = found("auto")
    assert state == "doubtful"
    assert sentence.startswith("pipelines run without a box, for bubblewrap (bwrap) is not installed: they have ")
    assert found("off")[0] == "doubtful"
    assert not checks.boxed(configuration())
    monkeypatch.setattr(box, "why_not", lambda: None)
    assert found("auto")[0] == found("required")[0] == "good"
    assert checks.boxed(configuration())
    assert not checks.boxed(configuration(run={"box": "off"}))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another account")
def test_root_and_a_data_folder_of_another_account_go_without_a_box(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(box, "why_not", lambda: None)
    (tmp_path / "instances").mkdir()
    chosen = configuration(node={"data": str(tmp_path)})
    assert checks.boxed(chosen)
    os.chown(tmp_path / "instances", 1000, 1000)
    assert not checks.boxed(chosen)
    (result,) = checks.the_box(chosen)
    assert result.sentence.startswith(
        f"pipelines run without a box, for {tmp_path}/instances belongs to account 1000, and root in a box cannot"
    )


def test_gpus_that_are_not_there_or_would_be_idle_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")

    def found(**run: object) -> list[tuple[str, str, str]]:
        configuration = Configuration.model_validate({"run": run})
        return [(one.key, one.state, one.sentence) for one in checks.graphics(configuration)]

    assert found(gpus=[0, 4]) == [
        ("run.gpus.1", "bad", "4: is not there; this machine shows the node 2 GPUs"),
        ("run.gpus", "good", "1 of run.workers (1) compute on 1 GPU"),
    ]
    assert found() == [("run.workers", "doubtful", "1: 1 of 2 GPUs would be idle; should be 2 or more")]
    assert found(workers=3) == [("run.gpus", "good", "2 of run.workers (3) compute on 2 GPUs")]
    assert found(gpus="none") == []


def test_a_variable_for_pipelines_that_is_not_set_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/models")
    monkeypatch.delenv("TORCH_HOME", raising=False)
    configuration = Configuration.model_validate({"run": {"environment": ["HF_HOME", "TORCH_HOME"]}})
    found = list(checks.environment(configuration))
    assert [(one.key, one.state) for one in found] == [("run.environment.0", "good"), ("run.environment.1", "doubtful")]
    assert "/models" not in found[0].sentence
    assert found[1].sentence.startswith("TORCH_HOME: is not set here; should be")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"kind": "webhook", "url": "https://h/x"}, [("destinations.tell.secret_file", "doubtful")]),
        (
            {"kind": "webhook", "url": "http://h/x", "secret_file": "s", "include": ["accession_number"]},
            [("destinations.tell.include", "doubtful")],
        ),
        (
            {"kind": "email", "host": "h", "sender": "a@b", "recipients": ["c@d"], "include": ["patient_name"]},
            [("destinations.tell.include", "doubtful")],
        ),
        ({"kind": "email", "host": "h", "sender": "a@b", "recipients": ["c@d"]}, []),
        (
            {
                "kind": "email",
                "host": "h",
                "sender": "a@b",
                "recipients": ["c@d"],
                "security": "none",
                "username": "u",
                "password_file": "p",
            },
            [("destinations.tell.security", "bad")],
        ),
    ],
)
def test_notifications_that_tell_of_the_patient_or_are_not_signed_are_named(
    more: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    found = checks.notifications(configuration(destinations={"tell": more}))
    assert [(one.key, one.state) for one in found] == expected


def test_a_destination_that_waits_for_verdicts_of_a_form_that_is_off_is_named() -> None:
    folder = {"kind": "folder", "path": "out", "profile": {"kinds": ["report", "assessment"]}}
    (found,) = checks.verdicts(configuration(destinations={"out": folder}))
    assert (found.key, found.state) == ("destinations.out.profile.kinds", "doubtful")
    assert list(checks.verdicts(configuration(destinations={"out": folder}, verdicts={"form": True}))) == []


def test_merges_that_would_be_refused_for_their_authority_are_named() -> None:
    (found,) = checks.merges(configuration(records={"patient_changes": True, "default_issuer": "HOSP"}))
    assert (found.key, found.state) == ("records.patient_changes", "doubtful")
    assert "unless its patient IDs name no assigning authority or HOSP" in found.sentence
    for settled in ({"patient_changes": True, "issuers": {"HOSP": ""}}, {}):
        assert list(checks.merges(configuration(records=settled))) == []
