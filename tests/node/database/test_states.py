from __future__ import annotations

from enum import StrEnum

import pytest

from node.database.states import (
    ASSOCIATION,
    COMMITMENT,
    OUTBOX,
    AssociationOutcome,
    CommitmentDirection,
    CommitmentState,
    ForbiddenTransition,
    OutboxState,
    before,
    require,
)


@pytest.mark.parametrize(
    ("table", "states"),
    [
        (OUTBOX, OutboxState),
        (COMMITMENT[CommitmentDirection.IN], CommitmentState),
        (COMMITMENT[CommitmentDirection.OUT], CommitmentState),
        (ASSOCIATION, AssociationOutcome),
    ],
)
def test_a_table_has_a_row_for_every_state_and_names_no_other(
    table: dict[StrEnum, frozenset[StrEnum]], states: type[StrEnum]
) -> None:
    assert set(table) == set(states)
    assert set().union(*table.values()) <= set(states)


def test_what_may_come_before_a_state_is_read_from_the_table_the_other_way_round() -> None:
    assert set(before(OUTBOX, OutboxState.WAITING)) == {
        OutboxState.DELIVERED,
        OutboxState.CONFIRMED,
        OutboxState.REFUSED,
        OutboxState.SKIPPED,
        OutboxState.CANCELLED,
    }
    assert before(OUTBOX, OutboxState.CONFIRMED) == [OutboxState.DELIVERED]


def test_an_association_that_has_ended_does_not_end_again() -> None:
    with pytest.raises(ForbiddenTransition, match=r"association a is released and cannot become lost"):
        require(ASSOCIATION, "association a", AssociationOutcome.RELEASED, AssociationOutcome.LOST)
    require(ASSOCIATION, "association a", AssociationOutcome.OPEN, AssociationOutcome.LOST)


def test_to_stay_in_a_state_is_no_change() -> None:
    require(OUTBOX, "line 1", OutboxState.CONFIRMED, OutboxState.CONFIRMED)
