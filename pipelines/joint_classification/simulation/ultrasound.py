"""Simulated B-mode ultrasound of finger joints, dorsal longitudinal view.

A metacarpophalangeal joint lies with the metacarpal to the left, the phalanx to the right, the probe above. Tissue is
a map of scatterer strength, attenuation and specular surfaces; complex scatterers are convolved with a Gaussian
point-spread function that widens with depth, attenuated, compressed and windowed (linear-systems model of speckle:
Wagner et al., IEEE Trans Sonics Ultrason 1983;30:156-163). Rheumatoid arthritis fills the dorsal recess with synovium,
lights it with Doppler and erodes the bare area; psoriatic arthritis proliferates bone at capsule and tendon insertion
and thickens the entheses; the healthy joint is smooth. Age roughens every bone, whatever the class.
"""

from __future__ import annotations

import numpy as np

from pipelines.joint_classification.classes import CLASSES, Condition
from pipelines.joint_classification.geometry import PIXEL_MM
from pipelines.joint_classification.simulation.case import Case
from pipelines.joint_classification.simulation.finger import draw_joint
from pipelines.joint_classification.simulation.scanner import machine, scan


def simulate(rng: np.random.Generator, condition: Condition, patient: int, severity: float | None = None) -> Case:
    """One joint of one patient.

    Parameters
    ----------
    rng
        Draws everything.
    condition
        Class of the joint.
    patient
        Number that the cases get.
    severity
        0..1; if None, drawn so that early disease, which is hard to see, is common.
    """
    age, female, severity = _person(rng, condition, severity)
    tissue = draw_joint(rng, condition, severity, age)
    image = scan(rng, tissue, machine(rng))
    return Case(image, condition, severity, tissue.lesion, patient, age, female, (PIXEL_MM, PIXEL_MM))


def _person(rng: np.random.Generator, condition: Condition, severity: float | None) -> tuple[float, bool, float]:
    """Age, whether female, and severity where it is not given."""
    # RA and PsA patients are older than healthy controls in the published cohort (45 / 55 / 52 years): a confounder
    mean_age = {"healthy": 45.0, "ra": 55.0, "psa": 52.0}[condition]
    age = float(np.clip(rng.normal(mean_age, 12.0), 20.0, 88.0))
    female = bool(rng.random() < {"healthy": 0.56, "ra": 0.69, "psa": 0.52}[condition])
    if condition == "healthy":
        return age, female, 0.0
    return age, female, float(rng.beta(1.6, 1.6)) if severity is None else severity


def patients(seed: int, number: int) -> list[Case]:
    """A cohort of `number` patients with one to three joints each, classes as frequent as in the published cohort."""
    rng = np.random.default_rng(seed)
    cases = []
    for patient in range(number):
        condition = CLASSES[int(rng.choice(3, p=(0.30, 0.40, 0.30)))]
        severity = None if condition == "healthy" else float(rng.beta(1.6, 1.6))
        for _ in range(int(rng.integers(1, 4))):
            shifted = None if severity is None else float(np.clip(severity + rng.normal(0, 0.12), 0.05, 1.0))
            cases.append(simulate(rng, condition, patient, shifted))
    return cases


def rescans(
    rng: np.random.Generator, condition: Condition, patient: int, severity: float | None, number: int
) -> list[Case]:
    """Scans of one joint: its anatomy once; scanner, settings and speckle new for each.

    Parameters
    ----------
    rng
        Draws everything.
    condition
        Class of the joint.
    patient
        Number that the cases get.
    severity
        0..1; drawn if None.
    number
        Of scans.
    """
    anatomy = int(rng.integers(2**32))
    cases = []
    for _ in range(number):
        again = np.random.default_rng(anatomy)
        age, female, drawn = _person(again, condition, severity)
        tissue = draw_joint(again, condition, drawn, age)
        image = scan(rng, tissue, machine(rng))
        cases.append(Case(image, condition, drawn, tissue.lesion, patient, age, female, (PIXEL_MM, PIXEL_MM)))
    return cases
