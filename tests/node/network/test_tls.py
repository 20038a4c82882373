"""TLS on the DICOM port: versions, client certificates, and clients that never finish a handshake."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from node.config import Tls
from node.database.tables import AssociationRow, AuditRow
from node.demo.orthanc_process import free_port
from node.errors import ConfigurationError
from node.network.tls import client_context, server_context
from tests.needs import missing
from tests.node.receive.harness import Running, association, configuration, mr, stored_files
from tests.waiting import until

SERVERS = ("fast", "plain")


def openssl(*arguments: str, folder: Path) -> None:
    program = shutil.which("openssl") or missing("openssl is not installed")
    subprocess.run([program, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a certificate of the node and one of a scanner signed by it, and one that nobody signed."""
    folder = tmp_path_factory.mktemp("certificates")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", folder=folder)
    openssl("req", "-x509", *new_key, "-keyout", "other.key", "-out", "other.pem", "-subj", "/CN=x", folder=folder)
    for name in ("node", "scanner"):
        openssl(
            *("req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", *new_key),
            *("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"),
            folder=folder,
        )
    return folder


def section(folder: Path, name: str, trusted: bool) -> dict[str, Any]:
    files: dict[str, Any] = {"certificate": str(folder / f"{name}.pem"), "key": str(folder / f"{name}.key")}
    return files | ({"trusted": str(folder / "ca.pem")} if trusted else {})


def tls_node(tmp_path: Path, certificates: Path, server: str, trusted: bool) -> Running:
    dimse = {"server": server, "tls": section(certificates, "node", trusted), "association_timeout_s": 2.0}
    return Running(configuration(tmp_path / "data", dimse=dimse))


def client(certificates: Path, name: str = "scanner") -> ssl.SSLContext:
    return client_context(Tls(**section(certificates, name, trusted=True)))


def plain_client(certificates: Path) -> ssl.SSLContext:
    """Without a certificate of its own."""
    return ssl.create_default_context(cafile=str(certificates / "ca.pem"))


def stores(running: Running, context: ssl.SSLContext | None) -> bool:
    tls = (context, "127.0.0.1") if context else None
    with association(running.port, tls_args=tls) as assoc:
        return bool(assoc.is_established and assoc.send_c_store(mr()).get("Status") == 0)


@pytest.mark.parametrize("server", SERVERS)
def test_a_client_with_a_trusted_certificate_stores(tmp_path: Path, certificates: Path, server: str) -> None:
    with tls_node(tmp_path, certificates, server, trusted=True) as running:
        assert stores(running, client(certificates))
        assert len(stored_files(running.data)) == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_today_work(tmp_path: Path, certificates: Path, version: ssl.TLSVersion) -> None:
    context = plain_client(certificates)
    context.minimum_version = context.maximum_version = version
    with tls_node(tmp_path, certificates, "fast", trusted=False) as running:
        assert stores(running, context)


@pytest.mark.parametrize("server", SERVERS)
def test_silent_and_half_open_clients_hold_up_nobody(tmp_path: Path, certificates: Path, server: str) -> None:
    with tls_node(tmp_path, certificates, server, trusted=False) as running, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", running.port), 20)) for _ in range(20)]
        for sock in silent[:10]:
            sock.sendall(b"\x16\x03\x01\x02\x00")  # the beginning of a handshake
        began = time.monotonic()
        assert stores(running, plain_client(certificates))
        assert time.monotonic() - began < 5, "it waited for the silent ones"
        if server == "fast":
            for sock in silent:
                assert _ends(sock)


def _ends(sock: socket.socket) -> bool:
    try:
        while sock.recv(1000):
            pass
    except ConnectionError:
        pass
    return True


def handshake(running: Running, context: ssl.SSLContext) -> bool:
    """Whether the node goes on after the handshake (TLS 1.3 tells a client of a refusal only afterwards)."""
    with socket.create_connection(("127.0.0.1", running.port), 20) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped:
                wrapped.settimeout(0.5)
                return wrapped.recv(1) != b""
        except TimeoutError:
            return True
        except OSError:
            return False


def test_strangers_get_no_association(tmp_path: Path, certificates: Path) -> None:
    with tls_node(tmp_path, certificates, "fast", trusted=True) as running:
        assert handshake(running, client(certificates))
        assert not handshake(running, plain_client(certificates))
        stranger = plain_client(certificates)
        stranger.load_cert_chain(certificates / "other.pem", certificates / "other.key")
        assert not handshake(running, stranger)
        until(lambda: len(running.rows(AssociationRow, outcome="refused")) >= 2, "both refusals")
        reasons = {row.reason for row in running.rows(AssociationRow, outcome="refused")}
        assert all(reason.startswith("TLS: ") for reason in reasons)


def test_a_health_check_of_the_tls_port_leaves_no_rows(tmp_path: Path, certificates: Path) -> None:
    with tls_node(tmp_path, certificates, "fast", trusted=True) as running:
        for _ in range(3):
            socket.create_connection(("127.0.0.1", running.port)).close()
        assert stores(running, client(certificates))
        (row,) = until(lambda: running.rows(AssociationRow), "the record of the one that stored")
        assert row.outcome != "refused"
        assert running.rows(AuditRow) == []


def test_old_versions_are_refused(tmp_path: Path, certificates: Path) -> None:
    context = plain_client(certificates)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with tls_node(tmp_path, certificates, "fast", trusted=False) as running:
        assert not handshake(running, context)


def test_a_client_without_tls_is_cut_and_the_other_way_round(tmp_path: Path, certificates: Path) -> None:
    from tests.node.receive.harness import RawPeer, associate_rq

    with tls_node(tmp_path, certificates, "fast", trusted=False) as running, RawPeer(running.port) as peer:
        peer.send(associate_rq())
        assert peer.is_closed()
    with Running(configuration(tmp_path / "plain")) as running:
        assert not handshake(running, plain_client(certificates))


def test_certificates_that_cannot_be_used_stop_the_start(certificates: Path) -> None:
    wrong = Tls(certificate=certificates / "node.pem", key=certificates / "scanner.key")
    with pytest.raises(ConfigurationError, match=r"node\.pem"):
        server_context(wrong)


def test_the_kept_ciphers_are_forward_secret_and_authenticated(certificates: Path) -> None:
    names = [cipher["name"] for cipher in server_context(Tls(**section(certificates, "node", True))).get_ciphers()]
    assert names
    assert all("GCM" in name or "CHACHA20" in name for name in names)
    assert all(name.startswith(("TLS_", "ECDHE-", "DHE-")) for name in names)


def test_stow_goes_over_tls_on_the_pages_port(tmp_path: Path, certificates: Path) -> None:
    import httpx
    from starlette.applications import Starlette

    from node.config import DicomWebSettings
    from node.receive.store.store import Store
    from node.receive.stow import routes
    from node.status.web_server import WebServer
    from tests.node.receive.harness import part10

    ds = mr()
    body = b"--B\r\nContent-Type: application/dicom\r\n\r\n" + part10(ds) + b"\r\n--B--\r\n"
    headers = {"content-type": 'multipart/related; type="application/dicom"; boundary=B'}
    with contextlib.closing(Store(tmp_path, "process")) as store, socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        app = Starlette(routes=routes(store, DicomWebSettings(enabled=True)))
        server = WebServer(app, listening, Tls(**section(certificates, "node", trusted=True)))
        server.start()
        try:
            url = f"https://127.0.0.1:{port}/dicom-web/studies"
            with httpx.Client(verify=client(certificates)) as sender:
                answer = sender.post(url, content=body, headers=headers)
            with httpx.Client(verify=plain_client(certificates)) as stranger, pytest.raises(httpx.TransportError):
                stranger.post(url, content=body, headers=headers)
        finally:
            server.stop()
    assert answer.status_code == 200
    assert list(stored_files(tmp_path)) == [ds.SOPInstanceUID]


def test_tls_can_have_a_port_of_its_own_beside_the_plain_one(tmp_path: Path, certificates: Path) -> None:
    port = free_port()
    dimse = {"tls": section(certificates, "node", trusted=False), "tls_port": port}
    with Running(configuration(tmp_path / "data", dimse=dimse)) as running:
        assert stores(running, None)
        with association(port, tls_args=(plain_client(certificates), "127.0.0.1")) as assoc:
            assert assoc.send_c_store(mr()).Status == 0
        with association(port) as assoc:
            assert not assoc.is_established
