"""Each role may what those before it may."""

from __future__ import annotations

import pytest

from node.access.identity import THIS_MACHINE, Identity, Role


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.VIEWER, [Role.VIEWER]),
        (Role.OPERATOR, [Role.VIEWER, Role.OPERATOR]),
        (Role.ADMINISTRATOR, [Role.VIEWER, Role.OPERATOR, Role.ADMINISTRATOR]),
    ],
)
def test_a_role_includes_those_before_it(role: Role, may: list[Role]) -> None:
    assert [one for one in Role if Identity("somebody", role).may(one)] == may


def test_nobody_sees_patients_by_a_role_alone() -> None:
    assert not Identity("somebody", Role.ADMINISTRATOR).sees_patients
    assert THIS_MACHINE.sees_patients
