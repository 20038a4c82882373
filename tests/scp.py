"""What pynetdicom's servers of the tests have in common."""

from __future__ import annotations

from pynetdicom import sop_class
from pynetdicom.sop_class import SOPClass
from pynetdicom.transport import ThreadedAssociationServer

# a class that the node does not offer; pynetdicom makes the name unseen by a type checker
PATIENT_ROOT_FIND: SOPClass = vars(sop_class)["PatientRootQueryRetrieveInformationModelFind"]


def port_of(server: ThreadedAssociationServer | None) -> int:
    """The port on which a server that was started with ``block=False`` listens."""
    assert server is not None
    return int(server.server_address[1])


def end(server: ThreadedAssociationServer | None) -> None:
    """Stop a server that was started with ``block=False``."""
    assert server is not None
    server.shutdown()
