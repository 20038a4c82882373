"""What is recorded how often, and what it does to the hazard: the numbers that the simulated people are made from.

They are ours, drawn up to look like life where that matters for judging a method.
"""

from __future__ import annotations

import numpy as np

from pipelines.knee_oa_risk.vocabulary import matrix_codes

CODES = matrix_codes(with_leaks=True)
ROW = {code: row for row, code in enumerate(CODES)}
INPUTS = len(matrix_codes())  # rows from here on leak

# lasting conditions: log odds at 50, per decade of age, for women, per kg/m2 above 27; visits with it per year
CHRONIC: dict[str, tuple[float, float, float, float, float]] = {
    "OBESITY": (-1.5, 0.00, 0.05, 0.38, 0.5),
    "DIABETES": (-2.3, 0.45, -0.15, 0.10, 2.0),
    "LIPIDS": (-1.4, 0.40, -0.10, 0.05, 0.9),
    "GOUT": (-3.4, 0.30, -1.10, 0.09, 0.8),
    "HYPERTENSION": (-1.0, 0.65, -0.05, 0.09, 1.6),
    "THYROID": (-2.9, 0.15, 1.20, 0.00, 0.8),
    "OA_OTHER": (-2.7, 0.70, 0.50, 0.00, 0.9),
    "RHEUMATOID": (-4.7, 0.25, 0.90, 0.00, 1.6),
    "BACK_PAIN": (-1.3, 0.12, 0.15, 0.00, 1.1),
    "SHOULDER": (-2.6, 0.20, 0.00, 0.00, 0.7),
    "FOOT_DEFORMITY": (-3.2, 0.15, 0.60, 0.00, 0.5),
    "OSTEOPOROSIS": (-3.8, 0.95, 1.50, 0.00, 0.7),
    "CORONARY": (-3.4, 0.75, -0.60, 0.00, 1.6),
    "ATRIAL_FIB": (-4.0, 0.90, -0.30, 0.00, 1.4),
    "HEART_FAILURE": (-5.0, 1.00, 0.00, 0.00, 2.2),
    "STROKE": (-4.5, 0.80, -0.10, 0.00, 1.0),
    "VARICOSE": (-2.9, 0.25, 0.60, 0.00, 0.4),
    "ASTHMA": (-2.8, 0.00, 0.20, 0.00, 1.0),
    "COPD": (-3.9, 0.60, -0.30, 0.00, 1.6),
    "CATARACT": (-4.0, 1.30, 0.15, 0.00, 0.8),
    "GLAUCOMA": (-4.2, 0.60, 0.10, 0.00, 0.9),
    "REFRACTION": (-1.6, 0.30, 0.15, 0.00, 0.5),
    "DEPRESSION": (-2.1, 0.00, 0.60, 0.00, 1.7),
    "ANXIETY": (-2.1, -0.10, 0.55, 0.00, 1.0),
    "INSOMNIA": (-2.5, 0.25, 0.35, 0.00, 0.7),
    "HEADACHE": (-2.3, -0.20, 0.70, 0.00, 0.7),
    "NEUROLOGICAL": (-3.9, 0.15, 0.00, 0.00, 1.2),
    "DEMENTIA": (-7.0, 1.50, 0.10, 0.00, 1.2),
    "REFLUX": (-1.8, 0.25, 0.10, 0.00, 0.8),
    "BOWEL": (-2.5, 0.30, 0.05, 0.00, 0.6),
    "LIVER": (-3.0, 0.25, 0.10, 0.00, 0.6),
    "KIDNEY": (-4.2, 0.90, -0.10, 0.00, 1.3),
    "PSORIASIS": (-3.7, 0.05, 0.00, 0.00, 0.7),
    "ANAEMIA": (-3.2, 0.35, 0.60, 0.00, 0.7),
    "CANCER": (-3.6, 0.80, 0.00, 0.00, 2.0),
    "SMOKING": (-1.8, -0.25, -0.30, 0.00, 0.4),
}

BMI_LINKED = tuple(code for code, row in CHRONIC.items() if row[3])

# passing conditions: episodes per year of an average user of care at 50, change per decade (log), for women (log)
ACUTE: dict[str, tuple[float, float, float]] = {
    "URI": (0.70, -0.05, 0.10),
    "BRONCHITIS": (0.15, 0.10, 0.00),
    "SINUSITIS": (0.22, -0.05, 0.15),
    "OTITIS": (0.10, 0.15, 0.00),
    "UTI": (0.08, 0.25, 1.00),
    "CONJUNCTIVA": (0.18, 0.15, 0.10),
    "DERMATITIS": (0.20, 0.05, 0.05),
    "SKIN_INFECTION": (0.10, 0.05, -0.10),
    "FRACTURE_OTHER": (0.015, 0.20, 0.20),
    "SPRAIN_OTHER": (0.09, -0.10, 0.00),
    "SOCIAL": (0.05, 0.00, 0.10),
    "OTHER_DX": (0.80, 0.12, 0.05),
    "KNEE_SPRAIN": (0.020, -0.10, 0.00),
    "KNEE_MENISCUS": (0.009, 0.05, -0.10),
    "KNEE_LIGAMENT": (0.005, -0.35, -0.20),
    "KNEE_FRACTURE": (0.002, 0.20, 0.30),
}

INJURY = {"KNEE_SPRAIN": 0.35, "KNEE_MENISCUS": 1.00, "KNEE_LIGAMENT": 1.30, "KNEE_FRACTURE": 1.20}

# lasting drugs: the condition treated, share treated; the refill is 28 days
TREATED: dict[str, tuple[str, float]] = {
    "METFORMIN": ("DIABETES", 0.70),
    "INSULIN": ("DIABETES", 0.20),
    "STATIN": ("LIPIDS", 0.55),
    "URATE_LOWERING": ("GOUT", 0.45),
    "LEVOTHYROXINE": ("THYROID", 0.65),
    "ACE_ARB": ("HYPERTENSION", 0.55),
    "BETA_BLOCKER": ("CORONARY", 0.60),
    "CALCIUM_BLOCKER": ("HYPERTENSION", 0.35),
    "DIURETIC": ("HYPERTENSION", 0.25),
    "ANTIPLATELET": ("CORONARY", 0.75),
    "ANTICOAGULANT": ("ATRIAL_FIB", 0.60),
    "HEART_OTHER": ("HEART_FAILURE", 0.35),
    "BISPHOSPHONATE": ("OSTEOPOROSIS", 0.50),
    "DMARD": ("RHEUMATOID", 0.65),
    "PPI": ("REFLUX", 0.55),
    "INHALED": ("ASTHMA", 0.60),
    "ANTIDEPRESSANT": ("DEPRESSION", 0.55),
    "BENZODIAZEPINE": ("INSOMNIA", 0.30),
    "ANTIEPILEPTIC": ("NEUROLOGICAL", 0.40),
    "EYE_DROPS": ("GLAUCOMA", 0.70),
    "GABAPENTINOID": ("BACK_PAIN", 0.06),
    "IRON_VITAMIN": ("ANAEMIA", 0.50),
}

# one-off prescriptions: the episode that calls for it, share, days of supply
PRESCRIBED: dict[str, tuple[str, float, int]] = {
    "ANTIBIOTIC": ("BRONCHITIS", 0.60, 7),
    "ANTIHISTAMINE": ("SINUSITIS", 0.50, 14),
    "TOPICAL_STEROID": ("DERMATITIS", 0.60, 14),
    "OTHER_RX": ("OTHER_DX", 0.35, 14),
    "MUSCLE_RELAXANT": ("SPRAIN_OTHER", 0.15, 7),
}

# effect on the log hazard of what the record shows
EFFECT = {
    "OA_OTHER": 0.75,
    "RHEUMATOID": 0.60,
    "GOUT": 0.40,
    "BACK_PAIN": 0.35,
    "FOOT_DEFORMITY": 0.40,
    "DIABETES": 0.20,
    "DEPRESSION": 0.25,
    "OSTEOPOROSIS": -0.40,
}

BASE = -7.75  # log hazard per year of a lean man of 30 without any of it
FAMILY_SHARE, FAMILY_EFFECT = 0.25, 0.40
OLD_INJURY_SHARE, OLD_INJURY_EFFECT = 0.10, 0.65
KL_EFFECT = np.array([0.0, 0.8, 1.6])  # of Kellgren-Lawrence grade 0, 1, 2 on an earlier radiograph
RECORDED_SHARE = {
    "bmi": 0.65,
    "kl": 0.12,
    "family": 0.40,
    "old_injury": 0.50,
    "urate": 0.30,
    "crp": 0.35,
    "hba1c": 0.35,
}
