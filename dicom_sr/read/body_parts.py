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
        PIERNA* MUSLO* PERNA* COXA ONDERBEEN* BOVENBEEN* LOWERLEG""",
    "hip": """HIP HIPS HUFT* HUEFT* HANCHE* ANCA ANCHE CADERA* QUADRIL HEUP*""",
    "arm": """ARM ARMS FOREARM* HUMERUS* RADIUS ULNA UNTERARM* OBERARM* AVANTBRAS BRAS AVAMBRACCIO BRACCIO ANTEBRAZO
        BRAZO ANTEBRACO BRACO ONDERARM* BOVENARM*""",
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
_STUCK = re.compile(r"(?:LEFT|RIGHT|BOTH|LT|RT|LI|RE|L|R)?(.{3,}?)(?:LEFT|RIGHT|LT|RT|LI|RE|AP|PA|L|R)?")

_SIDE_WORDS: dict[Side, str] = {
    "L": """L LT LEFT LI LKS LINKS LINKE LINKER LINKEN LINKES LINKERHAND LINKERVOET GAUCHE SINISTRA SINISTRO SX
        IZQ IZQDA IZQUIERDA IZQUIERDO ESQ ESQUERDA ESQUERDO""",
    "R": """R RT RIGHT RE RTS RECHTS RECHTE RECHTER RECHTEN RECHTES RECHTERHAND RECHTERVOET DROITE DROIT DESTRA
        DESTRO DCHA DERECHA DERECHO DIREITA DIREITO DEX DEXTER""",
}
_SIDES = {side: frozenset(words.split()) for side, words in _SIDE_WORDS.items()}
# Short words that name a side only beside a word of their language: DX is a modality, der is German, sin Spanish
_ITALIAN = frozenset(
    ("MANO", "MANI", "POLSO", "POLSI", "DITO", "DITA", "POLLICE", "PIEDE", "PIEDI", "ALLUCE", "GINOCCHIO", "SX")
)
_FRENCH = frozenset(["MAIN", "MAINS", "POIGNET", "DOIGT", "DOIGTS", "POUCE", "PIED", "PIEDS", "GENOU", "GENOUX"])
_SPANISH = frozenset(["MANO", "MANOS", "MUNECA", "DEDO", "DEDOS", "PULGAR", "PIE", "PIES", "RODILLA"])
_BESIDE: tuple[tuple[str, Side, frozenset[str]], ...] = (
    ("DX", "R", _ITALIAN),
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
    series = coded_parts(header) | parts_in(_texts(header, _IN_SERIES))
    return series if series - {LIMB} else series | parts_of_study(header)


def parts_of_study(header: Dataset) -> frozenset[str]:
    """The parts that the description of the study names: it may speak of other images."""
    return parts_in(_texts(header, ("StudyDescription",)))


def other_parts(header: Dataset, wanted: Iterable[str]) -> str:
    """What a header says that an image shows, where that is none of the parts that are `wanted`.

    Empty where it names one of them, or none at all: then the picture decides.
    """
    named = parts_named(header) - {LIMB}
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
    return frozenset(part for text in texts for word in _words(text) if (part := _part_of(word)))


def side_named(header: Dataset) -> Side | None:
    """The side that a header names: in ImageLaterality or Laterality, else in its words; None where it names both."""
    for keyword in ("ImageLaterality", "Laterality"):
        value = str(header.get(keyword) or "").strip()
        if value:
            return side_in(value)
    for keyword in ("BodyPartExamined", *_IN_SERIES, "ImageComments"):
        found = {side for text in _texts(header, (keyword,)) if (side := side_in(text))}
        if found:
            return found.pop()
    return None


def side_in(text: str) -> Side | None:
    """The side that a text names; None where it names none or both."""
    words = set(re.findall(r"(?<![A-Z\d])[A-Z]+(?![A-Z\d])", _plain(text)))  # L12-5 is a probe
    found = {side for side, known in _SIDES.items() if words & known}
    found |= {side for word, side, beside in _BESIDE if word in words and words & beside}
    for word in words:
        if not _part_of_whole(word) and _part_of(word):  # LTHAND, FOOTR
            found |= {side for side in _SIDES if re.fullmatch(rf"(?:{_stuck(side)}).*|.*(?:{_stuck(side)})", word)}
    return found.pop() if len(found) == 1 else None


def _stuck(side: Side) -> str:
    return "LEFT|LT|LI|L" if side == "L" else "RIGHT|RT|RE|R"


def _texts(header: Dataset, keywords: Iterable[str]) -> list[str]:
    return [str(header.get(keyword) or "") for keyword in keywords]


def _words(text: str) -> list[str]:
    """The words of a text: capitals without accents."""
    return re.findall(r"[A-Z]+", _plain(text))


def _plain(text: str) -> str:
    capitals = unicodedata.normalize("NFKD", text.casefold()).upper()
    return "".join(letter for letter in capitals if not unicodedata.combining(letter))


@cache
def _pattern(part: str) -> re.Pattern[str]:
    return re.compile("|".join(word.replace("*", "[A-Z]*") for word in _WORDS[part].split()))


def _part_of_whole(word: str) -> str | None:
    return next((part for part in _WORDS if _pattern(part).fullmatch(word)), None)


@cache
def _part_of(word: str) -> str | None:
    """The part that a word names, also with a side or a view stuck to it."""
    found = _part_of_whole(word)
    stuck = None if found else _STUCK.fullmatch(word)
    return _part_of_whole(stuck[1]) if stuck else found
