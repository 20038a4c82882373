from __future__ import annotations

from pipelines import svh_sites


def test_the_score_has_16_15_6_and_6_sites_and_448_points() -> None:
    hand = [site for site in svh_sites.SVH_SITES if site.limb == "hand"]
    foot = [site for site in svh_sites.SVH_SITES if site.limb == "foot"]
    assert (len(hand), len(foot)) == (22, 6)
    assert [sum(site.erosion_maximum > 0 for site in limb) for limb in (hand, foot)] == [16, 6]
    assert [sum(site.jsn_maximum > 0 for site in limb) for limb in (hand, foot)] == [15, 6]
    # the published maxima: hands 160, feet 120, narrowing 168
    assert 2 * sum(site.erosion_maximum for site in hand) == 160
    assert 2 * sum(site.erosion_maximum for site in foot) == 120
    assert 2 * sum(site.jsn_maximum for site in svh_sites.SVH_SITES) == 168
    assert svh_sites.SVH_MAXIMUM == 448


def test_the_thumb_is_no_finger_and_the_hands_navicular_is_the_scaphoid() -> None:
    assert svh_sites.svh_site("hand", "MCP1").region.meaning == "Thumb"
    navicular = svh_sites.svh_site("hand", "NAV").region
    assert (navicular.value, navicular.meaning) == ("30518006", "Scaphoid")
    assert svh_sites.svh_site("hand", "IP1").modifier_value != svh_sites.svh_site("foot", "IP1").modifier_value
