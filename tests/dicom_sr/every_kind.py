"""A result with every kind of object on a knee study, whatever the pipelines make of such.

It has segments on thin slices, and a finding of a coding scheme that is somebody else's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.sr.codedict import codes as standard

from dicom_sr import codes, phantoms
from dicom_sr.findings import Flag, Segment
from dicom_sr.read.stacks import stacks
from pipelines.example import SIMULATED, Example, made_up_model, only_study
from tests.factories import knee_result

NAME = "every_kind"
ACME = codes.register(codes.CodingScheme("99ACME", "2.25.271828", "Acme shoulder findings", "3"))
TEAR = ACME.add("TEAR", "Tendon tear", "A tendon that is torn through or in part.", since="3")


def every_kind(folder: Path, shape: tuple[int, int, int] = (20, 128, 128)) -> Example:
    """A knee with slices doubled, a bright spot in its bone as a segment, and a slice to look at first."""
    header = phantoms.study_header(phantoms.Person("SIM-0006"), "every-kind", "SIMULATED KNEE MR")
    study = only_study(phantoms.write_knee_mr(folder, header, shape))
    result = knee_result(study, made_up_model("tests"))
    thin = result.derived[0].volume
    array = np.asarray(thin.array)
    spot = Segment(
        "Bright spot in bone",
        standard.SCT.MorphologicallyAbnormalStructure,
        codes.ABNORMAL,
        thin.with_array(array > 0.9 * array.max()),
    )
    middle = stacks(study.series[0])[0].references[shape[0] // 2]
    flag = Flag(middle, "Middle slice: compare with the derived series.")
    torn = replace(result.findings[0], tracking_id="Tendon", finding=TEAR)
    findings = (*result.findings, torn)
    return Example(study, replace(result, findings=findings, segments=(spot,), flags=(flag,), limits=(SIMULATED,)))
