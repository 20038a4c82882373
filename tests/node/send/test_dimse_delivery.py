from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, MRImageStorage, SecondaryCaptureImageStorage
from pynetdicom import AE, evt

from dicom_sr.profile import ObjectFile
from node.config import DimseDestination
from node.errors import PeerUnavailable
from node.network.sop_classes import Verification
from node.send.delivery import Answer, Outcome, by_status
from node.send.dimse_delivery import DimseDelivery
from node.send.error_comment import NOT_KEPT
from tests.node.receive.harness import p_data, pdv
from tests.node.send.outgoing import Outgoing, Peer, outgoing
from tests.orthanc import free_port
from tests.scp import end, listen, port_of
from tests.waiting import until


@pytest.fixture
def item(tmp_path: Path) -> Iterator[ObjectFile]:
    with outgoing(tmp_path / "out") as out:
        yield first(out, out.job("pacs"))


def first(out: Outgoing, job: str) -> ObjectFile:
    uid = out.lines(job)[0].sop_instance_uid
    return ObjectFile(SecondaryCaptureImageStorage, uid, "1.2", "1.2.3", out.path(uid))


def delivery(port: int, **more: object) -> DimseDelivery:
    fields = {"kind": "dimse", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": port, "timeout_s": 5, **more}
    return DimseDelivery("pacs", DimseDestination.model_validate(fields), "CONDYLE")


def test_nagles_algorithm_is_off_on_our_socket(item: ObjectFile) -> None:
    with Peer().listen() as port:
        way = delivery(port)
        assert [answer.outcome for _, answer in way.send([item])] == [Outcome.DELIVERED]
        assert way._association is not None
        transport = way._association.dul.socket
        assert transport is not None
        assert transport.socket is not None
        assert transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        way.close()


def test_we_call_ourselves_as_configured(item: ObjectFile) -> None:
    called: list[tuple[str, str]] = []

    class Named(Peer):
        def _requested(self, event: evt.Event) -> None:
            request = event.assoc.requestor.primitive
            assert request is not None
            called.append((request.calling_ae_title, request.called_ae_title))

    with Named().listen() as port:
        for more in ({}, {"calling_ae_title": "OTHER"}):
            way = delivery(port, **more)
            list(way.send([item]))
            way.close()
    assert called == [("CONDYLE", "ARCHIVE"), ("OTHER", "ARCHIVE")]


@pytest.mark.parametrize(
    ("port", "reason"),
    [("closed", "pacs: cannot be reached"), ("refusing", "pacs: association rejected: Called AE title not recognised")],
)
def test_a_peer_that_cannot_be_reached_or_refuses_us_says_why(item: ObjectFile, port: str, reason: str) -> None:
    if port == "closed":
        with pytest.raises(PeerUnavailable, match=reason):
            list(delivery(free_port()).send([item]))
        return
    ae = AE("SOMEBODY")
    ae.require_called_aet = True
    ae.add_supported_context(SecondaryCaptureImageStorage)
    server = listen(ae)
    try:
        with pytest.raises(PeerUnavailable, match=reason):
            list(delivery(port_of(server)).send([item]))
    finally:
        end(server)


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (Peer(classes=(MRImageStorage,)), "pacs does not take the class Secondary Capture Image Storage"),
        (
            Peer(syntaxes=(JPEG2000,)),
            "pacs does not take the syntax Explicit VR Little Endian or Implicit VR Little Endian "
            "for Secondary Capture Image Storage",
        ),
    ],
)
def test_a_class_and_a_syntax_that_a_peer_does_not_take_are_told_apart(
    item: ObjectFile, peer: Peer, reason: str
) -> None:
    with peer.listen() as port:
        way = delivery(port)
        assert [answer for _, answer in way.send([item])] == [Answer(Outcome.CLASS_REFUSED, reason)]
        way.close()


def test_a_compressed_object_names_the_syntax_that_its_peer_does_not_take(item: ObjectFile) -> None:
    ds = pydicom.dcmread(item.path)
    ds.file_meta.TransferSyntaxUID = JPEG2000
    ds.Rows = ds.Columns = 1
    ds.PixelData = encapsulate([b"not decoded"])
    ds["PixelData"].VR = "OB"
    ds.save_as(item.path)
    with Peer().listen() as port:
        way = delivery(port)
        ((_, answer),) = way.send([item])
        way.close()
    assert answer.outcome is Outcome.REFUSED
    assert answer.text == "pacs does not take the syntax JPEG 2000 Image Compression, which the object needs"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0x0000, Outcome.DELIVERED),
        (0xB000, Outcome.DELIVERED),
        (0xB007, Outcome.DELIVERED),
        (0x0111, Outcome.DELIVERED),
        (0xA700, Outcome.LATER),
        (0xA7FF, Outcome.LATER),
        (0x0110, Outcome.LATER),
        (0x0213, Outcome.LATER),
        (0x0122, Outcome.CLASS_REFUSED),
        (0xA900, Outcome.REFUSED),
        (0xC000, Outcome.REFUSED),
        (0xCFFF, Outcome.REFUSED),
        (0x0124, Outcome.REFUSED),
    ],
)
def test_every_status_has_its_meaning(status: int, outcome: Outcome) -> None:
    assert by_status(status).outcome is outcome
    assert by_status(status).text.startswith(f"0x{status:04X}")


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        ("no room, come back", "0xC000 no room, come back refused"),
        ("MUSTER^ERIKA is not known", f"0xC000 {NOT_KEPT} refused"),
        ("", "0xC000 refused"),
    ],
)
def test_a_peer_s_comment_on_an_object_is_told_unless_it_names_the_patient(
    item: ObjectFile, comment: str, text: str
) -> None:
    class Talkative(Peer):
        def _store(self, event: evt.Event) -> Any:
            status = Dataset()
            status.Status, status.ErrorComment = super()._store(event), comment
            return status

    with Talkative(status=lambda _: 0xC000).listen() as port:
        way = delivery(port)
        assert [answer.text for _, answer in way.send([item])] == [text]
        way.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs, ``good`` and ``other``, each signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    for name in ("good", "other"):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
                *("-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")),
            ],
            check=True,
            capture_output=True,
        )
    return folder


@contextmanager
def tls_peer(certificates: Path) -> Iterator[tuple[int, Peer]]:
    """An archive that wants to see the certificate ``good`` and shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "good.pem", certificates / "good.key")
    context.load_verify_locations(certificates / "good.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    peer = Peer()
    ae = AE("ARCHIVE")
    ae.add_supported_context(SecondaryCaptureImageStorage)
    server = listen(ae, [(evt.EVT_C_STORE, peer._store)], ssl_context=context)
    try:
        yield port_of(server), peer
    finally:
        end(server)


def test_objects_go_out_over_tls_with_our_certificate(item: ObjectFile, certificates: Path) -> None:
    tls = {name: certificates / f"good.{kind}" for name, kind in (("certificate", "pem"), ("key", "key"))}
    with tls_peer(certificates) as (port, peer):
        way = delivery(port, tls={**tls, "trusted": certificates / "good.pem"})
        assert [answer.outcome for _, answer in way.send([item])] == [Outcome.DELIVERED]
        way.close()
    assert peer.uids == [item.sop_instance_uid]


def test_a_peer_with_a_certificate_that_is_not_trusted_gets_nothing(item: ObjectFile, certificates: Path) -> None:
    tls = {"certificate": certificates / "good.pem", "key": certificates / "good.key"}
    with tls_peer(certificates) as (port, peer):
        with pytest.raises(PeerUnavailable):
            list(delivery(port, tls={**tls, "trusted": certificates / "other.pem"}).send([item]))
        assert peer.uids == []


def test_an_answer_without_end_is_not_kept() -> None:
    sent: list[int] = []

    def endless(event: Any) -> int:
        piece = p_data(pdv(bytes(16_000), 1))  # of a command that does not end
        with contextlib.suppress(OSError):
            for _ in range(1500):
                event.assoc.dul.socket.socket.sendall(piece)
                sent.append(len(piece))
        return 0x0000

    ae = AE("ARCHIVE")
    ae.add_supported_context(Verification)
    server = listen(ae, [(evt.EVT_C_ECHO, endless)])
    destination = DimseDestination(kind="dimse", ae_title="ARCHIVE", host="127.0.0.1", port=port_of(server))
    try:
        with pytest.raises(PeerUnavailable):
            DimseDelivery("pacs", destination, "CONDYLE").ping()
        until(lambda: not server.active_associations, "the end of the association")
    finally:
        end(server)
    assert 0 < len(sent) < 1500
