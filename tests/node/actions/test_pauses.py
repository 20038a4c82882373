from __future__ import annotations

import pytest

from node.actions.pauses import AlreadySo, PauseActions
from node.database.pauses import PauseKind
from node.database.tables import PAUSED, RESUMED
from node.route.by_hand import UnknownName
from tests.node.actions.acting import Acting


@pytest.fixture
def pauses(act: Acting) -> PauseActions:
    return PauseActions(act.configuration, act.database)


def test_a_destination_is_paused_and_resumed_by_somebody(act: Acting, pauses: PauseActions) -> None:
    job = act.job("pacs")
    plan = pauses.preview_pause(PauseKind.DESTINATION, "pacs")
    assert "1 object waits for it now." in plan.sentences
    pauses.pause(PauseKind.DESTINATION, "pacs", "the archive moves", "kim")
    assert [(row.kind, row.name, row.who) for row in pauses.every()] == [("destination", "pacs", "kim")]
    again = pauses.preview_pause(PauseKind.DESTINATION, "pacs")
    assert "is paused by kim since" in again.refusal
    resumed = pauses.preview_resume(PauseKind.DESTINATION, "pacs")
    assert resumed.sentences[1] == "1 object that waited can be sent at once."
    pauses.resume(PauseKind.DESTINATION, "pacs", "lee")
    assert pauses.every() == []
    facts = {"kind": "destination", "name": "pacs"}
    assert act.audited() == [
        (PAUSED, "kim", {**facts, "why": "the archive moves"}),
        (RESUMED, "lee", facts),
    ]
    assert act.out.states(job) == ["waiting"]


def test_a_route_says_how_many_of_its_jobs_wait(pauses: PauseActions) -> None:
    plan = pauses.preview_pause(PauseKind.ROUTE, "knee")
    assert "0 jobs of it are queued now; what runs goes on to its end." in plan.sentences


def test_the_engine_is_told_of_routes_at_once(act: Acting) -> None:
    told: list[str] = []
    pauses = PauseActions(act.configuration, act.database, lambda: told.append("look"))
    pauses.pause(PauseKind.ROUTE, "knee", "a new model", "kim")
    assert told == ["look"]
    pauses.pause(PauseKind.DESTINATION, "pacs", "it moves", "kim")
    pauses.resume(PauseKind.ROUTE, "knee", "kim")
    assert told == ["look", "look"]


def test_what_is_paused_is_not_paused_again_and_what_is_not_is_not_resumed(act: Acting, pauses: PauseActions) -> None:
    pauses.pause(PauseKind.ROUTE, "knee", "", "kim")
    with pytest.raises(AlreadySo, match="route knee is paused already"):
        pauses.pause(PauseKind.ROUTE, "knee", "", "lee")
    with pytest.raises(AlreadySo, match="destination web is not paused"):
        pauses.resume(PauseKind.DESTINATION, "web", "lee")
    assert pauses.preview_resume(PauseKind.DESTINATION, "web").refusal == "Destination web is not paused."
    assert len(act.audited()) == 1


def test_only_what_is_configured_is_paused_and_what_has_left_can_be_resumed(act: Acting, pauses: PauseActions) -> None:
    with pytest.raises(UnknownName, match=r"route: 'kne': there is none of that name; there are: knee; did you mean"):
        pauses.pause(PauseKind.ROUTE, "kne", "", "kim")
    pauses.pause(PauseKind.ROUTE, "knee", "", "kim")
    without = act.configuration.model_copy(update={"routes": {}})
    PauseActions(without, act.database).resume(PauseKind.ROUTE, "knee", "kim")
    assert pauses.every() == []
