"""Who may open an association, and how many."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config import DimseSettings, Peer
from node.receive.dimse.admission import BUSY, CALLED, CALLING, Admission, Rejection, Slot

PEERS = {
    "scanner": Peer.model_validate({"ae_title": "SCANNER", "networks": ["10.2.0.0/16"], "maximum_associations": 2}),
    "anywhere": Peer(ae_title="ROAMER"),
}


def admission(folder: Path, **settings: object) -> Admission:
    return Admission(DimseSettings.model_validate(settings), "CONDYLE", PEERS, folder / "slots")


def enter(of: Admission, calling: str = "SCANNER", called: str = "CONDYLE", address: str = "10.2.0.7") -> Slot:
    slot = of.enter(calling, called, address)
    assert isinstance(slot, Slot)
    return slot


@pytest.mark.parametrize(
    ("calling", "called", "address", "expected"),
    [
        ("SCANNER", "OTHER", "10.2.0.7", CALLED),
        ("STRANGER", "CONDYLE", "10.2.0.7", CALLING),
        ("SCANNER", "CONDYLE", "10.3.0.7", CALLING),
        ("SCANNER", "CONDYLE", "no address", CALLING),
    ],
)
def test_strangers_are_rejected(
    tmp_path: Path, calling: str, called: str, address: str, expected: tuple[int, int, int]
) -> None:
    rejection = admission(tmp_path).enter(calling, called, address)
    assert isinstance(rejection, Rejection)
    assert rejection[:3] == expected


@pytest.mark.parametrize("address", ["10.2.0.7", "::ffff:10.2.0.7"])
def test_a_known_peer_is_let_in_also_by_an_address_of_version_6(tmp_path: Path, address: str) -> None:
    enter(admission(tmp_path), " SCANNER ", "CONDYLE ", address).leave()


def test_a_peer_has_so_many_associations_at_a_time_and_others_have_theirs(tmp_path: Path) -> None:
    door = admission(tmp_path)
    held = [enter(door), enter(door)]
    rejection = door.enter("SCANNER", "CONDYLE", "10.2.0.7")
    assert isinstance(rejection, Rejection)
    assert rejection[:3] == BUSY
    assert "peer's limit" in rejection.reason
    enter(door, "ROAMER").leave()
    held.pop().leave()
    held.append(enter(door))
    for slot in held:
        slot.leave()


def test_the_limit_of_the_node_counts_for_all_of_its_processes(tmp_path: Path) -> None:
    one, other = (admission(tmp_path, maximum_associations=1) for _ in range(2))  # as two processes have
    slot = enter(one)
    rejection = other.enter("ROAMER", "CONDYLE", "10.9.9.9")
    assert isinstance(rejection, Rejection)
    assert "node's limit" in rejection.reason
    slot.leave()
    enter(other, "ROAMER").leave()


def test_strangers_are_let_in_where_peers_need_not_be_known(tmp_path: Path) -> None:
    door = admission(tmp_path, require_known_peer=False, require_called_ae_title=False)
    enter(door, "STRANGER", "ANYBODY", "192.0.2.1").leave()
    assert door.peer("STRANGER", "192.0.2.1") is None
