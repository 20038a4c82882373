"""The coded names of what this pipeline reports."""

from __future__ import annotations

from dicom_sr import codes
from dicom_sr.codes import CONDYLE

FOOT, HAND, SALIENCY = codes.FOOT, codes.HAND, codes.SALIENCY
NO_UNITS, POINTS = codes.NO_UNITS, codes.POINTS

SVH_JOINT = CONDYLE.add("SVH-JOINT", "Sharp/van der Heijde joint assessed", "The group holds the scores of one site.")
SVH_SUM = CONDYLE.add("SVH-SUM", "Sharp/van der Heijde sum", "The group holds sums over several sites.")
SVH_ERO = CONDYLE.add("SVH-ERO", "Erosion score", "Sharp/van der Heijde erosion score of one site: 0-5, foot 0-10.")
SVH_JSN = CONDYLE.add(
    "SVH-JSN", "Joint space narrowing score", "Sharp/van der Heijde joint space narrowing of one site: 0-4."
)
SVH_ERO_LIMB = CONDYLE.add(
    "SVH-ERO-LIMB", "Erosion score of the limb", "Sum of the erosion scores of one hand or foot."
)
SVH_JSN_LIMB = CONDYLE.add(
    "SVH-JSN-LIMB", "Joint space narrowing score of the limb", "Sum of the narrowing scores of one hand or foot."
)
SVH_ERO_TOTAL = CONDYLE.add(
    "SVH-ERO-TOTAL", "Total erosion score", "Sum of the erosion scores of all assessed sites, at most 280."
)
SVH_JSN_TOTAL = CONDYLE.add(
    "SVH-JSN-TOTAL",
    "Total joint space narrowing score",
    "Sum of the narrowing scores of all assessed sites, at most 168.",
)
SVH_TOTAL = CONDYLE.add(
    "SVH-TOTAL", "Total Sharp/van der Heijde score", "Sum of both totals over all assessed sites, at most 448."
)
SVH_PRORATED = CONDYLE.add(
    "SVH-PRORATED",
    "Prorated total Sharp/van der Heijde score",
    "Total scaled to all sites by the maxima of the assessed ones.",
)
SVH_ASSESSED = CONDYLE.add(
    "SVH-ASSESSED", "Number of scores assessed", "How many erosion and narrowing scores the totals rest on."
)
SVH_COMPLETE = CONDYLE.add(
    "SVH-COMPLETE", "Completeness of the total", "Whether every site of the limbs at hand was assessed."
)
SVH_PARTIAL = CONDYLE.add(
    "SVH-PARTIAL", "Partial: not every site was assessed", "A total that leaves out at least one site."
)
SVH_FULL = CONDYLE.add("SVH-FULL", "Complete: every site was assessed", "A total over all sites.")
SVH_ERO_DELTA = CONDYLE.add(
    "SVH-ERO-DELTA", "Change of total erosion score", "This study minus the prior, over sites assessed in both."
)
SVH_JSN_DELTA = CONDYLE.add(
    "SVH-JSN-DELTA",
    "Change of total joint space narrowing score",
    "This study minus the prior, over sites assessed in both.",
)
SVH_DELTA = CONDYLE.add(
    "SVH-DELTA",
    "Change of total Sharp/van der Heijde score",
    "This study minus the prior, over sites assessed in both.",
)
SVH_SDD = CONDYLE.add(
    "SVH-SDD", "Change against the smallest detectable difference", "Whether the change of the total exceeds 5.0 units."
)
SVH_CHANGED = CONDYLE.add(
    "SVH-CHANGED", "Change exceeds the smallest detectable difference", "Absolute change of the total above 5.0 units."
)
SVH_STABLE = CONDYLE.add(
    "SVH-STABLE",
    "Change within the smallest detectable difference",
    "Absolute change of the total of 5.0 units or less.",
)
SVH_ERO_CHANGE = CONDYLE.add(
    "SVH-ERO-CHANGE", "Change of erosion score of the site", "This study minus the prior, one site."
)
SVH_JSN_CHANGE = CONDYLE.add(
    "SVH-JSN-CHANGE", "Change of joint space narrowing score of the site", "This study minus the prior, one site."
)
SVH_COURSE = CONDYLE.add("SVH-COURSE", "Course of the site", "What became of one site since the prior.")
SVH_WORSE = CONDYLE.add(
    "SVH-WORSE", "Progressed by a grade or more", "A score of the site rose by 1.0 or more since the prior."
)
SVH_REPAIRED = CONDYLE.add(
    "SVH-REPAIRED",
    "Seems repaired beyond what can be",
    "A score of the site fell by 2.0 or more since the prior: the two films have to be looked at together.",
)
SVH_NA = CONDYLE.add("SVH-NA", "Not assessable", "The site was looked for and could not be scored; it has no number.")
EROSION = CONDYLE.add("EROSION", "Bone erosion", "A cortical break seen on the image.")
JSN = CONDYLE.add("JSN", "Joint space narrowing", "Less distance between joint surfaces than normal.")
JOINT_CONF = CONDYLE.add(
    "JOINT-CONF", "Confidence of localisation", "Probability that the marked place is the named site."
)
CENTRE = CONDYLE.add("CENTRE", "Joint centre", "The point that the model took for the middle of the site.")

# ---- how sure the scores are
_TOTALS = (SVH_ERO_LIMB, SVH_JSN_LIMB, SVH_ERO_TOTAL, SVH_JSN_TOTAL, SVH_TOTAL)
CONDYLE.add_spread(SVH_ERO, SVH_JSN, *_TOTALS)
CONDYLE.add_interval(*_TOTALS)
