"""Which code system a record means, however it spells it: FHIR's addresses, OIDs, HL7 v2's table 0396, OMOP's names.

The national editions of ICD-10 (ICD-10-GM, -CM, -AM, -CA, CIM-10, ...) share WHO's three-character categories and
nearly all of its subdivisions, which is as far as the tables of a pipeline go; so they count as one family.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Family = Literal["snomed", "icd10", "icd9cm", "rxnorm", "atc", "loinc"]

SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
RXNORM, ATC = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://www.whocc.no/atc"
ICD_10, ICD_9_CM = "http://hl7.org/fhir/sid/icd-10", "http://hl7.org/fhir/sid/icd-9-cm"
ICD_10_CM, ICD_10_AM = "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-10-am"
ICD_10_GM = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"
CIM_10 = "https://smt.esante.gouv.fr/terminologie-cim-10"

# HL7 table 0396 and what is found in its place, without blanks and punctuation
NAMES = {
    "SCT": SNOMED,
    "SNM3": SNOMED,
    "SNOMED": SNOMED,
    "SNOMEDCT": SNOMED,
    "I10": ICD_10,
    "ICD10": ICD_10,
    "I10C": ICD_10_CM,
    "ICD10CM": ICD_10_CM,
    "I10GM": ICD_10_GM,
    "ICD10GM": ICD_10_GM,
    "I10AM": ICD_10_AM,
    "ICD10AM": ICD_10_AM,
    "CIM10": CIM_10,
    "I9": ICD_9_CM,
    "I9C": ICD_9_CM,
    "I9CDX": ICD_9_CM,
    "ICD9": ICD_9_CM,
    "ICD9CM": ICD_9_CM,
    "LN": LOINC,
    "LOINC": LOINC,
    "RXNORM": RXNORM,
    "WC": ATC,
    "ATC": ATC,
}
OIDS: dict[str, Family] = {
    "2.16.840.1.113883.6.96": "snomed",
    "2.16.840.1.113883.6.1": "loinc",
    "2.16.840.1.113883.6.88": "rxnorm",
    "2.16.840.1.113883.6.73": "atc",
    "2.16.840.1.113883.6.103": "icd9cm",  # diagnoses
    "2.16.840.1.113883.6.104": "icd9cm",  # procedures
    "2.16.840.1.113883.6.3": "icd10",  # WHO's; below it the translations, such as .2 (Dutch) and .3 (German, 1998)
    "2.16.840.1.113883.6.90": "icd10",  # ICD-10-CM
    "2.16.840.1.113883.6.135": "icd10",  # ICD-10-AM
}
# Below it each year's ICD-10-GM has a number of its own, and so have other German tables: the shape of the code tells.
GERMAN_TABLES = "1.2.276.0.76.5."
ICD_10_CODE = re.compile(r"[A-Z]\d\d(\.?[\dX]{1,4})?[-+*!†#]?", re.ASCII)
# As addresses and as names: ICD-10-GM, cim-10, CIE-10-ES, CID10, MKN-10, ...; procedures (PCS) are another system
ICD_10_NAMED = re.compile(r"(?<![a-z])(icd|cim|cie|cid|mkn|mkb|mkch|rhk|bno)[-_ ]?10(?!\d)(?!.*(pcs|procedure))")
ICD_10_GERMAN_YEAR = re.compile(r"i(?:cd)?-?10-?gm?-?(19|20)\d\d")  # I10G2004, ICD10GM2024
PARTS: tuple[tuple[str, Family], ...] = (
    ("snomed.info/sct", "snomed"),
    ("loinc.org", "loinc"),
    ("umls/rxnorm", "rxnorm"),
    ("whocc.no/atc", "atc"),
    ("fhir.de/codesystem/bfarm/atc", "atc"),
    ("fhir.de/codesystem/dimdi/atc", "atc"),
    ("terminologie-atc", "atc"),
    ("sid/icd-9", "icd9cm"),
)


def system_named(name: str) -> str:
    """The address of the code system that an HL7 v2 message names; empty where it is none that is known.

    An edition that has no address here keeps its name, which `family` knows again.
    """
    plain = re.sub(r"[^A-Z0-9]", "", name.upper())
    if ICD_10_GERMAN_YEAR.fullmatch(name.lower()):
        return ICD_10_GM
    return NAMES.get(plain) or (name if family(name) else "")


@lru_cache(maxsize=20_000)  # systems and codes are what senders write
def family(system: str, code: str = "") -> Family | None:
    """Which family of codes a system belongs to; None where it is none that is known.

    Parameters
    ----------
    system
        An address, an OID with or without ``urn:oid:``, or a name, with or without a version after a bar.
    code
        Of the system; some publishers have one OID for each year and every table.
    """
    plain = system.split("|")[0].strip().lower().rstrip("/")
    if (address := NAMES.get(re.sub(r"[^A-Z0-9]", "", plain.upper()))) is not None:
        plain = address.lower()
    oid = plain.removeprefix("urn:oid:")
    if oid in OIDS:
        return OIDS[oid]
    if oid.startswith("2.16.840.1.113883.6.3."):
        return "icd10"
    if oid.startswith(GERMAN_TABLES):
        return "icd10" if ICD_10_CODE.fullmatch(code.strip().upper()) else None
    for part, found in PARTS:
        if part in plain:
            return found
    return "icd10" if ICD_10_NAMED.search(plain) or ICD_10_GERMAN_YEAR.fullmatch(plain) else None
