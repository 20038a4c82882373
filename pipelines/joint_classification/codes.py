"""The coded names of what this pipeline reports."""

from __future__ import annotations

from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.codes import CONDYLE, review_snomed

FINGER_JOINT, GRAD_CAM, SALIENCY = codes.FINGER_JOINT, codes.GRAD_CAM, codes.SALIENCY
SPATIAL_CONCEPT = codes.SPATIAL_CONCEPT
FRACTION, NO_UNITS, OOD, RATIO = codes.FRACTION, codes.NO_UNITS, codes.OOD, codes.RATIO
WHY, WHY_INPUT, WHY_LOWCONF, WHY_OOD = codes.WHY, codes.WHY_INPUT, codes.WHY_LOWCONF, codes.WHY_OOD

RHEUMATOID_ARTHRITIS = review_snomed(
    Code("69896004", "SCT", "Rheumatoid arthritis"), "three or more unrelated public sources agree", "2026-11-22"
)
PSORIATIC_ARTHRITIS = review_snomed(
    Code("156370009", "SCT", "Psoriatic arthritis"),
    "three or more unrelated public sources agree; 33339001 is also in use",
    "2026-11-22",
)

CLS_RA = CONDYLE.add(
    "CLS-RA",
    "Rheumatoid arthritis pattern",
    "The pattern that the model learned for rheumatoid arthritis.",
    snomed=RHEUMATOID_ARTHRITIS,
)
CLS_PSA = CONDYLE.add(
    "CLS-PSA",
    "Psoriatic arthritis pattern",
    "The pattern that the model learned for psoriatic arthritis.",
    snomed=PSORIATIC_ARTHRITIS,
)
CLS_HC = CONDYLE.add(
    "CLS-HC", "Healthy pattern", "The pattern that the model learned for healthy joints.", snomed=codes.NORMAL
)
INDETERMINATE = CONDYLE.add(
    "INDETERMINATE", "Undetermined", "The model abstains: too uncertain, or unlike what it was trained on."
)
CLASS = CONDYLE.add("CLASS", "Class with the highest probability", "What the model would say if it did not abstain.")
PROB_RA = CONDYLE.add("PROB-RA", "Probability of rheumatoid arthritis", "Calibrated probability of the class, 0-1.")
PROB_PSA = CONDYLE.add("PROB-PSA", "Probability of psoriatic arthritis", "Calibrated probability of the class, 0-1.")
PROB_HC = CONDYLE.add("PROB-HC", "Probability of healthy", "Calibrated probability of the class, 0-1.")
LR_RA = CONDYLE.add(
    "LR-RA",
    "Likelihood ratio of rheumatoid arthritis",
    "How much likelier this answer is where the class is true than where it is not, as measured.",
)
LR_PSA = CONDYLE.add(
    "LR-PSA",
    "Likelihood ratio of psoriatic arthritis",
    "How much likelier this answer is where the class is true than where it is not, as measured.",
)
LR_HC = CONDYLE.add(
    "LR-HC",
    "Likelihood ratio of healthy",
    "How much likelier this answer is where the class is true than where it is not, as measured.",
)
UNC_ENT = CONDYLE.add(
    "UNC-ENT", "Normalised predictive entropy", "Entropy of the class probabilities over its maximum, 0-1."
)
UNC_EPI = CONDYLE.add("UNC-EPI", "Disagreement of the ensemble", "Mutual information of prediction and model, nats.")
LAT_1 = CONDYLE.add("LAT-1", "Latent coordinate 1", "First coordinate of the case in the model's plane of known cases.")
LAT_2 = CONDYLE.add(
    "LAT-2", "Latent coordinate 2", "Second coordinate of the case in the model's plane of known cases."
)
LAT_3 = CONDYLE.add("LAT-3", "Latent coordinate 3", "Third coordinate of the case in the model's space of known cases.")
CLUSTER = CONDYLE.add("CLUSTER", "Cluster of known cases", "The group of known cases nearest to this case.")
CLUSTER_RA = CONDYLE.add(
    "CLUSTER-RA", "Among known rheumatoid arthritis cases", "Nearest known cases are mostly rheumatoid arthritis."
)
CLUSTER_PSA = CONDYLE.add(
    "CLUSTER-PSA", "Among known psoriatic arthritis cases", "Nearest known cases are mostly psoriatic arthritis."
)
CLUSTER_HC = CONDYLE.add("CLUSTER-HC", "Among known healthy cases", "Nearest known cases are mostly healthy.")
CLUSTER_MIXED = CONDYLE.add("CLUSTER-MIXED", "Between known groups", "Nearest known cases are of several classes.")
CLUSTER_NONE = CONDYLE.add("CLUSTER-NONE", "Far from all known cases", "No known case is near.")
RECON_ERR = CONDYLE.add("RECON-ERR", "Reconstruction error", "Error of the auto-encoder's picture of the input.")

# by the key of a class
CLASSES = {"RA": CLS_RA, "PSA": CLS_PSA, "HC": CLS_HC}
PROBABILITIES = {"RA": PROB_RA, "PSA": PROB_PSA, "HC": PROB_HC}
LIKELIHOOD_RATIOS = {"RA": LR_RA, "PSA": LR_PSA, "HC": LR_HC}
CLUSTERS = {"RA": CLUSTER_RA, "PSA": CLUSTER_PSA, "HC": CLUSTER_HC}
LATENT = (LAT_1, LAT_2, LAT_3)

# how sure the numbers are
CONDYLE.add_interval(*PROBABILITIES.values(), *LIKELIHOOD_RATIOS.values())
