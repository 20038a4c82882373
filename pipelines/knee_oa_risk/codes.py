"""The coded names of what this pipeline reports."""

from __future__ import annotations

from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.codes import CONDYLE, review_snomed

KNEE, PERCENT, RATIO, YEAR = codes.KNEE, codes.PERCENT, codes.RATIO, codes.YEAR
WHY_HISTORY, WHY_OOD = codes.WHY_HISTORY, codes.WHY_OOD

KNEE_OSTEOARTHRITIS = review_snomed(
    Code("239873007", "SCT", "Osteoarthritis of knee"),
    "three or more unrelated public sources agree, Synthea's records among them",
    "2026-11-22",
)

OA_RISK = CONDYLE.add(
    "OA-RISK", "Risk of knee osteoarthritis", "The group holds the model's risk of knee osteoarthritis."
)
OA_RISK_1Y = CONDYLE.add(
    "OA-RISK-1Y",
    "Risk of knee osteoarthritis within 1 year",
    "Calibrated probability of a first diagnosis within 1 year.",
)
OA_RISK_2Y = CONDYLE.add(
    "OA-RISK-2Y",
    "Risk of knee osteoarthritis within 2 years",
    "Calibrated probability of a first diagnosis within 2 years.",
)
OA_RISK_3Y = CONDYLE.add(
    "OA-RISK-3Y",
    "Risk of knee osteoarthritis within 3 years",
    "Calibrated probability of a first diagnosis within 3 years.",
)
OA_RISK_5Y = CONDYLE.add(
    "OA-RISK-5Y",
    "Risk of knee osteoarthritis within 5 years",
    "Calibrated probability of a first diagnosis within 5 years.",
)
OA_RISK_10Y = CONDYLE.add(
    "OA-RISK-10Y",
    "Risk of knee osteoarthritis within 10 years",
    "Calibrated probability of a first diagnosis within 10 years.",
)
OA_RISK_LO = CONDYLE.add(
    "OA-RISK-LO", "Lower end of the interval of the risk", "Lower end of the prediction interval of the preceding risk."
)
OA_RISK_HI = CONDYLE.add(
    "OA-RISK-HI", "Upper end of the interval of the risk", "Upper end of the prediction interval of the preceding risk."
)
OA_RISK_POP = CONDYLE.add(
    "OA-RISK-POP",
    "Risk of persons of the same age and sex",
    "What the model says for the average record of that age and sex.",
)
OA_RISK_RATIO = CONDYLE.add(
    "OA-RISK-RATIO", "Risk relative to persons of the same age and sex", "Risk over the risk of the same age and sex."
)
OA_RISK_GROUP = CONDYLE.add(
    "OA-RISK-GROUP", "Risk group", "High, moderate or low, by the limits that the report names."
)
OA_RISK_CONTRIB = CONDYLE.add(
    "OA-RISK-CONTRIB", "Contribution to the risk", "What an item of the record added to or took from the risk."
)
OA_RISK_UNKNOWN = CONDYLE.add(
    "OA-RISK-UNKNOWN",
    "Share of record codes unknown to the model",
    "Events whose code the model has no feature for, over all events.",
)
OA_RISK_HISTORY = CONDYLE.add(
    "OA-RISK-HISTORY", "Length of the record", "Time from the first event of the record to the index date."
)
OA_RISK_RPT = CONDYLE.add(
    "OA-RISK-RPT",
    "Knee osteoarthritis risk report",
    "Report of the risk of knee osteoarthritis from the patient's record.",
)

RISK_WITHIN = {1: OA_RISK_1Y, 2: OA_RISK_2Y, 3: OA_RISK_3Y, 5: OA_RISK_5Y, 10: OA_RISK_10Y}  # by years
