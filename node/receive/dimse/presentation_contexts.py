"""Which presentation contexts the node accepts: the same answer for the fast and the plain server.

Every storage class and every transfer syntax, known, retired, private or unknown, so that nothing has to be converted
on either side: the first that the sender proposed of those that pynetdicom knows, else of the others. Verification;
storage commitment in both roles. What is refused is told in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.uid import (
    UID,
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
from node.receive.store.header import STANDARD_SYNTAXES, is_uid

KNOWN_SYNTAXES = frozenset(ALL_TRANSFER_SYNTAXES)
MESSAGE_SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)  # of what we read and write ourselves

STANDARD_ROOT = "1.2.840.10008."
STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."  # retired storage classes that pynetdicom does not list lie here as well

CLASS_REFUSED, SYNTAX_REFUSED = 3, 4  # results of a presentation context (PS3.8 9.3.3.2)
LONGEST_TOLD = 2000  # characters about what is refused of an association: each one is kept
TOLD_SYNTAXES = 3  # of a context; a peer may propose 100


def is_storage(sop_class_uid: str) -> bool:
    """Whether instances of that class can be stored with a series; unknown private classes can."""
    service = uid_to_service_class(sop_class_uid)
    if service is StorageServiceClass:
        return True
    unknown = service is ServiceClass
    return unknown and (sop_class_uid.startswith(STORAGE_ROOT) or not sop_class_uid.startswith(STANDARD_ROOT))


def is_syntax(uid: str) -> bool:
    """Whether that may be a transfer syntax: all may but the UIDs that the standard gave to something else."""
    registered = UID(uid).type == "Transfer Syntax"
    among_them = uid.startswith(STANDARD_SYNTAXES)  # newer than pydicom, or retired before it
    return registered or among_them or not uid.startswith(STANDARD_ROOT)


def is_verification(proposed: Sequence[PresentationContext]) -> bool:
    """Whether a peer asks for nothing but Verification, as the health checks of load balancers do."""
    return bool(proposed) and all(context.abstract_syntax == Verification for context in proposed)


def refusals(proposed: Iterable[PresentationContext], results: Iterable[PresentationContext]) -> str:
    """Which contexts were refused and why, in `LONGEST_TOLD` characters for the record; empty where none was.

    Parameters
    ----------
    proposed
        What the peer proposed.
    results
        What `pynetdicom.presentation.negotiate_as_acceptor` made of that.
    """
    syntaxes = {context.context_id: context.transfer_syntax for context in proposed}
    told: dict[str, None] = {}  # each once
    for context in results:
        if context.result == CLASS_REFUSED:
            told[f"the class {_named(context.abstract_syntax)} is not taken"] = None
        elif context.result == SYNTAX_REFUSED:
            names = _either(syntaxes.get(context.context_id, ()))
            told[f"the syntax {names} is not taken for {_named(context.abstract_syntax)}"] = None
        elif context.result:
            told[f"{_named(context.abstract_syntax)} is not offered in that role"] = None
    return _bounded(list(told))


def _bounded(sentences: Sequence[str]) -> str:
    """As many of the sentences as there is room for, and how many more there are."""
    for count in range(len(sentences), -1, -1):
        more = [f"and {len(sentences) - count} more"] if count < len(sentences) else []
        if len(text := "; ".join([*sentences[:count], *more])) <= LONGEST_TOLD:
            break
    return text


def _either(uids: Sequence[str]) -> str:
    """The first few of these UIDs, and how many more there are."""
    more = f" (and {len(uids) - TOLD_SYNTAXES} more)" if len(uids) > TOLD_SYNTAXES else ""
    return " or ".join(map(_named, uids[:TOLD_SYNTAXES])) + more


def _named(uid: str | None) -> str:
    """A UID of a peer with its name, where it has one; what is none is not repeated."""
    if not is_uid(uid or ""):
        return "that is no UID"
    name = UID(str(uid)).name
    return str(uid) if name == uid else f"{name} ({uid})"


def supported(proposed: Iterable[PresentationContext]) -> list[PresentationContext]:
    """What the node supports of what a peer proposes, for `pynetdicom.presentation.negotiate_as_acceptor`."""
    syntaxes: dict[str, dict[str, None]] = {}  # in order
    for context in proposed:
        name = str(context.abstract_syntax)
        if name in (Verification, StorageCommitmentPushModel):
            syntaxes[name] = dict.fromkeys(str(syntax) for syntax in MESSAGE_SYNTAXES)
        elif is_storage(name):
            taken = (str(syntax) for syntax in context.transfer_syntax if is_syntax(syntax))
            syntaxes.setdefault(name, {}).update(dict.fromkeys(taken))
    contexts = []
    for name, uids in syntaxes.items():
        # what can be decoded goes first; where nothing is taken the class is, so that its syntax is what is refused
        ours = sorted(uids, key=lambda uid: uid not in KNOWN_SYNTAXES) or [str(ImplicitVRLittleEndian)]
        context = build_context(name, ours)
        if name == StorageCommitmentPushModel:
            context.scu_role = context.scp_role = True  # a peer may ask, and may report to us
        contexts.append(context)
    return contexts
