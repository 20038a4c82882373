"""Asking an archive by DIMSE: C-FIND, C-GET and C-MOVE on one association (PS3.4 annex C)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.presentation import PresentationContext

from node.config import DimseDestination
from node.errors import PeerUnavailable
from node.network.associations import Associations, leave
from node.network.deadline import Deadline
from node.network.requestor import ACSE_TIMEOUT_S, CONNECT_TIMEOUT_S, MAXIMUM_PDU_SIZE
from node.network.sop_classes import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
from node.network.tls import destination_context

FIND, GET, MOVE = (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
ANSWERS = 500  # to one question; an archive that gives more does not look at what was asked
CHARACTER_SET = 0x00080005
LONGEST_VALUE = 1024  # bytes; UIDs and patient IDs have 64 at most
SUCCESS, PENDING, OUT_OF_RESOURCES = 0x0000, (0xFF00, 0xFF01), 0xA700

Take = Callable[[evt.Event], int]
Ask = Callable[[], Iterator[tuple[Dataset, Dataset | None]]]


class QueryAssociation:
    """One association with an archive, opened with the first question.

    Parameters
    ----------
    name
        The destination's, for messages.
    ae_title
        The node's.
    deadline
        When asking the archive is over.
    associations
        Those of the same part of the node.
    move
        Whether C-MOVE is proposed.
    storage
        Presentation contexts of what C-GET may bring; empty: C-GET is not proposed.
    take
        Takes an object that C-GET brings, and returns its status.
    largest
        Bytes that such an object may have.
    """

    def __init__(
        self,
        name: str,
        destination: DimseDestination,
        ae_title: str,
        deadline: Deadline,
        associations: Associations,
        *,
        move: bool = False,
        storage: Sequence[PresentationContext] = (),
        take: Take | None = None,
        largest: int = 0,
    ) -> None:
        self._name, self._destination, self._ae_title = name, destination, ae_title
        self._deadline, self._associations = deadline, associations
        self._move, self._storage, self._take, self._largest = move, storage, take, largest
        self._association: Association | None = None
        self._midway = False  # in a question, whose answers have not all been taken

    def offers(self, model: str) -> bool:
        """Whether the archive offers a service, such as `GET`."""
        return model in {str(context.abstract_syntax) for context in self._open().accepted_contexts}

    def find(self, query: Dataset, answers: int = ANSWERS) -> list[Dataset]:
        """The matches of a C-FIND, at most so many, each with what was asked for and nothing else.

        Raises
        ------
        PeerUnavailable
            If the archive cannot be asked, or does not answer in time or with success.
        """
        association = self._open()
        matches: list[Dataset] = []
        self._begin(association)
        for status, match in self._answers(lambda: association.send_c_find(query, FIND)):
            answer = status.get("Status")  # none where the peer aborts or says nothing in time
            if answer in PENDING and match is not None:
                matches.append(_asked_for(query, match))
                if len(matches) > answers:
                    raise PeerUnavailable(f"{self._name}: gives more than {answers} answers to one question")
            elif answer != SUCCESS:
                self._midway = answer is None
                raise PeerUnavailable(f"{self._name}: {answered(answer)} to C-FIND")
        self._midway = False
        return matches

    def get(self, query: Dataset) -> Dataset:
        """Have the archive send objects on this association; its last answer, empty where none came."""
        association = self._open()
        return self._last(association, lambda: association.send_c_get(query, GET))

    def move(self, query: Dataset, to: str) -> Dataset:
        """Have the archive send objects to an AE title that it knows; its last answer, empty where none came."""
        association = self._open()
        return self._last(association, lambda: association.send_c_move(query, to, MOVE))

    def _last(self, association: Association, ask: Ask) -> Dataset:
        self._begin(association)
        last = Dataset()
        for answer, _ in self._answers(ask):
            last = answer
        self._midway = "Status" not in last
        return last

    def _answers(self, ask: Ask) -> Iterator[tuple[Dataset, Dataset | None]]:
        """The answers to a question, in time."""
        try:
            for answer in ask():
                self._deadline.left()
                yield answer
        except RuntimeError as error:  # pynetdicom: the association ended before the question went out
            raise PeerUnavailable(f"{self._name}: the association ended") from error

    def _open(self) -> Association:
        association = self._association
        if association is not None and association.is_established:
            return association
        left = self._deadline.left()
        ae = AE(self._destination.calling_ae_title or self._ae_title)
        ae.acse_timeout = min(left, ACSE_TIMEOUT_S)
        ae.connection_timeout = min(left, CONNECT_TIMEOUT_S)
        ae.dimse_timeout = ae.network_timeout = left
        ae.maximum_pdu_size = MAXIMUM_PDU_SIZE
        ae.add_requested_context(FIND)
        if self._storage:
            ae.add_requested_context(GET)
        if self._move:
            ae.add_requested_context(MOVE)
        for context in self._storage:
            ae.add_requested_context(str(context.abstract_syntax), [str(one) for one in context.transfer_syntax])
        classes = dict.fromkeys(str(context.abstract_syntax) for context in self._storage)
        larger: Mapping[Any, int] = {C_STORE_RQ: self._largest} if self._largest else {}
        handlers = [*self._associations.handlers(larger, within_s=left)]
        if self._take is not None:
            handlers.append((evt.EVT_C_STORE, self._take))
        destination = self._destination
        try:
            association = ae.associate(
                destination.host,
                destination.port,
                ae_title=destination.ae_title,
                max_pdu=MAXIMUM_PDU_SIZE,
                ext_neg=[build_role(uid, scp_role=True) for uid in classes] or None,
                tls_args=(destination_context(destination.tls), destination.host) if destination.tls else None,
                evt_handlers=handlers,
            )
        except (OSError, RuntimeError) as error:  # unknown host, unreadable certificate
            raise PeerUnavailable(f"{self._name}: {error}") from error
        if not association.is_established:
            raise PeerUnavailable(f"{self._name}: {_why(association)}")
        self._association = association
        if FIND not in {context.abstract_syntax for context in association.accepted_contexts}:
            raise PeerUnavailable(f"{self._name}: does not offer C-FIND")
        return association

    def _begin(self, association: Association) -> None:
        """A question begins; no single answer may take longer than there is time left."""
        self._midway = True
        association.dimse_timeout = association.network_timeout = self._deadline.left()

    def close(self) -> None:
        """Release the association; abort it where no time is left, or where the archive was left in the middle."""
        association, self._association = self._association, None
        if association is not None:
            leave(association, abort=self._midway or self._deadline.is_over)


def _asked_for(query: Dataset, match: Dataset) -> Dataset:
    """What an answer says to the question, and nothing else that is kept until the last answer is here."""
    for tag in list(match.keys()):
        value = match.get_item(tag).value
        if (tag not in query and tag != CHARACTER_SET) or (
            isinstance(value, bytes | str) and len(value) > LONGEST_VALUE
        ):
            del match[tag]
    return match


def answered(answer: int | None) -> str:
    """What a status says, for a message."""
    return "no answer" if answer is None else f"answers 0x{answer:04X}"


def _why(association: Association) -> str:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return f"association rejected: {answer.reason_str}"
    return "cannot be reached" if answer is None else "association aborted, or nothing of what was asked for is offered"
