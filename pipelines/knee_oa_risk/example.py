"""An example of this pipeline's result: a made-up risk and what drove it, from a made-up record."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np

from dicom_sr import phantoms
from pipelines.context import ClinicalContext, CodedEvent
from pipelines.example import SIMULATED, Example, made_up_model, only_study
from pipelines.knee_oa_risk import SERIES_BASE, KneeOaRisk
from pipelines.knee_oa_risk.assess import answered
from pipelines.knee_oa_risk.explain import Attribution
from pipelines.knee_oa_risk.matrix import STATIC_NAMES, PatientRecord, from_context
from pipelines.knee_oa_risk.model import EnsembleDescription, Risk, RiskCalibration
from pipelines.knee_oa_risk.vocabulary import matrix_codes
from pipelines.knee_oa_risk.window import WEEKS

INDEX_DATE = date(2026, 11, 20)
ICD_10, LOINC = "http://hl7.org/fhir/sid/icd-10", "http://loinc.org"
# code, days before the index date: of each one a visit
DIAGNOSES = (
    ("E66.9", (1010, 700, 420)),
    ("I10", (1040, 880, 610, 400, 210)),
    ("M54.5", (960, 930, 540)),
    ("S83.2", (800,)),
    ("Z50.1", (770, 763, 756)),
)
# what a cell of a code, filled to the full, adds to the risk at the last horizon
SHARE = {"OBESITY": 0.05, "HYPERTENSION": 0.008, "BACK_PAIN": 0.02, "KNEE_MENISCUS": 0.25, "PHYSIOTHERAPY": -0.03}
RISK = ((0.021, 0.013, 0.034), (0.074, 0.048, 0.112), (0.158, 0.104, 0.231))  # at each horizon, with its interval
PEERS = ((0.003, 0.005, 0.008, 0.013, 0.024), (0.012, 0.019, 0.031, 0.049, 0.083), (0.028, 0.043, 0.068, 0.104, 0.166))
STATIC = {"bmi": 0.031, "visits": -0.006}


def example(folder: Path) -> Example:
    """A knee study with the risk of knee osteoarthritis that a made-up record gives.

    Parameters
    ----------
    folder
        Where the simulated study is written.
    """
    header = phantoms.study_header(phantoms.Person("SIM-0004", sex="F"), "knee-risk", "SIMULATED KNEE MR")
    study = only_study(phantoms.write_knee_mr(folder, header, (6, 64, 64), (4.0, 2.5, 2.5)))
    context = _context()
    risk = Risk(*(np.array([row]) for row in zip(*RISK, strict=True)))
    model = made_up_model(KneeOaRisk.name, SERIES_BASE)
    why = _attribution(from_context(context))
    return Example(study, answered(model, KneeOaRisk.title, _card(), None, study, context, risk, why), context)


def _context() -> ClinicalContext:
    events = [
        CodedEvent("condition", ICD_10, code, INDEX_DATE - timedelta(days=days))
        for code, visits in DIAGNOSES
        for days in visits
    ]
    events.append(
        CodedEvent("observation", LOINC, "39156-5", INDEX_DATE - timedelta(days=420), value=31.2, unit="kg/m2")
    )
    return ClinicalContext(INDEX_DATE, date(1968, 2, 29), "F", tuple(events), "simulated")


def _attribution(record: PatientRecord) -> Attribution:
    """Made-up shares for the codes and values that the record holds."""
    share = np.array([SHARE.get(code, 0.0) for code in matrix_codes()])
    cells = np.zeros((record.batch.rows, WEEKS))
    cells[record.batch.row, record.batch.week] = record.batch.value * share[record.batch.row]
    static = np.array([STATIC.get(name, 0.0) for name in STATIC_NAMES])
    start = 0.062
    return Attribution(cells, static, start, start + float(cells.sum() + static.sum()))


def _card() -> EnsembleDescription:
    peers = [{"sex": "F", "youngest": 55, "words": "women", "ages": [55, 59], "persons": 100, "quantiles": PEERS}]
    return EnsembleDescription(
        codes=0,
        values=len(STATIC_NAMES),
        members=0,
        seed=0,
        persons=0,
        vocabulary="",
        calibration=RiskCalibration(),
        interval_scale=(),
        interval_floor=0.0,
        peers=peers,
        trained_on=SIMULATED,
        people="made-up ",
        limit="No model was asked: every number is made up.",
    )
