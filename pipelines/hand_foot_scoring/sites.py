"""The sites of a hand and of a foot: their names, their classes, and how large the limb of a mean adult is."""

from __future__ import annotations

from typing import Literal

from pipelines.svh_sites import SVH_SITES

Part = Literal["hand", "foot"]
Side = Literal["L", "R"]
SIDE_NAMES: dict[Side, str] = {"L": "left", "R": "right"}

HAND_SITES = tuple(site.id for site in SVH_SITES if site.limb == "hand")
FOOT_SITES = tuple(site.id for site in SVH_SITES if site.limb == "foot")
SITES: dict[Part, tuple[str, ...]] = {"hand": HAND_SITES, "foot": FOOT_SITES}
NO_EROSION = frozenset(site.id for site in SVH_SITES if site.limb == "hand" and not site.erosion_maximum)
# the interphalangeal joint of the thumb has no narrowing score, that of the great toe has one
NO_NARROWING = {
    part: frozenset(site.id for site in SVH_SITES if site.limb == part and not site.jsn_maximum)
    for part in ("hand", "foot")
}

# class 0 is background, then the sites of the hand, then those of the foot
SITE_CLASSES = tuple(("hand", name) for name in HAND_SITES) + tuple(("foot", name) for name in FOOT_SITES)
CLASS_OF = {site: index + 1 for index, site in enumerate(SITE_CLASSES)}
CLASSES = len(SITE_CLASSES) + 1

# Length of a mean adult limb: from the tip of the middle finger to the radius, from the tip of the great toe to the
# navicular. The shape model has this scale, and simulated limbs have it on average.
REACH_MM = {"hand": 192.0, "foot": 165.0}
