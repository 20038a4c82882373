"""Room that senders share: what one holds, and gives back."""

from __future__ import annotations

from node.network.room import SMALL_BYTES, Room, Share


def test_a_share_grows_while_there_is_room_and_what_is_small_needs_none() -> None:
    room = Room(1000)
    large, other = Share(room), Share(room)
    assert large.hold(SMALL_BYTES + 600)
    assert large.hold(SMALL_BYTES + 1000)
    assert not large.hold(SMALL_BYTES + 1001)
    assert other.hold(SMALL_BYTES)
    assert not other.hold(SMALL_BYTES + 1)
    assert large.hold(10)
    assert other.hold(SMALL_BYTES + 1000)
    other.hold(0)
    assert room.take(1000)
