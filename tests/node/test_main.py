"""The command line as an operator meets it: real processes, their words and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom import dcmread
from sqlalchemy import select
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from dicom_sr.words import escaped
from node.__main__ import app
from node.config.route_settings import read_with_settings
from node.database.job_states import record
from node.database.jobs import Job, JobState
from node.database.tables import EventRow, JobRow, ObjectRow, OutboxRow
from node.demo import samples
from node.demo.orthanc_process import free_port
from tests.command_line import Condyle
from tests.factories import as_written, knee_study
from tests.fhir_peer import FhirPeer, serving
from tests.mllp_peer import MllpPeer
from tests.orthanc import Archive
from tests.running import RunningNode
from tests.waiting import until

COMMANDS = ["serve", "check", "route", "jobs", "send", "import", "example-results", "train", "evaluate", "risk"]
COMMANDS += ["conformance", "run", "version", "model", "compare"]


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "node", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def configured(folder: Path, **sections: object) -> Path:
    """A configuration with free ports and the sections given."""
    ports = {"receive": {"dimse": {"host": "127.0.0.1", "port": free_port()}}, "status": {"port": free_port()}}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**ports, **sections}), encoding="utf-8")
    return path


KNEE = {"when": {"Modality": "MR", "BodyPartExamined": "KNEE"}, "pipeline": "knee_super_resolution", "destinations": []}


@pytest.fixture(scope="module")
def knee(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("knee")
    samples.write_knee_localizer(folder)
    return folder


# ---- help
def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['condyle', '--help']\n"
        "from node.__main__ import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'monai', 'SimpleITK', 'highdicom', 'dbos', 'sqlalchemy', 'numpy', 'pydicom', 'pydantic'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "HEAVY []" in ended.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(command: Any) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.output
    assert len(re.split(r"\n\s*\n", shown.output)[1].strip()) > 20


def test_the_help_names_the_exit_codes() -> None:
    assert "Exit codes: 0 done; 1 " in CliRunner().invoke(app, ["--help"]).output


def test_version_names_the_installed_pipelines() -> None:
    ended = process("version")
    assert re.search(r"condyle \d+\.\d+", ended.stdout)
    assert re.search(r"knee_super_resolution \d", ended.stdout)
    told = json.loads(process("version", "--json").stdout)
    assert f"condyle {told['condyle']}\n" in ended.stdout
    assert "knee_super_resolution" in told["pipelines"]


def test_every_command_that_the_documents_name_is_there() -> None:
    root = Path(__file__).resolve().parents[2]
    documents = [root / "README.md", root / "CONTRIBUTING.md", root / "config.yaml", *(root / "docs").glob("*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in documents)
    named = set(re.findall(r"(?:`|^ *|bin/)condyle ([a-z][a-z-]*)", text, re.MULTILINE))
    assert {"serve", "check", "route"} <= named
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert named - known - {group.name for group in app.registered_groups} == set()


# ---- check
def test_check_of_a_sound_configuration_says_so(tmp_path: Path, condyle: Condyle) -> None:
    path = configured(tmp_path, routes={"knee": {**KNEE, "shadow": True}})
    ended = condyle("check", path)
    assert ended.returncode == 0, ended.stderr
    assert "fit to run" in ended.stdout


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        (
            {"routes": {"knee": {**KNEE, "pipeline": "nee"}}},
            r"routes.knee.pipeline: no pipeline is called 'nee'; installed:",
        ),
        (
            {"routes": {"knee": {**KNEE, "when": {"Modalty": 1}}}},
            r"routes.knee.when.Modalty: .*did you mean 'Modality'",
        ),
        (
            {"routes": {"knee": {**KNEE, "settings": {"spacin": 2}}}},
            r"routes.knee.settings.spacin: 2: there is no such setting; did you mean 'spacing'",
        ),
        ({"routes": {"knee": {**KNEE, "level": "study"}}}, r"routes.knee.level: 'study': should be 'series'"),
        (
            {"peers": {"a": {"ae_title": "A", "tls": {"certificate": "c.pem", "key": "k.pem"}}}},
            r"config.yaml:\d+: peers.a.tls.certificate: .*c.pem: there is no such file",
        ),
        ({"destinations": {"out": {"kind": "folder", "path": "config.yaml"}}}, r"is a file where a folder should be"),
    ],
)
def test_check_names_what_is_wrong_and_what_would_be_right(
    tmp_path: Path, sections: Any, told: str, condyle: Condyle
) -> None:
    ended = condyle("check", configured(tmp_path, **sections))
    assert ended.returncode == 1
    assert re.search(told, ended.stdout, re.DOTALL), ended.stdout


ARCHIVE = {"kind": "dimse", "ae_title": "PACS", "host": "10.0.0.5", "commitment": True}


@pytest.mark.parametrize(
    ("peers", "told"),
    [
        ({}, "PACS is not in peers: its report of storage commitment"),
        ({"pacs": {"ae_title": "PACS", "networks": ["10.1.0.0/16"]}}, "10.0.0.5 is in no network of PACS in peers"),
    ],
)
def test_check_says_when_an_archives_reports_would_be_refused(
    tmp_path: Path, peers: Any, told: str, condyle: Condyle
) -> None:
    path = configured(tmp_path, peers=peers, destinations={"pacs": ARCHIVE})
    ended = condyle("check", path)
    assert told in ended.stdout
    assert ended.returncode == 0
    known = {"pacs": {"ae_title": "PACS", "networks": ["10.0.0.0/16"]}}
    for let_in in ({"peers": known}, {"receive": {"dimse": {"port": free_port(), "require_known_peer": False}}}):
        sound = condyle("check", configured(tmp_path, destinations={"pacs": ARCHIVE}, **let_in))
        assert "storage commitment" not in sound.stdout


def test_a_path_in_a_pipelines_settings_is_relative_to_the_configuration(tmp_path: Path, condyle: Condyle) -> None:
    route = {"when": {"Modality": "MR"}, "pipeline": "knee_oa_risk", "level": "study", "destinations": []}
    path = configured(tmp_path, routes={"risk": {**route, "settings": {"recalibration": "site/risk.json"}}})
    (settings,) = (route.settings for route in read_with_settings(path).routes.values())
    assert settings == {"recalibration": str(tmp_path / "site" / "risk.json")}
    whole = configured(tmp_path, routes={"risk": {**route, "settings": {"recalibration": "/site/risk.json"}}})
    assert read_with_settings(whole).routes["risk"].settings == {"recalibration": "/site/risk.json"}
    unknown = configured(tmp_path, routes={"risk": {**route, "pipeline": "nobodys", "settings": {"a": "b"}}})
    assert read_with_settings(unknown).routes["risk"].settings == {"a": "b"}


def test_check_changes_nothing(tmp_path: Path, condyle: Condyle) -> None:
    condyle("check", configured(tmp_path, routes={"knee": KNEE}))
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_check_online_asks_those_who_can_be_asked(tmp_path: Path, orthanc: Archive, condyle: Condyle) -> None:
    there = {"kind": "dimse", "ae_title": orthanc.ae_title, "host": "127.0.0.1", "port": orthanc.dicom_port}
    web = {"kind": "dicomweb", "url": orthanc.dicom_web_url}
    path = configured(tmp_path, destinations={"there": there, "web": web, "gone": {**there, "port": free_port()}})
    ended = condyle("check", path, "--online")
    assert ended.returncode == 1
    assert re.search(r"good +destinations.there .*answers C-ECHO", ended.stdout), ended.stdout
    assert re.search(r"good +destinations.web .*answers HTTP 20", ended.stdout)
    assert re.search(r"bad +\S+config.yaml:\d+: destinations.gone: .*cannot be reached", ended.stdout)


def test_check_online_asks_fhir_servers_what_they_are(tmp_path: Path, condyle: Condyle) -> None:
    peer = FhirPeer({"entry": [{"resource": {"resourceType": "Patient", "id": "patient"}}]})
    with serving(peer.app) as url:
        there = {"kind": "fhir", "url": f"{url}/r4"}
        gone = {"kind": "fhir", "url": f"http://127.0.0.1:{free_port()}/r4"}
        fhir = {"fhir": {"url": f"{url}/r4"}}
        path = configured(tmp_path, destinations={"there": there, "gone": gone}, records=fhir)
        ended = condyle("check", path, "--online")
    assert ended.returncode == 1
    assert re.search(r"good +destinations.there .*answers: FHIR 4.0.1", ended.stdout), ended.stdout
    assert re.search(r"good +records.fhir .*answers: FHIR 4.0.1", ended.stdout)
    assert re.search(r"bad +\S+config.yaml:\d+: destinations.gone: .*cannot be reached", ended.stdout)


def test_check_online_calls_hl7_receivers_and_sends_nothing(tmp_path: Path, condyle: Condyle) -> None:
    peer = MllpPeer()
    with peer.listen() as port:
        receivers = {"ris": {"kind": "hl7", "host": "127.0.0.1", "port": port}, "files": {"kind": "hl7", "path": "out"}}
        path = configured(tmp_path, destinations=receivers)
        ended = condyle("check", path, "--online")
    assert ended.returncode == 0
    assert re.search(rf"good +destinations.ris +127.0.0.1:{port} takes connections", ended.stdout), ended.stdout
    assert (peer.connections, peer.received) == (1, [])
    ended = condyle("check", path, "--online")
    assert ended.returncode == 1
    assert re.search(rf"bad +\S+config.yaml:\d+: destinations.ris: 127.0.0.1:{port}: .*refused", ended.stdout)


@pytest.mark.orthanc
def test_check_online_asks_orthanc_feeds(tmp_path: Path, orthanc: Archive, condyle: Condyle) -> None:
    feeds = {"there": {"url": orthanc.url}, "gone": {"url": f"http://127.0.0.1:{free_port()}"}}
    ports = {"dimse": {"host": "127.0.0.1", "port": free_port()}}
    ended = condyle("check", configured(tmp_path, receive={**ports, "orthanc_feeds": feeds}), "--online")
    assert re.search(r"good +receive.orthanc_feeds.there .*answers: Orthanc \d", ended.stdout), ended.stdout
    assert re.search(r"bad .*config.yaml:\d+: receive.orthanc_feeds.gone: .*cannot be reached: Conn", ended.stdout)
    assert ended.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["record"], "FILES: there is none"),
        (["record", "/none"], "'/none' does not exist"),
        (["risk", "--patient", "x", "--at", "yesterday"], "'yesterday': should be a day, such as 2026-01-31"),
        (["jobs", "show", ""], "'ID': is empty; should be the id of a job"),
        (["jobs", "cancel", " "], "'ID': is empty; should be the id of a job"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2_and_told_in_words(
    tmp_path: Path, arguments: list[str], told: str, condyle: Condyle
) -> None:
    ended = condyle(*arguments, "-c", configured(tmp_path))
    assert ended.returncode == 2
    assert told in ended.stderr


# ---- what keeps a node from starting
@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"records": {"token_file": "empty"}}, "records.token_file: .*empty: is empty"),
        (
            {"receive": {"dicomweb": {"token_file": "short"}}},
            "receive.dicomweb.token_file: .*short: the token has 5 char",
        ),
        ({"status": {"token": ""}}, "status.token: is empty"),
        (
            {"status": {"port": 4711}, "receive": {"dimse": {"port": 4711}}},
            "status.port: 4711: is the port of receive.d",
        ),
    ],
)
def test_a_node_does_not_start_on_an_empty_token_or_one_port_for_two(
    tmp_path: Path, section: dict[str, Any], told: str, condyle: Condyle
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "short").write_text("short")
    ended = condyle("serve", configured(tmp_path, **section))
    assert ended.returncode == 3
    assert re.search(rf"config.yaml:\d+: {told}", ended.stderr), ended.stderr


@pytest.mark.usefixtures("logging_restored")
def test_a_configuration_that_cannot_be_used_is_exit_code_3(tmp_path: Path, condyle: Condyle) -> None:
    ended = condyle("serve", configured(tmp_path, node={"ae_title": ""}))
    assert ended.returncode == 3
    assert re.search(r"config.yaml:\d+: node.ae_title: ''", ended.stderr)
    assert "Traceback" not in ended.stderr


@pytest.mark.usefixtures("logging_restored")
def test_a_route_that_cannot_be_used_keeps_the_node_from_starting(tmp_path: Path, condyle: Condyle) -> None:
    ended = condyle("serve", configured(tmp_path, routes={"knee": {**KNEE, "when": {"Modalty": "MR"}}}))
    assert ended.returncode == 3
    assert re.search(r"config.yaml:\d+: routes.knee.when.Modalty: 'Modalty' is not a DICOM keyword", ended.stderr)


def test_a_port_in_use_is_exit_code_4_and_named(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = process("serve", configured(tmp_path, status={"port": port}))
    assert ended.returncode == 4
    assert f"status.port: 127.0.0.1:{port}: cannot be opened" in ended.stderr


def test_a_receiver_that_cannot_start_ends_the_node_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data" / "receipts").mkdir(parents=True)
    (tmp_path / "data" / "receipts" / "slots").write_text("a file where the receivers count their associations")
    ended = process("serve", configured(tmp_path), "--log", "json")
    assert ended.returncode == 4
    assert re.fullmatch(rf"receiver: {tmp_path}/data/receipts/slots.*: \w[\w ]+", ended.stderr.splitlines()[-1])
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("process started") == 1


# ---- route
def test_route_says_clause_by_clause_why_and_why_not(tmp_path: Path, knee: Path, condyle: Condyle) -> None:
    path = configured(tmp_path, routes={"knee": KNEE, "wrist": {**KNEE, "when": {"BodyPartExamined": "WRIST"}}})
    (tmp_path / "notes.txt").write_text("no DICOM")
    ended = condyle("route", knee, tmp_path / "notes.txt", "-c", path)
    assert ended.returncode == 1, "a file that was named is left out"
    assert "route knee: matches" in ended.stdout
    assert "✓ BodyPartExamined: found KNEE, expected KNEE" in ended.stdout
    assert "route wrist: does not match" in ended.stdout
    assert "✗ BodyPartExamined: found KNEE, expected WRIST" in ended.stdout
    assert "notes.txt is no DICOM instance" in ended.stderr


def test_route_knows_the_sender_that_it_is_told(tmp_path: Path, knee: Path, condyle: Condyle) -> None:
    path = configured(tmp_path, routes={"knee": {**KNEE, "when": {"association.calling_ae_title": "MR1"}}})
    assert "route knee: matches" in condyle("route", knee, "-c", path, "--from", "MR1").stdout
    assert "route knee: does not match" in condyle("route", knee, "-c", path).stdout


# ---- import, jobs
def test_jobs_before_the_first_start_are_told_in_words(tmp_path: Path, condyle: Condyle) -> None:
    ended = condyle("jobs", "-c", configured(tmp_path))
    assert ended.returncode == 4
    assert "no node has run here yet" in ended.stderr


def test_what_was_imported_is_run_and_its_job_explained(tmp_path: Path, knee: Path, condyle: Condyle) -> None:
    with RunningNode(tmp_path, routes={"knee": KNEE}) as node:
        imported = condyle("import", knee, "-c", node.config)
        assert imported.returncode == 0, imported.stderr
        assert "3 stored, 0 refused" in imported.stdout
        (job,) = node.ended_jobs(1)
        listed = condyle("jobs", "-c", node.config)
        assert job.id[:12] in listed.stdout
        assert "unsuitable" in listed.stdout
        shown = condyle("jobs", "-c", node.config, "show", job.id[:6])
        assert f"MR series {job.series_instance_uids[0]}\n" in shown.stdout
        assert "✓ BodyPartExamined: found KNEE, expected KNEE" in shown.stdout
        assert "prepare" in shown.stdout
        restarted = condyle("jobs", "restart", job.id, "-c", node.config)
        assert "is queued again" in restarted.stdout, restarted.stderr
        deadline = time.monotonic() + 60
        while sum(event == "unsuitable" for event in events(node)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        until(lambda: node.jobs()[0].state == "unsuitable", "the job has ended again")
        cancelled = condyle("jobs", "-c", node.config, "cancel", job.id)
        assert cancelled.returncode == 1
        assert "cannot cancel" in cancelled.stderr
    assert condyle("jobs", "-c", node.config, "list", "--state", "finished").returncode == 2
    assert condyle("jobs", "show", "zz", "-c", node.config).returncode == 1


def test_a_job_that_waits_for_its_destination_is_cancelled_by_an_operator(tmp_path: Path, condyle: Condyle) -> None:
    from node.run.job_engine import set_up

    path = configured(tmp_path, node={"data": "data"})
    database = set_up(read_with_settings(path))
    now = datetime.now(UTC)
    made = {"sop_class_uid": "1", "series_instance_uid": "1", "study_instance_uid": "1", "kind": "report"}
    with Session(database) as session, session.begin():
        record(session, Job("1" * 32, "knee", "trial", "1.2", (), (), {}, ("gone",), now))
        session.get_one(JobRow, "1" * 32).state = JobState.SENDING
        session.add(ObjectRow(sop_instance_uid="1.2.3", job_id="1" * 32, path="", sha256="", size=1, **made))
        session.flush()
        line = {"sop_instance_uid": "1.2.3", "job_id": "1" * 32, "destination": "gone", "not_before": now}
        session.add(OutboxRow(state="waiting", **line))
    cancelled = condyle("jobs", "-c", path, "cancel", "1111")
    assert "is cancelled" in cancelled.stdout, cancelled.stderr
    with Session(database) as session:
        assert session.scalars(select(OutboxRow.state)).all() == ["cancelled"]
        job = session.get_one(JobRow, "1" * 32)
        assert (job.state, job.reason) == ("failed", "cancelled by an operator; 0 of 1 sent to gone")
    database.dispose()
    assert condyle("jobs", "-c", path, "cancel", "1111").returncode == 1


def events(node: RunningNode) -> list[str]:
    return node.all(select(EventRow.what))


# ---- send
def test_send_delivers_to_a_destination_and_counts(
    tmp_path: Path, orthanc: Archive, knee: Path, condyle: Condyle
) -> None:
    archive = {"kind": "dimse", "ae_title": orthanc.ae_title, "host": "127.0.0.1", "port": orthanc.dicom_port}
    path = configured(tmp_path, destinations={"archive": archive})
    ended = condyle("send", knee, "--to", "archive", "-c", path)
    assert ended.returncode == 0, ended.stderr
    assert "3 of 3 delivered to archive" in ended.stdout
    assert orthanc.sop_instance_uids() == {str(dcmread(file).SOPInstanceUID) for file in knee.iterdir()}


def test_send_to_nobody_and_to_a_dead_peer_have_exit_codes_of_their_own(
    tmp_path: Path, knee: Path, condyle: Condyle
) -> None:
    gone = {"kind": "dimse", "ae_title": "GONE", "host": "127.0.0.1", "port": free_port()}
    path = configured(tmp_path, destinations={"gone": gone})
    assert condyle("send", knee, "--to", "nobody", "-c", path).returncode == 2
    ended = condyle("send", knee, "--to", "gone", "-c", path)
    assert ended.returncode == 4
    assert "gone: cannot be reached" in ended.stderr


# ---- models
def test_train_of_an_unknown_pipeline_names_those_there_are(condyle: Condyle) -> None:
    ended = condyle("train", "nee")
    assert ended.returncode == 2
    assert "installed: " in ended.stderr


def test_evaluating_a_model_that_is_not_there_is_answered_in_a_sentence(tmp_path: Path, condyle: Condyle) -> None:
    bundle = tmp_path / "none"
    ended = condyle("evaluate", "joint_classification", "--bundle", bundle, "--card", tmp_path / "card.md")
    assert ended.returncode == 2
    assert f"{bundle}: there is no such folder" in ended.stderr
    bundle.mkdir()
    ended = condyle("evaluate", "joint_classification", "--bundle", bundle, "--card", tmp_path / "card.md")
    assert ended.returncode == 1
    assert "there is no trained model for images here" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_train_hands_over_everything_after_the_pipelines_name(condyle: Condyle) -> None:
    ended = condyle("train", "knee_super_resolution", "--help")
    assert ended.returncode == 0
    assert "--seed" in ended.stdout


def test_examples_are_not_written_where_a_file_is(tmp_path: Path, condyle: Condyle) -> None:
    (tmp_path / "note.txt").write_text("a note")
    for folder in (tmp_path / "note.txt", tmp_path / "note.txt" / "examples"):
        refused = condyle("example-results", folder)
        assert refused.returncode == 2
        assert "note.txt" in refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("arguments", [("import", ""), ("route", ""), ("send", "", "--to", "out"), ("record", "")])
def test_an_empty_path_is_not_the_current_folder(
    arguments: tuple[str, ...], tmp_path: Path, condyle: Condyle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = condyle(*arguments)
    assert ended.returncode == 2
    assert "is empty; should be the path of a file or folder" in ended.stderr


def test_a_limit_beyond_any_number_of_jobs_is_refused(condyle: Condyle) -> None:
    ended = condyle("jobs", "list", "--limit", "9" * 30)
    assert (ended.returncode, "--limit" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments", [("reroute", ""), ("reroute", "abc"), ("jobs", "start", "p", ""), ("erase", "abc", "--yes")]
)
def test_what_is_no_uid_is_not_looked_up(arguments: tuple[str, ...], condyle: Condyle) -> None:
    ended = condyle(*arguments)
    assert ended.returncode == 2
    assert "should be a StudyInstanceUID" in ended.stderr.replace("\n", " ")


HOSTILE = "x\x1b[2J\x9b\u202e\nforged"


@pytest.fixture(scope="module")
def hostile_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a record, a packed file and a file that is none of these; values and names with control characters."""
    folder = tmp_path_factory.mktemp("hostile")
    instance, *others = knee_study(folder).series[0].instances
    for other in others:
        other.path.unlink()
    ds = dcmread(instance.path)
    ds.SpecificCharacterSet = "ISO_IR 192"
    as_written(ds, "SeriesDescription", HOSTILE)
    as_written(ds, "BodyPartExamined", HOSTILE)
    ds.save_as(folder / f"1{HOSTILE}.dcm")
    (folder / f"bundle{HOSTILE}").write_text("{}")
    (folder / os.fsdecode(b"\xff\x1b[2J")).write_text("no DICOM")
    with zipfile.ZipFile(folder / "a.zip", "w") as packed:
        packed.writestr(f"m{HOSTILE}", "no DICOM")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", HOSTILE.replace("\n", "")],  # an operator's own mistakes have a line each
        ["route", "FOLDER", "--config", "CONFIG"],
        ["route", "FOLDER", "--json", "--config", "CONFIG"],
        ["import", "FOLDER", "--config", "CONFIG"],
        ["import", "FOLDER", HOSTILE],
        ["send", "FOLDER", "--to", HOSTILE, "--config", "CONFIG"],
        ["record", "FOLDER/bundle" + HOSTILE, "--config", "CONFIG"],
        ["jobs", "--state", HOSTILE, "--config", "CONFIG"],
        ["jobs", "show", HOSTILE, "--config", "CONFIG"],
        ["jobs", "send", HOSTILE, "--to", HOSTILE, "--config", "CONFIG"],
        ["erase", HOSTILE, "--config", "CONFIG"],
        ["risk", "--patient", HOSTILE, "--config", "CONFIG"],
        ["train", HOSTILE],
        [HOSTILE],
    ],
    ids=lambda arguments: " ".join(arguments[:2]).partition("x")[0],
)
def test_no_command_prints_a_control_character_of_another(
    condyle: Condyle, tmp_path: Path, hostile_files: Path, arguments: list[str]
) -> None:
    config = configured(tmp_path, node={"data": str(tmp_path / "data")}, routes={"knee": KNEE})
    given = [text.replace("FOLDER", str(hostile_files)).replace("CONFIG", str(config)) for text in arguments]
    ended = condyle(*given)
    written = ended.stdout + ended.stderr
    assert written
    assert escaped(written, keep="\n") == written
    assert not [line for line in written.splitlines() if line.startswith("forged")]
