"""Which presentation contexts the node accepts: the same answer for the fast and the plain server.

Every storage class, known, retired, private or unknown, in the first transfer syntax the sender proposed that
pynetdicom knows, so that nothing has to be converted on either side; Verification; storage commitment in both roles.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import ALL_TRANSFER_SYNTAXES
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from node.network.sop_classes import StorageCommitmentPushModel, Verification

KNOWN_SYNTAXES = frozenset(ALL_TRANSFER_SYNTAXES)
MESSAGE_SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)  # of what we read and write ourselves

STANDARD_ROOT = "1.2.840.10008."
STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."  # retired storage classes that pynetdicom does not list lie here as well


def is_storage(sop_class_uid: str) -> bool:
    """Whether instances of that class can be stored with a series; unknown private classes can."""
    service = uid_to_service_class(sop_class_uid)
    if service is StorageServiceClass:
        return True
    unknown = service is ServiceClass
    return unknown and (sop_class_uid.startswith(STORAGE_ROOT) or not sop_class_uid.startswith(STANDARD_ROOT))


def supported(proposed: Iterable[PresentationContext]) -> list[PresentationContext]:
    """What the node supports of what a peer proposes, for `pynetdicom.presentation.negotiate_as_acceptor`."""
    syntaxes: dict[str, list[str]] = {}
    for context in proposed:
        name = str(context.abstract_syntax)
        if name in (Verification, StorageCommitmentPushModel):
            syntaxes[name] = [str(syntax) for syntax in MESSAGE_SYNTAXES]
        elif is_storage(name):
            known = syntaxes.setdefault(name, [])
            known += [str(s) for s in context.transfer_syntax if s in KNOWN_SYNTAXES and s not in known]
    contexts = []
    for name, known in syntaxes.items():
        if known:
            context = build_context(name, known)
            if name == StorageCommitmentPushModel:
                context.scu_role = context.scp_role = True  # a peer may ask, and may report to us
            contexts.append(context)
    return contexts
