"""From which side a header says that a radiograph was taken: frontal, lateral or oblique.

English, German, French, Italian, Spanish, Portuguese and Dutch. Headers name views loosely, and a series often holds
several: where a header says nothing plain, nothing is read out of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from pydicom.dataset import Dataset

from dicom_sr.read.body_parts import ROMANCE, capitals

View = Literal["frontal", "lateral", "oblique"]

# Words are written without accents (SCHRAG is schräg); * stands for any ending. Nørgaard's and the zither player's are
# positions of hands that are turned.
_WORDS: dict[View, str] = {
    "frontal": """AP PA DP PD DV VD ANTERO POSTERO DORSO PLANTO ANTEROPOSTERIOR* POSTEROANTERIOR* DORSOPLANTAR*
        PLANTODORSAL* DORSOPALMAR* PALMODORSAL* DORSOVOLAR* VOLODORSAL* FRONTAL* FRENTE FACE""",
    "lateral": """LAT LATERAL LATERALE LATERALES LATERAAL LATERO MEDIOLATERAL* LATEROMEDIAL* SEITLICH SEITL
        ZIJDELINGS""",
    "oblique": """OBL OBLIQ OBLIQUE OBLIQUES OBLIQUA OBLIQUO OBLICUA OBLICUO SCHRAG SCHRAEG SCHUIN NORGAARD*
        BALLCATCHER* ZITHER*""",
}
_PATTERNS: dict[View, re.Pattern[str]] = {
    view: re.compile("|".join(word.replace("*", "[A-Z]*") for word in words.split())) for view, words in _WORDS.items()
}
_PROFILE = frozenset(["PROFIL", "PROFILO", "PERFIL"])  # of settings, unless beside a word of their language
_BESIDE_PROFILE = ROMANCE - _PROFILE | {"MAIN", "PIE", "PE"}
# Values of ViewPosition (PS3.3 C.8.1.1, C.8.11.5) that are other words elsewhere
_POSITIONS: dict[str, View] = {
    **dict.fromkeys(("LL", "RL", "ML", "LM"), "lateral"),
    **dict.fromkeys(("OB", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "MLO", "LMO"), "oblique"),
}
# Words of a series with several views, of which an image may show another than the one that is named
_SEVERAL_WORDS = """
    AND UND ET CON COM MIT WITH AVEC MET EN PLUS INCL VIEWS VWS EBENEN INCIDENCES INCIDENCIAS PROIEZIONI PROYECCIONES
    PROJECTIONS RICHTINGEN COMPLETE KOMPLETT SERIES"""
_SEVERAL = frozenset(_SEVERAL_WORDS.split())
_COUNTED = re.compile(  # 3V, 2 VW, 3-view, 2E, two view
    r"(?:(?<!\d)(?:[2-9]|1\d)|(?<![A-Z])(?:TWO|THREE|FOUR|MULTI|MULTIPLE))[\s_-]*"
    r"(?:V|VW|VWS|VIEW|VIEWS|E|EB|EBN|EBENE[A-Z]*|INC|INCID[A-Z]*|PROJ[A-Z]*|PROI[A-Z]*|PROY[A-Z]*|RICHT[A-Z]*)(?![A-Z])"
)
# What is called lateral without being a view: both sides, how a patient lies, the side of a limb, a laterality
_NO_VIEW = re.compile(
    r"(?<![A-Z])(?:BI|UNI|IPSI|CONTRA)[\s_-]+LAT[A-Z]*|DECUB[A-Z]*[\s_-]+LAT[A-Z]*"
    r"|(?<![A-Z])LAT[A-Z]*(?:[.\s_-]+(?:DECUB|SIDE|ASPECT|BORDER|PAIN|MALL|SESAM|RAND)[A-Z]*|\s*[:=])"
)
_POINTED = re.compile(r"(?<![A-Z])([APD])\.\s?([AP])(?![A-Z])")  # a.p., d. p.


def view_named(header: Dataset) -> View | None:
    """The view that a header names; None where it names none, or several of which one cannot be told.

    What is said of the single image (ViewPosition, ViewCodeSequence, and what the device prepared it as) goes before
    the words of the series.
    """
    items = [
        item
        for code in header.get("ViewCodeSequence") or []
        for item in (code, *(code.get("ViewModifierCodeSequence") or []))
    ]
    position = str(header.get("ViewPosition") or "")
    meanings = [str(item.get("CodeMeaning") or "") for item in items]
    of_image = _views_in([position, *meanings]) | {_POSITIONS[word] for word in _words(position) if word in _POSITIONS}
    if of_image:  # "PA oblique" is one view
        return _single(of_image - {"frontal"} if "oblique" in of_image else of_image)
    for keywords in (("AcquisitionDeviceProcessingDescription",), ("SeriesDescription", "ProtocolName")):
        texts = [str(header.get(keyword) or "") for keyword in keywords]
        named = {_of_text(text) for text in texts if _views_in([text])}
        if named:
            return next(iter(named)) if len(named) == 1 and not any(map(_several, texts)) else None
    return None


def _of_text(text: str) -> View | None:
    """The view that a text of a series names; None where it names several: OBL, LAT."""
    views = _views_in([text])
    return None if len(views) > 1 and re.search("[/,;]", text) else _single(views)


def _several(text: str) -> bool:
    """Whether a text says that the series has several views."""
    return bool(re.search("[+&]", text) or _SEVERAL & set(_words(text)) or _COUNTED.search(capitals(text)))


def _single(views: frozenset[View] | set[View]) -> View | None:
    """The view that is meant by words for some; a lateral oblique one is oblique."""
    if views == {"lateral", "oblique"}:
        return "oblique"
    return next(iter(views)) if len(views) == 1 else None


def _views_in(texts: Iterable[str]) -> set[View]:
    """Every view that texts name."""
    found: set[View] = set()
    for text in texts:
        words = _words(text)
        found |= {view for view, pattern in _PATTERNS.items() if any(map(pattern.fullmatch, words))}
        if _PROFILE & set(words) and _BESIDE_PROFILE & set(words):
            found.add("lateral")
    return found


def _words(text: str) -> list[str]:
    """The words of a text that may name a view: capitals without accents, a.p. as AP."""
    plain = _NO_VIEW.sub(" ", capitals(text).replace("Ø", "O"))
    return re.findall(r"[A-Z]+", _POINTED.sub(r"\1\2", plain))
