"""What pynetdicom's servers of the tests have in common."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Sequence

from pynetdicom import AE, evt, sop_class
from pynetdicom.sop_class import SOPClass
from pynetdicom.transport import ThreadedAssociationServer

# a class that the node does not offer; pynetdicom makes the name unseen by a type checker
PATIENT_ROOT_FIND: SOPClass = vars(sop_class)["PatientRootQueryRetrieveInformationModelFind"]


def listen(
    ae: AE,
    handlers: Sequence[evt.EventHandlerType] = (),
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
) -> ThreadedAssociationServer:
    """Accept associations on a port of the loopback, any that is free where none is named, until `end`.

    As ``ae.start_server(block=False)``, which looks only twice a second whether it should end.
    """
    server = ae.make_server(
        ("127.0.0.1", port),
        evt_handlers=list(handlers),
        ssl_context=ssl_context,
        server_class=ThreadedAssociationServer,
    )
    assert isinstance(server, ThreadedAssociationServer)
    ae._servers.append(server)  # where its shutdown takes it out
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def port_of(server: ThreadedAssociationServer) -> int:
    """The port on which a server listens."""
    return int(server.server_address[1])


def end(server: ThreadedAssociationServer) -> None:
    """Stop a server."""
    server.shutdown()
