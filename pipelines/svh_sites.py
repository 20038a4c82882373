"""The Sharp/van der Heijde sites of hands and feet, with their codes: two pipelines speak of the same joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr.codes import CONDYLE


@dataclass(frozen=True)
class SvhSite:
    """One site of the Sharp/van der Heijde score, on each side of the body."""

    id: str
    meaning: str
    limb: Literal["hand", "foot"]
    erosion_maximum: int  # 0 where erosion is not scored here
    jsn_maximum: int  # 0 where joint space narrowing is not scored here
    region: Code  # Finding Site: a coarse concept that DICOM itself contains
    modifier_value: str  # private code of the exact joint

    @property
    def modifier(self) -> Code:
        """Topographical modifier, the exact joint."""
        return CONDYLE.code(self.modifier_value)


def _hand(id_: str, meaning: str, erosion: int, jsn: int, region: Code) -> SvhSite:
    # IP1 exists on the hand and on the foot: their codes end in H and F
    return SvhSite(id_, meaning, "hand", erosion, jsn, region, f"SITE-{id_}H" if id_ == "IP1" else f"SITE-{id_}")


def _foot(id_: str, meaning: str, region: Code) -> SvhSite:
    # two bone sides of 0-5 each make 0-10 for a foot erosion
    return SvhSite(id_, meaning, "foot", 10, 4, region, f"SITE-{id_}F" if id_ == "IP1" else f"SITE-{id_}")


SCAPHOID = Code(
    "30518006", "SCT", "Scaphoid"
)  # codedict also calls it "Navicular of forefoot": always send this meaning
METACARPAL = Code("36455000", "SCT", "Metacarpal")
CARPUS = Code("8205005", "SCT", "Carpus")

# van der Heijde, J Rheumatol 2000;27:261-263: 16 erosion and 15 narrowing sites a hand, 6 and 6 a foot.
# In SNOMED the thumb is not a finger, hence "Thumb" for MCP1 and IP1.
SVH_SITES: tuple[SvhSite, ...] = (
    _hand("MCP1", "First metacarpophalangeal joint", 5, 4, standard.SCT.Thumb),
    _hand("MCP2", "Second metacarpophalangeal joint", 5, 4, standard.SCT.FingerJoint),
    _hand("MCP3", "Third metacarpophalangeal joint", 5, 4, standard.SCT.FingerJoint),
    _hand("MCP4", "Fourth metacarpophalangeal joint", 5, 4, standard.SCT.FingerJoint),
    _hand("MCP5", "Fifth metacarpophalangeal joint", 5, 4, standard.SCT.FingerJoint),
    _hand("PIP2", "Second proximal interphalangeal joint of hand", 5, 4, standard.SCT.FingerJoint),
    _hand("PIP3", "Third proximal interphalangeal joint of hand", 5, 4, standard.SCT.FingerJoint),
    _hand("PIP4", "Fourth proximal interphalangeal joint of hand", 5, 4, standard.SCT.FingerJoint),
    _hand("PIP5", "Fifth proximal interphalangeal joint of hand", 5, 4, standard.SCT.FingerJoint),
    _hand("IP1", "Interphalangeal joint of thumb", 5, 0, standard.SCT.Thumb),
    _hand("MC1B", "Base of first metacarpal", 5, 0, METACARPAL),
    _hand("MULT", "Multangular (trapezium and trapezoid as one)", 5, 0, CARPUS),
    _hand("NAV", "Navicular of hand (scaphoid)", 5, 0, SCAPHOID),
    _hand("LUN", "Lunate", 5, 0, CARPUS),
    _hand("RAD", "Distal radius", 5, 0, standard.SCT.DistalRadius),
    _hand("ULN", "Distal ulna", 5, 0, standard.SCT.DistalUlna),
    _hand("CMC3", "Third carpometacarpal joint", 0, 4, CARPUS),
    _hand("CMC4", "Fourth carpometacarpal joint", 0, 4, CARPUS),
    _hand("CMC5", "Fifth carpometacarpal joint", 0, 4, CARPUS),
    _hand("MULTNAV", "Multangular-navicular joint", 0, 4, CARPUS),
    _hand("CAPNAVLUN", "Capitate-navicular-lunate joint", 0, 4, CARPUS),
    _hand("RADCARP", "Radiocarpal joint", 0, 4, standard.SCT.WristJoint),
    _foot("MTP1", "First metatarsophalangeal joint", standard.SCT.Foot),
    _foot("MTP2", "Second metatarsophalangeal joint", standard.SCT.Foot),
    _foot("MTP3", "Third metatarsophalangeal joint", standard.SCT.Foot),
    _foot("MTP4", "Fourth metatarsophalangeal joint", standard.SCT.Foot),
    _foot("MTP5", "Fifth metatarsophalangeal joint", standard.SCT.Foot),
    _foot("IP1", "Interphalangeal joint of great toe", standard.SCT.Toe),
)
SVH_MAXIMUM = 2 * sum(site.erosion_maximum + site.jsn_maximum for site in SVH_SITES)  # both sides: 448


def svh_site(limb: Literal["hand", "foot"], id_: str) -> SvhSite:
    """The site called `id_` of a hand or a foot (IP1 is on both).

    Raises
    ------
    KeyError
        If there is no such site.
    """
    return _SITES[limb, id_]


for _site in SVH_SITES:
    CONDYLE.add(
        _site.modifier_value,
        _site.meaning,
        f"Sharp/van der Heijde site {_site.id} of the {_site.limb}, either side.",
    )
_SITES = {(site.limb, site.id): site for site in SVH_SITES}


def sites_table() -> str:
    """The sites as a Markdown table, with their ranges and codes."""
    lines = [
        "| limb | site | meaning | erosion | narrowing | Finding Site | Topographical modifier |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for site in SVH_SITES:
        ranges = f"{_range(site.erosion_maximum)} | {_range(site.jsn_maximum)}"
        region = f"{site.region.value} {site.region.meaning}"
        lines.append(f"| {site.limb} | {site.id} | {site.meaning} | {ranges} | {region} | {site.modifier_value} |")
    return "\n".join(lines)


def _range(maximum: int) -> str:
    return f"0-{maximum}" if maximum else "–"
