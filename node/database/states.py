"""The states of what the database keeps, and which may follow which. Jobs have theirs in `node.database.jobs`."""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import StrEnum
from typing import TypeVar

from node.errors import NodeError

S = TypeVar("S", bound=StrEnum)


class ForbiddenTransition(NodeError):
    """A change of state that its table does not allow, such as the restart of a job that is done."""


class OutboxState(StrEnum):
    """One object on its way to one destination."""

    WAITING = "waiting"
    DELIVERED = "delivered"  # the peer took it
    CONFIRMED = "confirmed"  # the peer says that it keeps it
    REFUSED = "refused"  # the peer will not take it, or it must not be sent
    SKIPPED = "skipped"  # left out: a twin goes in its place, or it may be missing
    CANCELLED = "cancelled"  # an operator ended its job before it was sent


OUTBOX: Mapping[OutboxState, frozenset[OutboxState]] = {
    OutboxState.WAITING: frozenset(
        {OutboxState.DELIVERED, OutboxState.REFUSED, OutboxState.SKIPPED, OutboxState.CANCELLED}
    ),
    OutboxState.DELIVERED: frozenset(
        {
            OutboxState.CONFIRMED,
            OutboxState.WAITING,  # the peer does not keep it, or an operator wants it sent again: the same bytes
            OutboxState.REFUSED,  # not even after the last attempt
        }
    ),
    OutboxState.CONFIRMED: frozenset({OutboxState.WAITING}),  # by an operator: the peer has lost it
    OutboxState.REFUSED: frozenset({OutboxState.WAITING}),  # its job is restarted
    OutboxState.SKIPPED: frozenset({OutboxState.WAITING}),  # its job is restarted
    OutboxState.CANCELLED: frozenset(
        {
            OutboxState.WAITING,  # its job is restarted
            OutboxState.DELIVERED,  # it was under way
        }
    ),
}


class WithdrawalState(StrEnum):
    """What a job sent to one destination, on its way back."""

    WAITING = "waiting"
    TOLD = "told"  # the destination took the message, and is asked what it still has
    DONE = "done"  # told, and asked for the last time
    REFUSED = "refused"  # the destination does not take the message
    LEFT = "left"  # the configuration says that this destination is told nothing, or does not have it any more


WITHDRAWAL: Mapping[WithdrawalState, frozenset[WithdrawalState]] = {
    WithdrawalState.WAITING: frozenset({WithdrawalState.TOLD, WithdrawalState.REFUSED, WithdrawalState.LEFT}),
    WithdrawalState.TOLD: frozenset({WithdrawalState.DONE, WithdrawalState.WAITING, WithdrawalState.LEFT}),
    # what was superseded is withdrawn by an operator, or one tells again what was refused or left
    WithdrawalState.DONE: frozenset({WithdrawalState.WAITING}),
    WithdrawalState.REFUSED: frozenset({WithdrawalState.WAITING}),
    WithdrawalState.LEFT: frozenset({WithdrawalState.WAITING}),
}


class RejectionNoteState(StrEnum):
    """A key object document that came in, which may be a rejection note."""

    WAITING = "waiting"  # nobody has looked into it
    OBEYED = "obeyed"  # what it rejects is rejected, now or when it comes
    LEFT = "left"  # it is a rejection note, and asks nothing of the node
    REFUSED = "refused"  # it is damaged, names another patient's images, or its sender may not reject


_CLOSED = frozenset(RejectionNoteState) - {RejectionNoteState.WAITING}
REJECTION_NOTE: Mapping[RejectionNoteState, frozenset[RejectionNoteState]] = {
    RejectionNoteState.WAITING: _CLOSED,
    **dict.fromkeys(_CLOSED, frozenset({RejectionNoteState.WAITING})),  # it is sent again with other content
}


class CommitmentDirection(StrEnum):
    """Who asks whom for storage commitment."""

    IN = "in"  # a peer asks the node
    OUT = "out"  # the node asks a destination


class CommitmentState(StrEnum):
    """A storage commitment transaction."""

    WAITING = "waiting"
    REPORTED = "reported"  # in: the peer took the report; out: the destination's report has come
    CONFIRMED = "confirmed"  # out: all of it is kept there
    FAILED = "failed"  # in: the report was not taken in time; out: some of it is not kept there


COMMITMENT: Mapping[CommitmentDirection, Mapping[CommitmentState, frozenset[CommitmentState]]] = {
    CommitmentDirection.IN: {
        CommitmentState.WAITING: frozenset({CommitmentState.REPORTED, CommitmentState.FAILED}),
        CommitmentState.REPORTED: frozenset({CommitmentState.WAITING}),  # the peer asks again
        CommitmentState.CONFIRMED: frozenset(),
        CommitmentState.FAILED: frozenset(
            {
                CommitmentState.WAITING,  # the peer asks again
                CommitmentState.REPORTED,  # it takes the report after all, on the association that it asked on
            }
        ),
    },
    CommitmentDirection.OUT: {
        CommitmentState.WAITING: frozenset(
            {CommitmentState.REPORTED, CommitmentState.CONFIRMED, CommitmentState.FAILED}
        ),
        CommitmentState.REPORTED: frozenset({CommitmentState.CONFIRMED, CommitmentState.FAILED}),
        CommitmentState.CONFIRMED: frozenset({CommitmentState.REPORTED}),  # the report comes after all
        CommitmentState.FAILED: frozenset({CommitmentState.REPORTED}),
    },
}


class AssociationOutcome(StrEnum):
    """How an association, or another way in, ended."""

    OPEN = "open"
    RELEASED = "released"
    ABORTED = "aborted"
    LOST = "lost"  # the connection, or the receiving process
    CUT = "cut"  # by the node: silent, too slow, or the node was stopped
    REFUSED = "refused"


ENDED = frozenset(AssociationOutcome) - {AssociationOutcome.OPEN, AssociationOutcome.REFUSED}
ASSOCIATION: Mapping[AssociationOutcome, frozenset[AssociationOutcome]] = {
    AssociationOutcome.OPEN: ENDED,
    **dict.fromkeys((*ENDED, AssociationOutcome.REFUSED), frozenset[AssociationOutcome]()),
}


def before(table: Mapping[S, Set[S]], state: S) -> list[S]:
    """The states that `state` may follow, `state` itself left out."""
    return [earlier for earlier, later in table.items() if state in later]


def require(table: Mapping[S, Set[S]], what: str, now: S, then: S) -> None:
    """Check a change of state; to stay in a state is no change.

    Parameters
    ----------
    table
        Which states may follow which.
    what
        What changes, for the message.
    now
        The state that it is in.
    then
        The state that it is to be in.

    Raises
    ------
    ForbiddenTransition
        If the table does not have it.
    """
    if then != now and then not in table[now]:
        raise ForbiddenTransition(f"{what} is {now} and cannot become {then}")
