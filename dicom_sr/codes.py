"""Codes: private coding schemes as a registry, the codes of any result, and the standard codes the reports use.

Standard codes come from pydicom's dictionaries (`pydicom.sr.codedict`), never from memory. What DICOM's own content
does not hold is private, or was reviewed (`review_snomed`).

A pipeline brings its own codes: its module ``codes`` adds them to `CONDYLE` when it is imported. A third-party package
registers a scheme of its own::

    ACME = register(CodingScheme("99ACME", "2.25.1234", "Acme shoulder findings", "1"))
    TEAR = ACME.add("TEAR", "Tendon tear", "A tendon that is torn through or in part.")

A pipeline's package imports its ``codes``, so that whoever looks a pipeline up knows its codes too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr.errors import CodeConflict, EncodingError


@dataclass(frozen=True)
class PrivateCode:
    """One row of a private scheme. The meaning of a value never changes, and no value is renamed."""

    value: str  # at most 16 characters (SH), upper case
    meaning: str  # at most 64 characters (LO)
    definition: str  # one sentence
    since: str  # version of the scheme that brought it
    snomed: Code | None = None  # the same in SNOMED CT, for destinations whose profile names a licence


class CodingScheme:
    """A private coding scheme (PS3.3 C.12.1.1.3): who it is, and its codes.

    Parameters
    ----------
    designator
        CodingSchemeDesignator: ``99`` and up to 14 more characters (PS3.3 8.2).
    uid
        CodingSchemeUID.
    name
        CodingSchemeName, for people.
    version
        CodingSchemeVersion; new codes say since which version they are there.
    """

    def __init__(self, designator: str, uid: str, name: str, version: str) -> None:
        self.designator, self.uid, self.name, self.version = designator, uid, name, version
        self._codes: dict[str, PrivateCode] = {}

    @property
    def rows(self) -> tuple[PrivateCode, ...]:
        """The codes that are known so far, in the order of their values."""
        return tuple(self._codes[value] for value in sorted(self._codes))

    def __contains__(self, value: object) -> bool:
        return value in self._codes

    @property
    def values(self) -> tuple[str, ...]:
        """The values of its codes."""
        return tuple(self._codes)

    def add(self, value: str, meaning: str, definition: str, since: str = "1", snomed: Code | None = None) -> Code:
        """The code `value`, which this scheme has from now on. To add the very same row again does nothing.

        Parameters
        ----------
        value
            CodeValue, at most 16 characters, upper case.
        meaning
            CodeMeaning, at most 64 characters.
        definition
            What it means, in one sentence, for the page of codes.
        since
            The version of the scheme that brought it.
        snomed
            The code of the same meaning in SNOMED CT, for destinations whose profile names a licence.

        Raises
        ------
        CodeConflict
            If the scheme has the value with another meaning.
        ValueError
            If a data set cannot hold the value or the meaning.
        """
        if not 0 < len(value) <= 16 or value != value.upper() or not 0 < len(meaning) <= 64:
            raise ValueError(
                f"{value!r}, {meaning!r} of coding scheme {self.designator}: a value is upper case, with 1 to 16"
                " characters, and a meaning has 1 to 64"
            )
        row = PrivateCode(value, meaning, definition, since, snomed)
        known = self._codes.setdefault(value, row)
        if known != row:
            raise CodeConflict(
                f"{value} of coding scheme {self.designator} means {known.meaning!r}; it cannot also mean {meaning!r}"
            )
        return self.code(value)

    def add_spread(self, *names: Code) -> None:
        """Name the standard deviation of each of `names`, which are codes of this scheme: ``<value>-SD``.

        A number's uncertainty is a number of its own in a report. A viewer shows what a number is called and seldom
        what modifies the name, so that a deviation of the same name would be read as a second finding.
        """
        for name in names:
            row = self._codes[str(name.value)]
            self.add(
                f"{row.value}-SD",
                f"{row.meaning}, standard deviation",
                f"One standard deviation of {row.value}.",
                row.since,
            )

    def add_interval(self, *names: Code) -> None:
        """Name the ends of the interval of each of `names`, as `add_spread` does: ``<value>-LO``, ``<value>-HI``."""
        for name in names:
            row = self._codes[str(name.value)]
            for end, word in (("LO", "lower"), ("HI", "upper")):
                self.add(
                    f"{row.value}-{end}",
                    f"{row.meaning}, {word} end of interval",
                    f"The {word} end of the prediction interval of {row.value}.",
                    row.since,
                )

    def code(self, value: str) -> Code:
        """The code `value`, e.g. ``CONDYLE.code("WHY-OOD")``.

        Raises
        ------
        KeyError
            If the scheme has no such value.
        """
        return Code(value, self.designator, self._codes[value].meaning)

    def snomed(self, value: str) -> Code | None:
        """The SNOMED CT code of the same meaning, where there is one.

        Raises
        ------
        KeyError
            If the scheme has no such value.
        """
        return self._codes[value].snomed


_SCHEMES: dict[str, CodingScheme] = {}


def register(scheme: CodingScheme) -> CodingScheme:
    """Make a private scheme known to the encoders, which name it in every report that uses it.

    Raises
    ------
    CodeConflict
        If the designator or the UID is another scheme's.
    ValueError
        If the designator is not a private one.
    """
    if not scheme.designator.startswith("99") or len(scheme.designator) > 16:
        raise ValueError(f"{scheme.designator}: a private designator starts with 99 and has at most 16 characters")
    for known in _SCHEMES.values():
        if known is not scheme and known.designator == scheme.designator:
            raise CodeConflict(f"coding scheme {known.designator} is there already: {known.name}, UID {known.uid}")
        if known is not scheme and known.uid == scheme.uid:
            raise CodeConflict(f"UID {known.uid} is that of coding scheme {known.designator}, {known.name}")
    _SCHEMES[scheme.designator] = scheme
    return scheme


def schemes() -> tuple[CodingScheme, ...]:
    """All private schemes that are known, in the order in which they were registered."""
    return tuple(_SCHEMES.values())


def scheme_of(code: Code) -> CodingScheme | None:
    """The private scheme that `code` is of; None for a standard code.

    Raises
    ------
    EncodingError
        If its scheme is private and not registered, or has no such value. The message says what to do.
    """
    designator = str(code.scheme_designator)
    if not designator.startswith("99"):
        return None
    scheme = _SCHEMES.get(designator)
    if scheme is None:
        raise EncodingError(
            f"the private coding scheme {designator} of code {code.value} is not known: register it in the pipeline's"
            " package (dicom_sr.codes.register)"
        )
    if code.value not in scheme:
        raise EncodingError(
            f"coding scheme {designator} has no code {code.value}: add it in the pipeline's package (CodingScheme.add)"
        )
    return scheme


def alternatives(code: Code) -> tuple[Code, ...]:
    """The codes of a private scheme that may stand in place of `code`, itself among them.

    They are those whose values begin alike up to the first hyphen, such as all ``CLS-``; none for other codes.
    """
    scheme = _SCHEMES.get(str(code.scheme_designator))
    family, hyphen, _ = str(code.value).partition("-")
    if scheme is None or not hyphen:
        return ()
    return tuple(scheme.code(row.value) for row in scheme.rows if row.value.startswith(f"{family}-"))


def in_snomed(code: Code) -> Code:
    """The SNOMED CT code in place of a private one, else `code` itself.

    Raises
    ------
    EncodingError
        As `scheme_of`.
    """
    scheme = scheme_of(code)
    return code if scheme is None else scheme.snomed(str(code.value)) or code


CONDYLE = register(
    CodingScheme("99MSKAI", "2.25.3787649239601233827948785680827130018", "Condyle musculoskeletal findings", "1")
)


def private(value: str) -> Code:
    """The code `value` of the scheme `CONDYLE`.

    Raises
    ------
    KeyError
        If the scheme has no such value.
    """
    return CONDYLE.code(value)


# ---- private codes of any result
UNC_SD = CONDYLE.add(
    "UNC-SD", "Standard deviation of a voxel", "One standard deviation of the model's value of a voxel."
)
OOD = CONDYLE.add(
    "OOD", "Distance from the training distribution", "Larger is less like what the model was trained on."
)
ATTENTION = CONDYLE.add("ATTENTION", "Model attention", "Where the model's output depends on the image: not a lesion.")
LIMITS = CONDYLE.add("LIMITS", "Limits of this result", "What the reader must know before relying on it.")
TRAINED_ON = CONDYLE.add("TRAINED-ON", "Training data of the model", "What the model was trained on.")
INTERVAL_LOW = CONDYLE.add(
    "INTERVAL-LO", "Lower end of the prediction interval", "Derivation of a number: lower end of the value's interval."
)
INTERVAL_HIGH = CONDYLE.add(
    "INTERVAL-HI", "Upper end of the prediction interval", "Derivation of a number: upper end of the value's interval."
)
# of a number whose own scheme has no name for them
VALUE_SD = CONDYLE.add(
    "VALUE-SD", "Standard deviation of the value before", "One standard deviation of the number that stands before it."
)
VALUE_LOW = CONDYLE.add(
    "VALUE-LO", "Lower end of interval of the value before", "Lower end of the interval of the number before it."
)
VALUE_HIGH = CONDYLE.add(
    "VALUE-HI", "Upper end of interval of the value before", "Upper end of the interval of the number before it."
)
NOT_RUN = CONDYLE.add("NOT-RUN", "Analysis not performed", "A pipeline was due and did not run.")
NO_FINDING = CONDYLE.add("NO-FINDING", "No finding", "The images were analysed, and nothing is reported of them.")
NOT_EVALUABLE = CONDYLE.add("NOT-EVALUABLE", "Not evaluable", "Looked for and could not be judged.")
RESULT_OBJECTS = CONDYLE.add(
    "RESULT-OBJECTS", "Objects of this result", "The other objects of the result that a report belongs to."
)
WHY = CONDYLE.add("WHY", "Reason", "Why something could not be judged.")
WHY_NOTFOUND = CONDYLE.add("WHY-NOTFOUND", "Not found on the image", "The site was looked for and not found.")
WHY_CROPPED = CONDYLE.add(
    "WHY-CROPPED", "Outside the field of view", "The site lies outside the image, or is cut by its edge."
)
WHY_OVERLAP = CONDYLE.add(
    "WHY-OVERLAP", "Overlap or projection", "Other structures lie over the site, or it is turned."
)
WHY_QUALITY = CONDYLE.add("WHY-QUALITY", "Image quality", "Blur, noise, exposure or motion prevents the judgement.")
WHY_IMPLANT = CONDYLE.add("WHY-IMPLANT", "Implant or fusion", "Metal, a joint replacement or a surgical fusion.")
WHY_AMPUTATED = CONDYLE.add("WHY-AMPUTATED", "Absent part", "The part has been removed.")
WHY_IMMATURE = CONDYLE.add("WHY-IMMATURE", "Open growth plates", "The patient is too young for the score.")
WHY_LOWCONF = CONDYLE.add("WHY-LOWCONF", "Model confidence too low", "The model's own uncertainty is above its limit.")
WHY_OOD = CONDYLE.add("WHY-OOD", "Unlike the training data", "The input differs from what the model was trained on.")
WHY_LATERALITY = CONDYLE.add(
    "WHY-LATERALITY", "Laterality in doubt", "Image content and header disagree about the side."
)
WHY_HISTORY = CONDYLE.add("WHY-HISTORY", "Record too short", "Less history than the model needs.")
WHY_INPUT = CONDYLE.add(
    "WHY-INPUT", "Images do not meet the input contract", "Geometry, count or kind of the images is not what is needed."
)
WHY_ERROR = CONDYLE.add("WHY-ERROR", "Technical failure", "The analysis failed for a technical reason.")

# ---- private codes of what a reader says about a result: neither the Standard nor any dictionary of it has any
VERDICT = CONDYLE.add("VERDICT", "Reader's verdict", "What a reader did with a finding or an object of a result.")
ACCEPTED = CONDYLE.add("VERDICT-ACCEPTED", "Accepted", "The reader takes the finding over as it is.")
MODIFIED = CONDYLE.add("VERDICT-MODIFIED", "Modified", "The reader takes the finding over with other values.")
REJECTED = CONDYLE.add("VERDICT-REJECTED", "Rejected", "The reader does not take the finding over.")
VERDICT_REASON = CONDYLE.add("VERDICT-WHY", "Reason for the verdict", "Why a reader modified or rejected a finding.")
ASSESSED = CONDYLE.add("VERDICT-ABOUT", "Assessed objects", "The objects of a result that a reader speaks about.")
NOT_THERE = CONDYLE.add("BY-NOT-THERE", "Finding is not there", "What the result reports is not on the images.")
MISSED = CONDYLE.add("BY-MISSED", "Finding was missed", "What is on the images the result does not report.")
WRONG_VALUE = CONDYLE.add("BY-VALUE", "Value is wrong", "A number or a code of the finding is not right.")
WRONG_PLACE = CONDYLE.add("BY-PLACE", "Place or side is wrong", "The finding is reported of another place or side.")
WRONG_OUTLINE = CONDYLE.add("BY-OUTLINE", "Outline is wrong", "A segment or region does not follow the structure.")
POOR_IMAGES = CONDYLE.add("BY-IMAGES", "Images are not good enough", "The images do not bear the finding.")
NOT_RELEVANT = CONDYLE.add("BY-RELEVANCE", "Not relevant", "The finding is right and of no use for this patient.")
LEFT_OUT = CONDYLE.add("BY-LEFT-OUT", "Left out of an edited copy", "An edited copy of the result has it no more.")
DICE = CONDYLE.add("DICE", "Dice overlap", "Overlap of a segment with an edited copy of it: 0 nothing, 1 all of both.")

# ---- standard codes (every one of them is in pydicom's dictionaries)
RIGHT, LEFT, BILATERAL = standard.SCT.Right, standard.SCT.Left, Code("51440002", "SCT", "Bilateral")
LATERALITY = {"R": RIGHT, "L": LEFT, "B": BILATERAL}
HAND, FOOT, WRIST_JOINT = standard.SCT.Hand, standard.SCT.Foot, standard.SCT.WristJoint
KNEE, KNEE_JOINT, FINGER_JOINT = standard.SCT.Knee, standard.SCT.KneeJoint, standard.SCT.FingerJoint
NORMAL, ABNORMAL = standard.SCT.Normal, standard.SCT.Abnormal
STANDARD_DEVIATION = standard.SCT.StandardDeviation
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
MRI_UNSPECIFIED_BODY_REGION = Code("25056-3", "LN", "MRI unspecified body region")
SIGNAL_TO_NOISE, IMAGE_QUALITY = standard.DCM.SignalToNoise, standard.DCM.ImageQuality
SPATIAL_RESAMPLING = standard.DCM.SpatialResampling
GRAD_CAM = standard.DCM.GradientWeightedClassActivation
SALIENCY = standard.DCM.Saliency
OUTLINE = standard.DCM.Outline
SPATIAL_CONCEPT = standard.SCT.SpatialAndRelationalConcept  # category of a segment that is no anatomy, as of attention
ARTIFICIAL_INTELLIGENCE = standard.DCM.ArtificialIntelligence
SOURCE_IMAGE_FOR_PROCESSING = standard.DCM.SourceImageForImageProcessingOperation

# ---- units
NO_UNITS, PERCENT, DECIBEL = standard.UCUM.NoUnits, standard.UCUM.Percent, standard.UCUM.Decibel
RATIO, ARBITRARY_UNIT, MILLIMETRE = standard.UCUM.Ratio, standard.UCUM.ArbitraryUnit, standard.UCUM.Millimeter
YEAR = standard.UCUM.Year
# of a difference of scores. Not the unit 1: OHIF writes nothing for the value 0, so that 0 of the unit 1 reads as 1
POINTS = Code("{score}", "UCUM", "score")


def score_range(maximum: float) -> Code:
    """The unit of a score from 0 to `maximum`, in the style of the Standard's CAD templates ({0:100}, UCUM)."""
    return Code(f"{{0:{maximum:g}}}", "UCUM", f"range: 0:{maximum:g}")


def highest_score(unit: str) -> float | None:
    """The end of the scale that a unit of `score_range` names; None for any other unit."""
    found = re.fullmatch(r"\{0:(\d+(?:\.\d+)?)\}", unit)
    return float(found[1]) if found else None


FRACTION = score_range(1)  # of a probability and whatever else goes from 0 to 1; not the unit 1, as for `POINTS`


# ---- names of a number's uncertainty
def spread_of(name: Code) -> Code:
    """What the standard deviation of the number `name` is called; see `CodingScheme.add_spread`."""
    return _beside(name, "SD", VALUE_SD)


def interval_of(name: Code) -> tuple[Code, Code]:
    """What the lower and the upper end of the interval of the number `name` are called."""
    return _beside(name, "LO", VALUE_LOW), _beside(name, "HI", VALUE_HIGH)


def _beside(name: Code, what: str, without: Code) -> Code:
    scheme, value = scheme_of(name), f"{name.value}-{what}"
    return without if scheme is None or value not in scheme else scheme.code(value)


# ---- SNOMED codes outside DICOM's own content
@dataclass(frozen=True)
class ReviewedCode:
    """A SNOMED CT code outside DICOM's own content that was reviewed: where it was seen, and when."""

    code: Code
    seen: str
    reviewed: str


_REVIEWED: dict[str, ReviewedCode] = {}


def review_snomed(code: Code, seen: str, reviewed: str) -> Code:
    """`code`, which may be sent from now on.

    Parameters
    ----------
    code
        A SNOMED CT code that DICOM's own content does not hold.
    seen
        Why its meaning is trusted.
    reviewed
        Day of the review, ISO 8601.

    Raises
    ------
    CodeConflict
        If it was reviewed with another outcome.
    """
    row = ReviewedCode(code, seen, reviewed)
    known = _REVIEWED.setdefault(str(code.value), row)
    if known != row:
        raise CodeConflict(f"SNOMED CT code {code.value} was reviewed as {known.code.meaning!r} on {known.reviewed}")
    return code


def reviewed_snomed() -> tuple[ReviewedCode, ...]:
    """The SNOMED CT codes outside DICOM's own content that were reviewed, in the order of their values."""
    return tuple(_REVIEWED[value] for value in sorted(_REVIEWED))


_MULTIPLY = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
_PERMUTE = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


def verhoeff(digits: str) -> bool:
    """Whether the last digit is the right check digit, as in every SNOMED CT identifier (Verhoeff 1969)."""
    check = 0
    for position, digit in enumerate(reversed(digits)):
        check = int(_MULTIPLY[check][int(_PERMUTE[position % 8][int(digit)])])
    return check == 0


def scheme_table(scheme: CodingScheme) -> str:
    """A private scheme as Markdown: what it is, and a table of its codes."""
    lines = [
        f"Private scheme `{scheme.designator}`, {scheme.name}, version {scheme.version}, UID {scheme.uid}.",
        "The meaning of a value never changes, and no value is renamed.",
        "",
        "| value | meaning | definition | since |",
        "| --- | --- | --- | --- |",
        *(f"| {row.value} | {row.meaning} | {row.definition} | {row.since} |" for row in scheme.rows),
    ]
    return "\n".join(lines)


def reviewed_table(scheme: CodingScheme) -> str:
    """The SNOMED CT codes that were reviewed as a Markdown table, with the codes of `scheme` that they replace."""
    replaced = {str(row.snomed.value): row.value for row in scheme.rows if row.snomed is not None}
    lines = [
        "| code | meaning | why it is trusted | reviewed | in place of |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in reviewed_snomed():
        value = str(row.code.value)
        lines.append(f"| {value} | {row.code.meaning} | {row.seen} | {row.reviewed} | {replaced.get(value, '–')} |")
    return "\n".join(lines)
