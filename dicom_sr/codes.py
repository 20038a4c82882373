"""Codes: the private scheme as one table, the Sharp/van der Heijde sites, and the standard codes the reports use.

Standard codes come from pydicom's dictionaries (`pydicom.sr.codedict`), never from memory. What DICOM's own content
does not hold is private (scheme `99MSKAI`), or stands in `ALLOWED_SNOMED` with who was read for it and when.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

SCHEME = "99MSKAI"
SCHEME_UID = "2.25.3787649239601233827948785680827130018"
SCHEME_NAME = "Condyle musculoskeletal findings"
SCHEME_VERSION = "1"


@dataclass(frozen=True)
class PrivateCode:
    """One row of the private scheme. A value never gets another meaning and is never renamed."""

    value: str  # at most 16 characters (SH), upper case
    meaning: str  # at most 64 characters (LO)
    definition: str
    since: str  # SCHEME_VERSION that brought it


def _row(value: str, meaning: str, definition: str, since: str = "1") -> PrivateCode:
    return PrivateCode(value, meaning, definition, since)


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
        return private(self.modifier_value)


def _hand(id_: str, meaning: str, erosion: int, jsn: int, region: Code) -> SvhSite:
    # IP1 exists on the hand and on the foot: their codes end in H and F
    return SvhSite(id_, meaning, "hand", erosion, jsn, region, f"SITE-{id_}H" if id_ == "IP1" else f"SITE-{id_}")


def _foot(id_: str, meaning: str, region: Code) -> SvhSite:
    # two bone sides of 0-5 each make 0-10 for a foot erosion
    return SvhSite(id_, meaning, "foot", 10, 4, region, f"SITE-{id_}F" if id_ == "IP1" else f"SITE-{id_}")


_SCT = standard.SCT
SCAPHOID = Code(
    "30518006", "SCT", "Scaphoid"
)  # codedict also calls it "Navicular of forefoot": always send this meaning
METACARPAL = Code("36455000", "SCT", "Metacarpal")
CARPUS = Code("8205005", "SCT", "Carpus")

# van der Heijde, J Rheumatol 2000;27:261-263: 16 erosion and 15 narrowing sites a hand, 6 and 6 a foot.
# In SNOMED the thumb is not a finger, hence "Thumb" for MCP1 and IP1.
SVH_SITES: tuple[SvhSite, ...] = (
    _hand("MCP1", "First metacarpophalangeal joint", 5, 4, _SCT.Thumb),
    _hand("MCP2", "Second metacarpophalangeal joint", 5, 4, _SCT.FingerJoint),
    _hand("MCP3", "Third metacarpophalangeal joint", 5, 4, _SCT.FingerJoint),
    _hand("MCP4", "Fourth metacarpophalangeal joint", 5, 4, _SCT.FingerJoint),
    _hand("MCP5", "Fifth metacarpophalangeal joint", 5, 4, _SCT.FingerJoint),
    _hand("PIP2", "Second proximal interphalangeal joint of hand", 5, 4, _SCT.FingerJoint),
    _hand("PIP3", "Third proximal interphalangeal joint of hand", 5, 4, _SCT.FingerJoint),
    _hand("PIP4", "Fourth proximal interphalangeal joint of hand", 5, 4, _SCT.FingerJoint),
    _hand("PIP5", "Fifth proximal interphalangeal joint of hand", 5, 4, _SCT.FingerJoint),
    _hand("IP1", "Interphalangeal joint of thumb", 5, 0, _SCT.Thumb),
    _hand("MC1B", "Base of first metacarpal", 5, 0, METACARPAL),
    _hand("MULT", "Multangular (trapezium and trapezoid as one)", 5, 0, CARPUS),
    _hand("NAV", "Navicular of hand (scaphoid)", 5, 0, SCAPHOID),
    _hand("LUN", "Lunate", 5, 0, CARPUS),
    _hand("RAD", "Distal radius", 5, 0, _SCT.DistalRadius),
    _hand("ULN", "Distal ulna", 5, 0, _SCT.DistalUlna),
    _hand("CMC3", "Third carpometacarpal joint", 0, 4, CARPUS),
    _hand("CMC4", "Fourth carpometacarpal joint", 0, 4, CARPUS),
    _hand("CMC5", "Fifth carpometacarpal joint", 0, 4, CARPUS),
    _hand("MULTNAV", "Multangular-navicular joint", 0, 4, CARPUS),
    _hand("CAPNAVLUN", "Capitate-navicular-lunate joint", 0, 4, CARPUS),
    _hand("RADCARP", "Radiocarpal joint", 0, 4, _SCT.WristJoint),
    _foot("MTP1", "First metatarsophalangeal joint", _SCT.Foot),
    _foot("MTP2", "Second metatarsophalangeal joint", _SCT.Foot),
    _foot("MTP3", "Third metatarsophalangeal joint", _SCT.Foot),
    _foot("MTP4", "Fourth metatarsophalangeal joint", _SCT.Foot),
    _foot("MTP5", "Fifth metatarsophalangeal joint", _SCT.Foot),
    _foot("IP1", "Interphalangeal joint of great toe", _SCT.Toe),
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


_SITES = {(site.limb, site.id): site for site in SVH_SITES}

TABLE: tuple[PrivateCode, ...] = (
    # ---- Sharp/van der Heijde sites
    *(
        _row(site.modifier_value, site.meaning, f"Sharp/van der Heijde site {site.id} of the {site.limb}, either side.")
        for site in SVH_SITES
    ),
    # ---- Sharp/van der Heijde scores
    _row("SVH-JOINT", "Sharp/van der Heijde joint assessed", "The group holds the scores of one site."),
    _row("SVH-SUM", "Sharp/van der Heijde sum", "The group holds sums over several sites."),
    _row("SVH-ERO", "Erosion score", "Sharp/van der Heijde erosion score of one site: 0-5, foot 0-10."),
    _row("SVH-JSN", "Joint space narrowing score", "Sharp/van der Heijde joint space narrowing of one site: 0-4."),
    _row("SVH-ERO-LIMB", "Erosion score of the limb", "Sum of the erosion scores of one hand or foot."),
    _row("SVH-JSN-LIMB", "Joint space narrowing score of the limb", "Sum of the narrowing scores of one hand or foot."),
    _row("SVH-ERO-TOTAL", "Total erosion score", "Sum of the erosion scores of all assessed sites, at most 280."),
    _row(
        "SVH-JSN-TOTAL",
        "Total joint space narrowing score",
        "Sum of the narrowing scores of all assessed sites, at most 168.",
    ),
    _row("SVH-TOTAL", "Total Sharp/van der Heijde score", "Sum of both totals over all assessed sites, at most 448."),
    _row(
        "SVH-PRORATED",
        "Prorated total Sharp/van der Heijde score",
        "Total scaled to all sites by the maxima of the assessed ones.",
    ),
    _row("SVH-ASSESSED", "Number of scores assessed", "How many erosion and narrowing scores the totals rest on."),
    _row("SVH-COMPLETE", "Completeness of the total", "Whether every site of the limbs at hand was assessed."),
    _row("SVH-PARTIAL", "Partial: not every site was assessed", "A total that leaves out at least one site."),
    _row("SVH-FULL", "Complete: every site was assessed", "A total over all sites."),
    _row("SVH-ERO-DELTA", "Change of total erosion score", "This study minus the prior, over sites assessed in both."),
    _row(
        "SVH-JSN-DELTA",
        "Change of total joint space narrowing score",
        "This study minus the prior, over sites assessed in both.",
    ),
    _row(
        "SVH-DELTA",
        "Change of total Sharp/van der Heijde score",
        "This study minus the prior, over sites assessed in both.",
    ),
    _row(
        "SVH-SDD",
        "Change against the smallest detectable difference",
        "Whether the change of the total exceeds 5.0 units.",
    ),
    _row(
        "SVH-CHANGED",
        "Change exceeds the smallest detectable difference",
        "Absolute change of the total above 5.0 units.",
    ),
    _row(
        "SVH-STABLE",
        "Change within the smallest detectable difference",
        "Absolute change of the total of 5.0 units or less.",
    ),
    _row("SVH-ERO-CHANGE", "Change of erosion score of the site", "This study minus the prior, one site."),
    _row(
        "SVH-JSN-CHANGE", "Change of joint space narrowing score of the site", "This study minus the prior, one site."
    ),
    _row("SVH-COURSE", "Course of the site", "What became of one site since the prior."),
    _row("SVH-WORSE", "Progressed by a grade or more", "A score of the site rose by 1.0 or more since the prior."),
    _row(
        "SVH-REPAIRED",
        "Seems repaired beyond what can be",
        "A score of the site fell by 2.0 or more since the prior: the two films have to be looked at together.",
    ),
    _row("SVH-NA", "Not assessable", "The site was looked for and could not be scored; it has no number."),
    _row("EROSION", "Bone erosion", "A cortical break seen on the image."),
    _row("JSN", "Joint space narrowing", "Less distance between joint surfaces than normal."),
    _row("JOINT-CONF", "Confidence of localisation", "Probability that the marked place is the named site."),
    _row("CENTRE", "Joint centre", "The point that the model took for the middle of the site."),
    # ---- super-resolution
    _row("SUPERRES", "Super-resolution along the slice axis", "Slices synthesised between acquired ones."),
    _row(
        "QA-SSIM",
        "Structural similarity after averaging back",
        "SSIM of the source and the result averaged back to source slices.",
    ),
    _row(
        "QA-PSNR",
        "Peak signal-to-noise ratio after averaging back",
        "PSNR of the source and the result averaged back to source slices.",
    ),
    _row(
        "QA-NRMSE",
        "Normalised error after averaging back",
        "RMS difference of the source and the result averaged back, over the source's range.",
    ),
    _row(
        "QA-MAE",
        "Mean absolute error after averaging back",
        "Mean absolute difference of the source and the result averaged back.",
    ),
    _row(
        "QA-SNR",
        "Signal-to-noise ratio of the result",
        "Mean of tissue over standard deviation of air or residual noise.",
    ),
    _row(
        "QA-SHARP",
        "Sharpness along the slice axis",
        "Energy above the source's slice frequency limit, result over source.",
    ),
    _row(
        "QA-CONSISTENT",
        "Consistency with the acquired slices",
        "Whether the result averaged back agrees with the source within noise.",
    ),
    _row("QA-PASS", "Within limits", "A quality figure that met its limit."),
    _row("QA-FAIL", "Outside limits", "A quality figure that missed its limit."),
    _row("QA-FACTOR", "Super-resolution factor", "Source slice spacing over result slice spacing."),
    _row("QA-SPACING", "Slice spacing of the result", "Distance between the centres of neighbouring result slices."),
    _row("QA-SLICES", "Number of result slices", "Slices of the derived series."),
    _row("QA-METHOD", "Method of the slices", "How the slices between the acquired ones were made."),
    _row(
        "METHOD-SPLINE", "Cubic spline interpolation", "Tricubic interpolation along the slice axis, no learned model."
    ),
    _row("METHOD-LEARNED", "Learned super-resolution", "A neural network made the slices."),
    _row("UNC-SD", "Standard deviation of a voxel", "One standard deviation of the model's value of a voxel."),
    _row("UNC-SD-MEAN", "Mean standard deviation of voxels", "Mean over tissue of the voxels' standard deviation."),
    # ---- classification
    _row("CLS-RA", "Rheumatoid arthritis pattern", "The pattern that the model learned for rheumatoid arthritis."),
    _row("CLS-PSA", "Psoriatic arthritis pattern", "The pattern that the model learned for psoriatic arthritis."),
    _row("CLS-HC", "Healthy pattern", "The pattern that the model learned for healthy joints."),
    _row("INDETERMINATE", "Undetermined", "The model abstains: too uncertain, or unlike what it was trained on."),
    _row("CLASS", "Class with the highest probability", "What the model would say if it did not abstain."),
    _row("PROB-RA", "Probability of rheumatoid arthritis", "Calibrated probability of the class, 0-1."),
    _row("PROB-PSA", "Probability of psoriatic arthritis", "Calibrated probability of the class, 0-1."),
    _row("PROB-HC", "Probability of healthy", "Calibrated probability of the class, 0-1."),
    _row(
        "LR-RA",
        "Likelihood ratio of rheumatoid arthritis",
        "How much likelier this answer is where the class is true than where it is not, as measured.",
    ),
    _row(
        "LR-PSA",
        "Likelihood ratio of psoriatic arthritis",
        "How much likelier this answer is where the class is true than where it is not, as measured.",
    ),
    _row(
        "LR-HC",
        "Likelihood ratio of healthy",
        "How much likelier this answer is where the class is true than where it is not, as measured.",
    ),
    _row("UNC-ENT", "Normalised predictive entropy", "Entropy of the class probabilities over its maximum, 0-1."),
    _row("UNC-EPI", "Disagreement of the ensemble", "Mutual information of prediction and model, nats."),
    _row("LAT-1", "Latent coordinate 1", "First coordinate of the case in the model's plane of known cases."),
    _row("LAT-2", "Latent coordinate 2", "Second coordinate of the case in the model's plane of known cases."),
    _row("LAT-3", "Latent coordinate 3", "Third coordinate of the case in the model's space of known cases."),
    _row("CLUSTER", "Cluster of known cases", "The group of known cases nearest to this case."),
    _row(
        "CLUSTER-RA", "Among known rheumatoid arthritis cases", "Nearest known cases are mostly rheumatoid arthritis."
    ),
    _row("CLUSTER-PSA", "Among known psoriatic arthritis cases", "Nearest known cases are mostly psoriatic arthritis."),
    _row("CLUSTER-HC", "Among known healthy cases", "Nearest known cases are mostly healthy."),
    _row("CLUSTER-MIXED", "Between known groups", "Nearest known cases are of several classes."),
    _row("CLUSTER-NONE", "Far from all known cases", "No known case is near."),
    _row("OOD", "Distance from the training distribution", "Larger is less like what the model was trained on."),
    _row("RECON-ERR", "Reconstruction error", "Error of the auto-encoder's picture of the input."),
    _row("ATTENTION", "Model attention", "Where the model's output depends on the image: not a lesion."),
    # ---- risk from the record
    _row("OA-RISK", "Risk of knee osteoarthritis", "The group holds the model's risk of knee osteoarthritis."),
    _row(
        "OA-RISK-1Y",
        "Risk of knee osteoarthritis within 1 year",
        "Calibrated probability of a first diagnosis within 1 year.",
    ),
    _row(
        "OA-RISK-2Y",
        "Risk of knee osteoarthritis within 2 years",
        "Calibrated probability of a first diagnosis within 2 years.",
    ),
    _row(
        "OA-RISK-3Y",
        "Risk of knee osteoarthritis within 3 years",
        "Calibrated probability of a first diagnosis within 3 years.",
    ),
    _row(
        "OA-RISK-5Y",
        "Risk of knee osteoarthritis within 5 years",
        "Calibrated probability of a first diagnosis within 5 years.",
    ),
    _row(
        "OA-RISK-10Y",
        "Risk of knee osteoarthritis within 10 years",
        "Calibrated probability of a first diagnosis within 10 years.",
    ),
    _row(
        "OA-RISK-LO",
        "Lower end of the interval of the risk",
        "Lower end of the prediction interval of the preceding risk.",
    ),
    _row(
        "OA-RISK-HI",
        "Upper end of the interval of the risk",
        "Upper end of the prediction interval of the preceding risk.",
    ),
    _row(
        "OA-RISK-POP",
        "Risk of persons of the same age and sex",
        "What the model says for the average record of that age and sex.",
    ),
    _row(
        "OA-RISK-RATIO",
        "Risk relative to persons of the same age and sex",
        "Risk over the risk of the same age and sex.",
    ),
    _row("OA-RISK-GROUP", "Risk group", "High, moderate or low, by the limits that the report names."),
    _row("OA-RISK-CONTRIB", "Contribution to the risk", "What an item of the record added to or took from the risk."),
    _row(
        "OA-RISK-UNKNOWN",
        "Share of record codes unknown to the model",
        "Events whose code the model has no feature for, over all events.",
    ),
    _row("OA-RISK-HISTORY", "Length of the record", "Time from the first event of the record to the index date."),
    _row(
        "OA-RISK-RPT",
        "Knee osteoarthritis risk report",
        "Report of the risk of knee osteoarthritis from the patient's record.",
    ),
    # ---- about any result
    _row("LIMITS", "Limits of this result", "What the reader must know before relying on it."),
    _row("TRAINED-ON", "Training data of the model", "What the model was trained on."),
    _row(
        "INTERVAL-LO",
        "Lower end of the prediction interval",
        "Derivation of a number: lower end of the value's interval.",
    ),
    _row(
        "INTERVAL-HI",
        "Upper end of the prediction interval",
        "Derivation of a number: upper end of the value's interval.",
    ),
    _row("NOT-RUN", "Analysis not performed", "A pipeline was due and did not run."),
    _row("NOT-EVALUABLE", "Not evaluable", "Looked for and could not be judged."),
    _row("WHY", "Reason", "Why something could not be judged."),
    _row("WHY-NOTFOUND", "Not found on the image", "The site was looked for and not found."),
    _row("WHY-CROPPED", "Outside the field of view", "The site lies outside the image, or is cut by its edge."),
    _row("WHY-OVERLAP", "Overlap or projection", "Other structures lie over the site, or it is turned."),
    _row("WHY-QUALITY", "Image quality", "Blur, noise, exposure or motion prevents the judgement."),
    _row("WHY-IMPLANT", "Implant or fusion", "Metal, a joint replacement or a surgical fusion."),
    _row("WHY-AMPUTATED", "Absent part", "The part has been removed."),
    _row("WHY-IMMATURE", "Open growth plates", "The patient is too young for the score."),
    _row("WHY-LOWCONF", "Model confidence too low", "The model's own uncertainty is above its limit."),
    _row("WHY-OOD", "Unlike the training data", "The input differs from what the model was trained on."),
    _row("WHY-LATERALITY", "Laterality in doubt", "Image content and header disagree about the side."),
    _row("WHY-HISTORY", "Record too short", "Less history than the model needs."),
    _row(
        "WHY-INPUT",
        "Images do not meet the input contract",
        "Geometry, count or kind of the images is not what is needed.",
    ),
    _row("WHY-ERROR", "Technical failure", "The analysis failed for a technical reason."),
)

_BY_VALUE = {row.value: row for row in TABLE}


def private(value: str) -> Code:
    """The private code `value`, e.g. ``private("SVH-ERO")``.

    Raises
    ------
    KeyError
        If the table has no such value.
    """
    return Code(value, SCHEME, _BY_VALUE[value].meaning)


# ---- private codes by name, for those that code asks for often
SUPERRES = private("SUPERRES")
QA_SSIM, QA_PSNR, QA_NRMSE = private("QA-SSIM"), private("QA-PSNR"), private("QA-NRMSE")
UNC_SD, UNC_SD_MEAN = private("UNC-SD"), private("UNC-SD-MEAN")
SVH_JOINT, SVH_SUM, SVH_NA = private("SVH-JOINT"), private("SVH-SUM"), private("SVH-NA")
SVH_ERO, SVH_JSN = private("SVH-ERO"), private("SVH-JSN")
SVH_ERO_LIMB, SVH_JSN_LIMB = private("SVH-ERO-LIMB"), private("SVH-JSN-LIMB")
SVH_ERO_TOTAL, SVH_JSN_TOTAL, SVH_TOTAL = private("SVH-ERO-TOTAL"), private("SVH-JSN-TOTAL"), private("SVH-TOTAL")
SVH_ERO_DELTA, SVH_JSN_DELTA, SVH_DELTA = private("SVH-ERO-DELTA"), private("SVH-JSN-DELTA"), private("SVH-DELTA")
CLS_RA, CLS_PSA, CLS_HC = private("CLS-RA"), private("CLS-PSA"), private("CLS-HC")
PROB_RA, PROB_PSA, PROB_HC = private("PROB-RA"), private("PROB-PSA"), private("PROB-HC")
INDETERMINATE, UNC_ENT, OOD, CLUSTER = private("INDETERMINATE"), private("UNC-ENT"), private("OOD"), private("CLUSTER")
OA_RISK, OA_RISK_LO, OA_RISK_HI, OA_RISK_RPT = (
    private("OA-RISK"),
    private("OA-RISK-LO"),
    private("OA-RISK-HI"),
    private("OA-RISK-RPT"),
)
INTERVAL_LOW, INTERVAL_HIGH = private("INTERVAL-LO"), private("INTERVAL-HI")
NOT_RUN, NOT_EVALUABLE, WHY = private("NOT-RUN"), private("NOT-EVALUABLE"), private("WHY")

# ---- standard codes (every one of them is in pydicom's dictionaries)
RIGHT, LEFT, BILATERAL = _SCT.Right, _SCT.Left, Code("51440002", "SCT", "Bilateral")
LATERALITY = {"R": RIGHT, "L": LEFT, "B": BILATERAL}
HAND, FOOT, WRIST_JOINT = _SCT.Hand, _SCT.Foot, _SCT.WristJoint
KNEE, KNEE_JOINT, FINGER_JOINT = _SCT.Knee, _SCT.KneeJoint, _SCT.FingerJoint
NORMAL, ABNORMAL = _SCT.Normal, _SCT.Abnormal
HIGH_RISK, MODERATE_RISK, LOW_RISK = (
    Code("15508007", "SCT", "High risk"),
    Code("25594002", "SCT", "Moderate risk"),
    Code("75976002", "SCT", "Low risk"),
)
STANDARD_DEVIATION = _SCT.StandardDeviation
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
MRI_UNSPECIFIED_BODY_REGION = Code("25056-3", "LN", "MRI unspecified body region")
SIGNAL_TO_NOISE, IMAGE_QUALITY = standard.DCM.SignalToNoise, standard.DCM.ImageQuality
SPATIAL_RESAMPLING = standard.DCM.SpatialResampling
CLASS_ACTIVATION = standard.DCM.ClassActivation
GRAD_CAM = standard.DCM.GradientWeightedClassActivation
SALIENCY = standard.DCM.Saliency
OUTLINE = standard.DCM.Outline
ARTIFICIAL_INTELLIGENCE = standard.DCM.ArtificialIntelligence
SOURCE_IMAGE_FOR_PROCESSING = standard.DCM.SourceImageForImageProcessingOperation

# ---- units
NO_UNITS, PERCENT, DECIBEL = standard.UCUM.NoUnits, standard.UCUM.Percent, standard.UCUM.Decibel
RATIO, ARBITRARY_UNIT, MILLIMETRE = standard.UCUM.Ratio, standard.UCUM.ArbitraryUnit, standard.UCUM.Millimeter
YEAR = standard.UCUM.Year


def score_range(maximum: float) -> Code:
    """The unit of a score from 0 to `maximum`, in the style of the Standard's CAD templates ({0:100}, UCUM)."""
    return Code(f"{{0:{maximum:g}}}", "UCUM", f"range: 0:{maximum:g}")


# ---- SNOMED codes outside DICOM's own content
@dataclass(frozen=True)
class AllowedCode:
    """A SNOMED code that was reviewed: where it was seen, and when."""

    code: Code
    seen: str
    reviewed: str


ALLOWED_SNOMED: tuple[AllowedCode, ...] = (
    AllowedCode(
        Code("69896004", "SCT", "Rheumatoid arthritis"), "three or more unrelated public sources agree", "2026-11-22"
    ),
    AllowedCode(
        Code("156370009", "SCT", "Psoriatic arthritis"),
        "three or more unrelated public sources agree; 33339001 is also in use",
        "2026-11-22",
    ),
    AllowedCode(
        Code("239873007", "SCT", "Osteoarthritis of knee"),
        "three or more unrelated public sources agree, Synthea's records among them",
        "2026-11-22",
    ),
)
# private code -> SNOMED code, for sites that hold a SNOMED licence and ask for it in the destination's profile
SNOMED_EQUIVALENT: dict[Code, Code] = {
    CLS_RA: ALLOWED_SNOMED[0].code,
    CLS_PSA: ALLOWED_SNOMED[1].code,
    CLS_HC: NORMAL,
}

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


def as_markdown() -> str:
    """The private scheme and the site table as the page `docs/codes.md`."""
    lines = [
        "# Codes",
        "",
        "Made from the tables in `dicom_sr/codes.py`; a test holds that this page is up to date.",
        "",
        f"Private scheme `{SCHEME}`, {SCHEME_NAME}, version {SCHEME_VERSION}, UID {SCHEME_UID}.",
        "A value never gets another meaning and is never renamed.",
        "",
        "| value | meaning | definition | since |",
        "| --- | --- | --- | --- |",
        *(f"| {row.value} | {row.meaning} | {row.definition} | {row.since} |" for row in TABLE),
        "",
        "## Sharp/van der Heijde sites",
        "",
        f"On each side: {sum(s.limb == 'hand' for s in SVH_SITES)} sites of the hand and"
        f" {sum(s.limb == 'foot' for s in SVH_SITES)} of the foot. The maxima of both sides add up to {SVH_MAXIMUM}.",
        "",
        "| limb | site | meaning | erosion | narrowing | Finding Site | Topographical modifier |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {s.limb} | {s.id} | {s.meaning} | {_range(s.erosion_maximum)} | {_range(s.jsn_maximum)} "
            f"| {s.region.value} {s.region.meaning} | {s.modifier_value} |"
            for s in SVH_SITES
        ),
        "",
        "## SNOMED CT codes outside DICOM's own content",
        "",
        "Sent only where a destination's profile says that the site holds a SNOMED licence; else the private code.",
        "",
        "| code | meaning | why it is trusted | reviewed | in place of |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {row.code.value} | {row.code.meaning} | {row.seen} | {row.reviewed} | {_replaced(row.code)} |"
            for row in ALLOWED_SNOMED
        ),
        "",
    ]
    return "\n".join(lines)


def _range(maximum: int) -> str:
    return f"0-{maximum}" if maximum else "–"


def _replaced(code: Code) -> str:
    return next((private_code.value for private_code, public in SNOMED_EQUIVALENT.items() if public == code), "–")
