"""Which part of the body, and which side, a header names: one vocabulary of the words and codes that devices write.

English, German, French, Italian, Spanish, Portuguese and Dutch; singular and plural, with side and view before, behind
or stuck to the word: LEFT HAND, HAND_R, LTHAND, MAIN G, MANO DX, Handgelenk.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Literal

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

Side = Literal["L", "R"]

LIMB = "limb"  # an extremity, joint or bone that is not named
# Words are written without accents (MUNECA is muñeca) and with ss for ß; * stands for any ending.
_WORDS = {
    "hand": """HAND HANDS HANDE HANDEN HAENDE MITTELHAND* METACARP* METAKARP* MAIN MAINS MANO MANI MANOS MAO MAOS
        MIDDENHAND* HANDKNOCHEN HANDRUCKEN HANDRUECKEN LINKERHAND RECHTERHAND""",
    "wrist": """WRIST WRISTS HANDGELENK* HANDWURZEL* CARPUS CARPAL* CARPO* KARPAL* POIGNET* POLSO POLSI MUNECA*
        PUNHO* PULSO* POLS POLSEN POLSGEWRICHT* SCAPHOID* SKAPHOID* KAHNBEIN*""",
    "finger": """FINGER* THUMB* DAUMEN* POUCE* DOIGT* POLLICE DITO DITA DEDO DEDOS PULGAR* POLEGAR* VINGER* DUIM* MCP
        PIP DIP MCPJ* PIPJ* DIPJ* ZEIGEFINGER* RINGFINGER*""",
    "foot": """FOOT FEET FUSS FUSSE FUESSE VORFUSS* MITTELFUSS* RUCKFUSS* RUECKFUSS* FUSSWURZEL* FOREFOOT FOREFEET
        MIDFOOT HINDFOOT METATARS* PIED PIEDS AVANTPIED* PIEDE PIEDI AVAMPIED* PIE PIES ANTEPIE* PE PES ANTEPE* VOET
        VOETEN VOORVOET* MIDDENVOET* LINKERVOET RECHTERVOET CALCANE* FERSENBEIN* TARSUS TARSAL*""",
    "toe": """TOE TOES ZEH ZEHE ZEHEN GROSSZEH* ORTEIL* HALLUX ALLUCE TEEN TENEN MTP MTPJ*""",
    "knee": """KNEE* KNIE* GENOU* GINOCCHI* RODILLA* JOELHO* PATELLA* ROTULA* ROTULE*""",
    "ankle": """ANKLE* SPRUNGGELENK* OSG CHEVILLE* CAVIGLI* TOBILLO* TORNOZELO* ENKEL*""",
    "leg": """LEG LEGS THIGH* FEMUR* TIBIA* FIBULA* CALF UNTERSCHENKEL* OBERSCHENKEL* JAMBE* CUISSE* GAMBA GAMBE COSCIA
        PIERNA* MUSLO* PERNA* COXA COXAL ONDERBEEN* BOVENBEEN* LOWERLEG""",
    "hip": """HIP HIPS HUFT* HUEFT* HANCHE* ANCA ANCHE CADERA* QUADRIL HEUP*""",
    "arm": """ARM ARMS FOREARM* HUMERUS* RADIUS ULNA ULNAR UNTERARM* OBERARM* AVANTBRAS BRAS AVAMBRACCIO BRACCIO
        ANTEBRAZO BRAZO ANTEBRACO BRACO ONDERARM* BOVENARM*""",
    "elbow": """ELBOW* ELLENBOGEN* ELLBOGEN* COUDE* GOMITO GOMITI CODO* COTOVELO* ELLEBOOG*""",
    "shoulder": """SHOULDER* SCHULTER* EPAULE* SPALLA SPALLE HOMBRO* OMBRO* SCHOUDER* CLAVIC* SCAPULA*""",
    "head": """HEAD SKULL BRAIN KOPF SCHADEL* SCHAEDEL* HIRN* GEHIRN* TETE CRANE CEREBR* ENCEPHAL* CRANIO* CABEZA
        CEREBRO CABECA HOOFD HERSEN* SCHEDEL* JAW MANDIB* SINUS* ORBIT*""",
    "neck": """NECK HALS COU COLLO CUELLO PESCOCO THYROID* SCHILDDRUSE* CAROTI*""",
    "spine": """SPINE CSPINE TSPINE LSPINE SSPINE LSSPINE SPINAL* WIRBEL* HWS BWS LWS RACHIS* COLONNA RACHIDE COLUMNA
        COLUNA WERVEL* SACRUM COCCYX LUMBAR* CERVICAL*""",
    "chest": """CHEST THORAX TORACE TORAX LUNG LUNGS LUNGE* POUMON* POLMON* PULMON* RIB RIBS RIPPEN* STERNUM
        HEART HERZ COEUR CUORE CORAZON CORACAO CARDIAC*""",
    "breast": """BREAST* BRUST* MAMM* SEINS SENO MAMA MAMAS BORST*""",
    "abdomen": """ABDOM* BAUCH* ADDOM* BUIK* LIVER LEBER FOIE FEGATO HIGADO FIGADO KIDNEY* NIERE* REINS RENAL*
        BLADDER SPLEEN PANCREAS STOMACH BOWEL""",
    "pelvis": """PELVI* BECKEN* BASSIN BACINO BEKKEN* UTERUS PROSTAT*""",
    LIMB: """EXTREMIT* EXTREMIDAD* ESTREMIT* EXTREMITAT* EXTREMITAET* UPPEREXTREMITY LOWEREXTREMITY LIMB LIMBS ARTO ARTI
        MEMBRE* MIEMBRO* MEMBRO* LEDEMAAT LEDEMATEN JOINT JOINTS GELENK* ARTICUL* ARTICOL* GEWRICHT* SKELETON SKELETT*
        BONE BONES KNOCHEN""",
}  # fmt: skip
PARTS = tuple(_WORDS)
_CODES = {  # SNOMED CT, and what is left of SNOMED-RT in older files
    standard.SCT.Hand.value: "hand",
    "T-D8700": "hand",
    standard.SCT.Finger.value: "finger",
    "T-D8800": "finger",
    standard.SCT.Thumb.value: "finger",
    "T-D8810": "finger",
    standard.SCT.WristJoint.value: "wrist",
    "T-15460": "wrist",
    standard.SCT.Foot.value: "foot",
    "T-D9700": "foot",
    standard.SCT.Toe.value: "toe",
    "T-D9800": "toe",
    standard.SCT.Forefoot.value: "foot",
    standard.SCT.Knee.value: "knee",
    "T-D9200": "knee",
    standard.SCT.KneeJoint.value: "knee",
    "T-15720": "knee",
}
NAMING = (  # the elements that are looked at
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "SeriesDescription",
    "ProtocolName",
    "ViewPosition",
    "StudyDescription",
)
_IN_SERIES = ("SeriesDescription", "ProtocolName", "ViewPosition")
_OF_THE_IMAGE = ("ImageComments", "AcquisitionDeviceProcessingDescription")
_WHOLE = re.compile(r"(?<![A-Z\d])[A-Z]+(?![A-Z\d])")  # words without digits: L12-5 is a probe
# What sticks to a word. Of short ones a letter makes another word: PIER, COUR; so there it is before a joint only: LMCP
_STUCK = tuple(
    map(
        re.compile,
        (
            "(LEFT|RIGHT|BOTH|LT|RT|LI|RE|L|R)?(.{4,}?)(LEFT|RIGHT|LT|RT|LI|RE|AP|PA|L|R)?",
            "(LEFT|RIGHT|BOTH|LT|RT)?(.{3})(LEFT|RIGHT|LT|RT|AP|PA)?",
            "(L|R)(MCP|PIP|DIP|MTP)()",
        ),
    )
)
# Other words too, unless alone or beside one of their language: PE is phase encoding, MAIN is English
_OF_OTHER_MEANING = frozenset(["MAIN", "COU", "PIE", "PE", "PES"])
_ROMANCE_WORDS = """
    RX RADIO RADIOGRAPHIE RADIOGRAFIA IRM RM TDM DE DU DES LA LE LES DEL EL DA DO DOS D G L R LT RT LEFT RIGHT
    GAUCHE GCHE DROITE DROIT DTE DER DCHO DCHA DERECHA DERECHO IZQ IZQDA IZQUIERDA IZQUIERDO DIR DIREITA DIREITO ESQ
    ESQUERDA ESQUERDO FACE PROFIL PERFIL FRENTE AP PA LAT OBL OBLIQUE INCIDENCE INCIDENCES MAINS POIGNET POIGNETS DOIGT
    DOIGTS POUCE PIED PIEDS GENOU GENOUX COUDE MANO MANOS DEDO DEDOS TOBILLO RODILLA MAO MAOS PUNHO TORNOZELO
    JOELHO"""
ROMANCE = frozenset(_ROMANCE_WORDS.split())

_SIDE_WORDS: dict[Side, str] = {
    "L": """L LT LEFT LI LKS LINKS LINKE LINKER LINKEN LINKES LINKERHAND LINKERVOET GAUCHE SINISTRA SINISTRO
        IZQ IZQDA IZQUIERDA IZQUIERDO ESQ ESQUERDA ESQUERDO""",
    "R": """R RT RIGHT RE RTS RECHTS RECHTE RECHTER RECHTEN RECHTES RECHTERHAND RECHTERVOET DROITE DROIT DESTRA
        DESTRO DCHA DERECHA DERECHO DIREITA DIREITO DEX DEXTER""",
}
_SIDES = {side: frozenset(words.split()) for side, words in _SIDE_WORDS.items()}
# Short words that name a side only beside a word of their language: DX is a modality, SX surgery, der is German,
# sin Spanish
_ITALIAN_WORDS = """
    MANO MANI POLSO POLSI DITO DITA POLLICE PIEDE PIEDI AVAMPIEDE ALLUCE GINOCCHIO CAVIGLIA GAMBA ANCA SPALLA GOMITO
    BRACCIO AVAMBRACCIO"""
_ITALIAN = frozenset(_ITALIAN_WORDS.split())
_FRENCH = frozenset(["MAIN", "MAINS", "POIGNET", "DOIGT", "DOIGTS", "POUCE", "PIED", "PIEDS", "GENOU", "GENOUX"])
_SPANISH = frozenset(["MANO", "MANOS", "MUNECA", "DEDO", "DEDOS", "PULGAR", "PIE", "PIES", "RODILLA"])
_BESIDE: tuple[tuple[str, Side, frozenset[str]], ...] = (
    ("DX", "R", _ITALIAN),
    ("SX", "L", _ITALIAN),
    ("SIN", "L", _ITALIAN - {"MANO"}),
    ("D", "R", _FRENCH),
    ("DTE", "R", _FRENCH),
    ("G", "L", _FRENCH),
    ("DER", "R", _SPANISH),
    ("DIR", "R", frozenset(["MAO", "PUNHO", "DEDO", "PE", "JOELHO"])),
)


def parts_named(header: Dataset) -> frozenset[str]:
    """The parts of the body that an image's header names; those of the study's description where nothing else does.

    `LIMB` stands for an extremity or joint without a name.
    """
    series = _parts_in_series(header)
    return series if series - {LIMB} else series | parts_of_study(header)


def _parts_in_series(header: Dataset) -> frozenset[str]:
    return coded_parts(header) | parts_in(_texts(header, _IN_SERIES))


def parts_of_study(header: Dataset) -> frozenset[str]:
    """The parts that the description of the study names: it may speak of other images."""
    return parts_in(_texts(header, ("StudyDescription",)))


def other_parts(header: Dataset, wanted: Iterable[str], of_study: bool = True) -> str:
    """What a header says that an image shows, where that is none of the parts that are `wanted`.

    Empty where it names one of them, or none at all: then the picture decides. The study's description is asked where
    nothing else names a part; not without `of_study`, as for films: a study holds films of several parts.
    """
    named = (parts_named(header) if of_study else _parts_in_series(header)) - {LIMB}
    if not named or named & frozenset(wanted):
        return ""
    written = str(header.get("BodyPartExamined") or "").strip()
    return written if parts_in([written]) - {LIMB} else " and ".join(sorted(named))


def coded_parts(header: Dataset) -> frozenset[str]:
    """The parts that BodyPartExamined and AnatomicRegionSequence name."""
    items = header.get("AnatomicRegionSequence") or []
    named = {_CODES[str(item.get("CodeValue"))] for item in items if str(item.get("CodeValue")) in _CODES}
    meanings = [str(item.get("CodeMeaning") or "") for item in items]
    return parts_in([*_texts(header, ("BodyPartExamined",)), *meanings]) | named


def parts_in(texts: Iterable[str]) -> frozenset[str]:
    """The parts that texts name."""
    return frozenset(part for text in texts for word in _naming(text) if (part := _part_of(word)))


def _naming(text: str) -> list[str]:
    """The words of a text without those that mean something else in it."""
    words = _words(text)
    romance = len(words) == 1 or bool(ROMANCE & set(_WHOLE.findall(capitals(text))))
    return [word for word in words if romance or word not in _OF_OTHER_MEANING]


def side_named(header: Dataset) -> Side | None:
    """The side that a header names: in ImageLaterality or Laterality, else in its words; None where it names both.

    What is said of the single image goes before what is said of all images of the series.
    """
    for keyword in ("ImageLaterality", "Laterality"):
        value = str(header.get(keyword) or "").strip()
        if value:
            return side_in(value)
    for keyword in (*_OF_THE_IMAGE, "BodyPartExamined", *_IN_SERIES):
        found = _sides_in(str(header.get(keyword) or ""))
        if found:
            return _only(found)
    return None


def side_in(text: str) -> Side | None:
    """The side that a text names; None where it names none or both."""
    return _only(_sides_in(text))


def _only(sides: frozenset[Side]) -> Side | None:
    return next(iter(sides)) if len(sides) == 1 else None


def _sides_in(text: str) -> frozenset[Side]:
    """Every side that a text names."""
    plain = capitals(text)
    words = {match[0] for match in _WHOLE.finditer(plain) if not _is_of_another_word(match)}
    found = {side for side, known in _SIDES.items() if words & known}
    found |= {side for word, side, beside in _BESIDE if word in words and words & beside}
    for word in words:
        for stuck in () if _part_of_whole(word) else (_stuck_to(word) or ())[1:]:
            found |= {side for side, known in _SIDES.items() if stuck in known}
    return frozenset(found)


def _is_of_another_word(match: re.Match[str]) -> bool:
    """Whether a short word is no side, but a piece of others: R/O, L'Hopital, RE-EXAM, L 12-5, D 2, 3/4 D."""
    word, before, after = match[0], match.string[: match.start()], match.string[match.end() :]
    if len(word) > 1 and word not in ("RE", "LI"):
        return False
    if re.match(r"\s*\d+-\d", after):  # a probe
        return True
    if word in ("D", "G") and (re.match(r"\s*\d", after) or re.search(r"\d/\d\s*$", before)):  # a finger, a view
        return True
    if not re.match(r"[/'’-]", after):
        return False
    following = re.match(r"[/-]([A-Z]+)", after)  # L/R and R-HAND name sides
    if following is None:
        return True
    names_side = any(following[1] in known for known in _SIDES.values())
    return not names_side and _part_of(following[1]) in (None, "spine")  # L-SPINE is the lumbar one


def _texts(header: Dataset, keywords: Iterable[str]) -> list[str]:
    return [str(header.get(keyword) or "") for keyword in keywords]


def _words(text: str) -> list[str]:
    """The words of a text: capitals without accents."""
    return re.findall(r"[A-Z]+", capitals(text))


def capitals(text: str) -> str:
    """A text in capitals without accents."""
    letters = unicodedata.normalize("NFKD", text.casefold()).upper()
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


@cache
def _pattern(part: str) -> re.Pattern[str]:
    return re.compile("|".join(word.replace("*", "[A-Z]*") for word in _WORDS[part].split()))


def _part_of_whole(word: str) -> str | None:
    return next((part for part in _WORDS if _pattern(part).fullmatch(word)), None)


@cache
def _part_of(word: str) -> str | None:
    """The part that a word names, also with a side or a view stuck to it."""
    found = _part_of_whole(word)
    if found:
        return found
    stuck = _stuck_to(word)
    return stuck[0] if stuck else None


@cache
def _stuck_to(word: str) -> tuple[str, str, str] | None:
    """The part that the middle of a word names, and what is stuck before and behind it; None where it names none."""
    for pattern in _STUCK:
        match = pattern.fullmatch(word)
        part = _part_of_whole(match[2]) if match else None
        if match and part:
            return part, match[1] or "", match[3] or ""
    return None
