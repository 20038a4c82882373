"""Simulated B-mode ultrasound of finger joints, dorsal longitudinal view.

A metacarpophalangeal joint lies with the metacarpal to the left, the phalanx to the right, the probe above. Tissue is
a map of scatterer strength, attenuation and specular surfaces; complex scatterers are convolved with a Gaussian
point-spread function that widens with depth, attenuated, compressed and windowed (linear-systems model of speckle:
Wagner et al., IEEE Trans Sonics Ultrason 1983;30:156-163). Rheumatoid arthritis fills the dorsal recess with synovium,
lights it with Doppler and erodes the bare area; psoriatic arthritis proliferates bone at capsule and tendon insertion
and thickens the entheses; the healthy joint is smooth. Age roughens every bone, whatever the class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.joint_classification.simulation import CLASSES, Case, Condition

HEIGHT, WIDTH = 128, 160  # rows (depth), columns (along the finger)
PIXEL_MM = 0.16  # both ways: 20 mm deep, 26 mm long
FULL_SCALE = 22.0  # amplitude that is white at gain 0: bone facing the beam

UnknownKind = Literal[
    "gout", "osteoarthritis", "knee", "hip", "elbow", "tendon", "muscle", "vessel", "noise", "inverted", "blank"
]
UNKNOWN_KINDS: tuple[UnknownKind, ...] = (
    "gout",
    "osteoarthritis",
    "knee",
    "hip",
    "elbow",
    "tendon",
    "muscle",
    "vessel",
    "noise",
    "inverted",
    "blank",
)

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Machine:
    """How a scanner shows what it hears."""

    axial_mm: float  # standard deviation of the point spread along the beam
    lateral_mm: float  # and across it, at the focus
    focus_mm: float
    dynamic_range_db: float
    gain_db: float
    attenuation_db_per_mm: float  # two-way, after time-gain compensation
    noise_db: float  # electronic noise, relative to full scale


@dataclass
class Tissue:
    """Maps over (H, W) that the scanner model reads."""

    scatter: Array  # standard deviation of the scatterers, 1 = subcutaneous fat
    specular: Array  # amplitude of surfaces that reflect like mirrors
    shadow: Array  # 0 open to the beam, 1 in the shadow of bone
    doppler: (
        Array  # 0..1 flow, shown as the grey value of a colour overlay (the colour is taken out before the network)
    )
    lesion: NDArray[np.bool_]


def simulate(rng: np.random.Generator, condition: Condition, patient: int, severity: float | None = None) -> Case:
    """One joint of one patient.

    Parameters
    ----------
    severity
        0..1, None: drawn so that early disease, which is hard to see, is common.
    """
    age, female, severity = _person(rng, condition, severity)
    tissue = _joint(rng, condition, severity, age)
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


def simulate_unknown(rng: np.random.Generator, kind: UnknownKind, patient: int) -> Case:
    """Something that is none of the three classes: the classifier is to refuse it."""
    image = _UNKNOWN[kind](rng)
    none = np.zeros((HEIGHT, WIDTH), bool)
    age = float(np.clip(rng.normal(58.0, 14.0), 20.0, 88.0))
    return Case(image, None, 0.0, none, patient, age, bool(rng.random() < 0.5), (PIXEL_MM, PIXEL_MM), kind)


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
    """`number` scans of one joint: its anatomy once; scanner, settings and speckle new for each."""
    anatomy = int(rng.integers(2**32))
    cases = []
    for _ in range(number):
        again = np.random.default_rng(anatomy)
        age, female, drawn = _person(again, condition, severity)
        tissue = _joint(again, condition, drawn, age)
        image = scan(rng, tissue, machine(rng))
        cases.append(Case(image, condition, drawn, tissue.lesion, patient, age, female, (PIXEL_MM, PIXEL_MM)))
    return cases


def machine(rng: np.random.Generator) -> Machine:
    """A scanner and its settings."""
    return Machine(
        axial_mm=float(rng.uniform(0.07, 0.14)),
        lateral_mm=float(rng.uniform(0.14, 0.32)),
        focus_mm=float(rng.uniform(6.0, 14.0)),
        dynamic_range_db=float(rng.uniform(46.0, 62.0)),
        gain_db=float(rng.normal(3.0, 4.0)),
        attenuation_db_per_mm=float(rng.uniform(-0.1, 0.6)),
        noise_db=float(rng.uniform(-62.0, -48.0)),
    )


# ---- anatomy
@dataclass(frozen=True)
class Bones:
    """The dorsal bone surface: depth in mm for every column, NaN in the joint gap."""

    surface_mm: Array  # (W,)
    head_left_mm: float  # where the metacarpal head rises from the neck: the bare area
    head_top_mm: float
    gap_mm: float  # middle of the joint space
    base_mm: float  # where the phalanx is highest
    x_mm: Array  # (W,) position along the finger


def _bones(rng: np.random.Generator, age: float) -> Bones:
    x = np.arange(WIDTH) * PIXEL_MM
    gap = float(rng.uniform(14.0, 18.0))
    gap_width = float(rng.uniform(0.9, 1.6))
    depth = float(rng.uniform(5.0, 7.5))
    head_width = float(rng.uniform(5.5, 7.0))
    head_height = float(rng.uniform(1.6, 2.6))
    base_height = head_height * float(rng.uniform(0.55, 0.8))
    tilt = float(rng.normal(0.0, 0.03))
    top = gap - gap_width / 2 - head_width / 2
    neck = depth + head_height
    head = head_height * np.exp(-(np.abs((x - top) / (head_width / 2)) ** 2.6))
    base_top = gap + gap_width / 2 + 1.6
    base = base_height * np.exp(-(np.abs((x - base_top) / float(rng.uniform(2.2, 3.0))) ** 2.2))
    surface = neck - np.where(x < gap, head, base) + tilt * (x - gap) + np.where(x > gap, 0.3, 0.0)
    # bone is never a spline: low waves, and with age small steps
    rough = ndimage.gaussian_filter1d(rng.standard_normal(WIDTH), 6.0) * 0.14
    rough += ndimage.gaussian_filter1d(rng.standard_normal(WIDTH), 2.0) * 0.06 * max(0.0, age - 40.0) / 40.0
    surface = surface + rough
    surface[np.abs(x - gap) < gap_width / 2] = np.nan
    return Bones(surface, top - head_width / 2, top, gap, base_top, x)


def _joint(rng: np.random.Generator, condition: Condition, severity: float, age: float) -> Tissue:
    """Tissue of a metacarpophalangeal joint with the changes of `condition`."""
    bones = _bones(rng, age)
    surface = bones.surface_mm.copy()
    lesion = np.zeros((HEIGHT, WIDTH), bool)
    z = np.arange(HEIGHT)[:, None] * PIXEL_MM  # (H, 1) depth
    if condition == "psa":
        surface = _proliferate(rng, bones, surface, severity, lesion, z)
    # every older joint has a spur or two at the margin of the cartilage: smaller, rounder, on the head
    if rng.random() < (age - 35.0) / 90.0:
        surface = _spur(surface, bones.x_mm, bones.head_top_mm + rng.uniform(-1.0, 2.0), rng.uniform(0.2, 0.5), 0.5)
    tissue = _soft_tissue(rng, bones, surface, z)
    tissue.lesion |= lesion
    synovium = {"healthy": 0.0, "ra": 0.35 + 1.9 * severity, "psa": 0.15 + 0.9 * severity}[condition]
    effusion = float(rng.uniform(0.0, 0.5)) if rng.random() < 0.35 else 0.0  # a little fluid is normal
    _fill_recess(rng, tissue, bones, surface, z, synovium, effusion, condition == "ra")
    if condition == "ra":
        _erode(rng, tissue, bones, surface, severity, z)
    if condition == "psa":
        _thicken_enthesis(rng, tissue, bones, surface, severity, z)
    return tissue


def _soft_tissue(rng: np.random.Generator, bones: Bones, surface: Array, z: Array) -> Tissue:
    """Skin, fat, extensor tendon, joint capsule, cartilage, bone and what lies in its shadow."""
    x = bones.x_mm[None, :]
    filled = np.where(np.isnan(surface), np.nanmax(surface) + 1.5, surface)[None, :]
    skin = float(rng.uniform(0.8, 2.2)) + 0.15 * np.sin(x / 9.0 + rng.uniform(0, 6))
    skin_thick = float(rng.uniform(0.7, 1.2))
    scatter = np.full((HEIGHT, WIDTH), 0.02)  # gel above the skin
    scatter = np.where(z > skin, 3.5, scatter)
    scatter = np.where(z > skin + skin_thick, float(rng.uniform(0.45, 0.9)), scatter)
    smooth = ndimage.gaussian_filter1d(np.broadcast_to(filled, (1, WIDTH)), 14.0, axis=1)
    tendon_top = smooth - float(rng.uniform(2.6, 3.4))
    tendon_thick = float(rng.uniform(0.9, 1.4))
    fibres = 2.4 + 1.8 * np.sin(
        (z - tendon_top) * 2 * np.pi / 0.42
        + ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), (3, 18)) * 9.0
    )
    anisotropy = float(rng.uniform(0.45, 1.0))  # a tilted probe turns the tendon dark
    tendon = (z > tendon_top) & (z < tendon_top + tendon_thick)
    scatter = np.where(tendon, fibres * anisotropy, scatter)
    capsule = (z > tendon_top + tendon_thick) & (z < filled)
    scatter = np.where(capsule, float(rng.uniform(0.8, 1.5)), scatter)
    cartilage_on = (np.abs(x - bones.head_top_mm) < 3.2) & (z > filled - float(rng.uniform(0.3, 0.6))) & (z < filled)
    scatter = np.where(cartilage_on, 0.05, scatter)
    below = z > filled
    gap = np.isnan(surface)[None, :] & np.ones((HEIGHT, 1), bool)
    scatter = np.where(below & ~gap, 0.03, scatter)
    scatter = np.where(
        below & gap, 0.6 * np.exp(-(z - filled) / 1.6) + 0.02, scatter
    )  # little comes back from deep in the gap
    tissue = Tissue(
        scatter,
        np.zeros((HEIGHT, WIDTH)),
        np.zeros((HEIGHT, WIDTH)),
        np.zeros((HEIGHT, WIDTH)),
        np.zeros((HEIGHT, WIDTH), bool),
    )
    _reflect(rng, tissue, surface)
    for depth, strength in ((skin, 5.0), (skin + skin_thick, 2.0), (tendon_top, 2.5), (tendon_top + tendon_thick, 2.0)):
        rows = np.round(np.broadcast_to(depth, (1, WIDTH))[0] / PIXEL_MM).astype(int)
        inside = (rows >= 0) & (rows < HEIGHT)
        tissue.specular[rows[inside], np.arange(WIDTH)[inside]] += strength * rng.uniform(0.5, 1.0)
    return tissue


def _reflect(rng: np.random.Generator, tissue: Tissue, surface: Array) -> None:
    """The bright bone line, dimmer where the surface leans away from the beam, and the shadow under it."""
    filled = np.where(np.isnan(surface), 1e3, surface)
    slope = np.gradient(np.where(np.isnan(surface), np.nanmean(surface), surface), PIXEL_MM)
    lean = np.arctan(slope) - float(rng.normal(0.0, 0.06))  # probe angle
    strength = 28.0 * np.exp(-((lean / 0.5) ** 2)) + 4.0
    rows = np.round(filled / PIXEL_MM).astype(int)
    inside = (rows >= 0) & (rows < HEIGHT)
    columns = np.arange(WIDTH)[inside]
    tissue.specular[rows[inside], columns] += strength[inside] * rng.uniform(0.6, 1.1, columns.size)
    tissue.shadow = np.maximum(tissue.shadow, np.arange(HEIGHT)[:, None] > rows[None, :] + 1)


def _fill_recess(
    rng: np.random.Generator,
    tissue: Tissue,
    bones: Bones,
    surface: Array,
    z: Array,
    synovium_mm: float,
    effusion_mm: float,
    is_ra: bool,
) -> None:
    """Lift the capsule over the neck: hypoechoic synovium, anechoic fluid, and flow in inflamed synovium."""
    x = bones.x_mm[None, :]
    filled = np.where(np.isnan(surface), np.nanmax(surface), surface)[None, :]
    centre = bones.head_left_mm + float(rng.uniform(-0.4, 0.8))
    spread = np.exp(-(((x - centre) / float(rng.uniform(2.6, 3.4))) ** 2))
    spread = spread + 0.55 * np.exp(-(((x - bones.gap_mm) / 1.8) ** 2))  # and over the joint line
    thick = (synovium_mm + effusion_mm) * spread * (1.0 + 0.15 * rng.standard_normal())
    inside = (z < filled) & (z > filled - thick)
    fluid = inside & (z > filled - thick * effusion_mm / max(synovium_mm + effusion_mm, 1e-6))
    tissue.scatter = np.where(inside, float(rng.uniform(0.1, 0.2)), tissue.scatter)
    tissue.scatter = np.where(fluid, 0.02, tissue.scatter)
    if synovium_mm > 0:
        tissue.lesion |= inside & (thick > 0.5)
        if rng.random() < min(0.9, 0.25 + 0.35 * synovium_mm):
            spots = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), 1.6)
            flow = inside & (spots > np.quantile(spots, 0.9 if is_ra else 0.95))
            tissue.doppler = np.maximum(tissue.doppler, flow.astype(float))


def _erode(rng: np.random.Generator, tissue: Tissue, bones: Bones, surface: Array, severity: float, z: Array) -> None:
    """Break the bone line in the bare area: a crater with an echogenic floor and enhancement behind it."""
    if rng.random() > 0.15 + 0.85 * severity:
        return  # early disease is synovitis alone
    for _ in range(1 + int(severity > 0.7 and rng.random() < 0.6)):
        centre = bones.head_left_mm + float(rng.uniform(-0.3, 1.1))
        width, depth = 0.35 + 0.9 * severity * rng.uniform(0.6, 1.2), 0.5 + 1.5 * severity * rng.uniform(0.6, 1.2)
        across = np.abs(bones.x_mm - centre) / width
        columns = np.flatnonzero((across < 1) & ~np.isnan(surface))
        for column in columns:
            floor = surface[column] + depth * np.sqrt(1 - across[column] ** 2)
            top, bottom = int(surface[column] / PIXEL_MM), int(floor / PIXEL_MM)
            if bottom >= HEIGHT - 1 or top < 1:
                continue
            tissue.specular[top - 1 : top + 2, column] = 0.0
            tissue.scatter[top - 1 : bottom, column] = 0.15
            tissue.shadow[top - 1 : bottom + 1, column] = 0.0
            tissue.specular[bottom, column] += 16.0 * rng.uniform(0.5, 1.0)
            tissue.lesion[max(0, top - 2) : bottom + 2, column] = True


def _proliferate(
    rng: np.random.Generator, bones: Bones, surface: Array, severity: float, lesion: NDArray[np.bool_], z: Array
) -> Array:
    """Whiskers of new bone where capsule and tendon insert: at the neck and at the base of the phalanx."""
    changed = surface.copy()
    places = [bones.head_left_mm - rng.uniform(0.2, 1.2), bones.base_mm + rng.uniform(-0.3, 1.2)]
    for place in places:
        if rng.random() > 0.25 + 0.75 * severity:
            continue
        for _ in range(int(rng.integers(1, 4))):
            height = (0.25 + 1.15 * severity) * rng.uniform(0.6, 1.15)
            changed = _spur(changed, bones.x_mm, place + rng.normal(0, 0.5), height, rng.uniform(0.16, 0.38))
    grown = np.nan_to_num(surface - changed) > 0.12
    if grown.any():
        rows = np.where(np.isnan(changed), 0, changed)[None, :]
        old = np.where(np.isnan(surface), 0, surface)[None, :]
        lesion |= (z > rows - 0.35) & (z < old + 0.2) & ndimage.binary_dilation(grown, iterations=2)[None, :]
    return changed


def _spur(surface: Array, x: Array, centre: float, height: float, width: float) -> Array:
    """A bump of `height` mm on the bone surface (towards the probe)."""
    lifted: Array = surface - height * np.exp(-(np.abs((x - centre) / width) ** 1.5))
    return lifted


def _thicken_enthesis(
    rng: np.random.Generator, tissue: Tissue, bones: Bones, surface: Array, severity: float, z: Array
) -> None:
    """A dark halo round the extensor tendon and a thick, dark enthesis at the phalanx, some with flow."""
    x = bones.x_mm[None, :]
    filled = np.where(np.isnan(surface), np.nanmax(surface), surface)[None, :]
    smooth = ndimage.gaussian_filter1d(np.broadcast_to(filled, (1, WIDTH)), 14.0, axis=1)
    thick = (0.1 + 0.8 * severity) * float(rng.uniform(0.5, 1.2))
    centre = bones.base_mm + rng.uniform(-1.0, 1.0)
    near = np.exp(-(((x - centre) / float(rng.uniform(3.0, 5.5))) ** 2))
    top = smooth - 3.3
    halo = (z > top - thick * near) & (z < top)
    enthesis = (z < filled) & (z > filled - (0.3 + thick) * near) & (np.abs(x - bones.base_mm) < 2.4)
    tissue.scatter = np.where(halo | enthesis, 0.15, tissue.scatter)
    if thick > 0.3:
        tissue.lesion |= (halo | enthesis) & (near > 0.45)
        if rng.random() < 0.5:
            spots = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), 1.4)
            tissue.doppler = np.maximum(tissue.doppler, ((halo | enthesis) & (spots > np.quantile(spots, 0.9))) * 1.0)


# ---- scanner
def scan(rng: np.random.Generator, tissue: Tissue, settings: Machine) -> NDArray[np.float32]:
    """The B-mode picture of `tissue`: (H, W) in 0..1."""
    shape = tissue.scatter.shape
    z = np.arange(shape[0])[:, None] * PIXEL_MM
    scatterers = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * tissue.scatter / np.sqrt(2)
    # bone lets nothing through but its own reverberation, which fades
    scatterers = scatterers * (1 - 0.985 * tissue.shadow)
    field = scatterers + tissue.specular * np.exp(1j * rng.uniform(0, 2 * np.pi, shape))
    away = np.abs(z - settings.focus_mm) / 12.0
    lateral = settings.lateral_mm * (1 + away.mean())
    spread = _blur(field, settings.axial_mm / PIXEL_MM, lateral / PIXEL_MM)
    wide = _blur(field, settings.axial_mm / PIXEL_MM, 1.8 * lateral / PIXEL_MM)
    mix = np.clip(away, 0, 1)
    envelope = np.abs((1 - mix) * spread + mix * wide)
    envelope = envelope * 10 ** (-settings.attenuation_db_per_mm * z / 20)
    noise = 10 ** (settings.noise_db / 20) * FULL_SCALE
    envelope = np.hypot(envelope, noise * np.abs(rng.standard_normal(shape)))
    decibel = 20 * np.log10(envelope / FULL_SCALE + 1e-9) + settings.gain_db
    grey = np.clip(1 + decibel / settings.dynamic_range_db, 0, 1)
    return np.asarray(grey, np.float32)


def _blur(field: NDArray[np.complex128], axial: float, lateral: float) -> NDArray[np.complex128]:
    """Convolve with a Gaussian of unit energy, so that speckle keeps its strength whatever the resolution."""
    sigma = (axial, lateral)
    gain = np.sqrt(4 * np.pi * axial * lateral)
    real = ndimage.gaussian_filter(field.real, sigma, mode="nearest")
    imaginary = ndimage.gaussian_filter(field.imag, sigma, mode="nearest")
    blurred: NDArray[np.complex128] = gain * (real + 1j * imaginary)
    return blurred


def doppler_overlay(rng: np.random.Generator, image: NDArray[np.float32], flow: Array) -> NDArray[np.uint8]:
    """The picture as a scanner shows it with power Doppler on: (H, W, 3) RGB with orange where there is flow."""
    grey = np.round(image * 255).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    power = np.clip(ndimage.gaussian_filter(flow, 0.8) * rng.uniform(0.8, 1.2), 0, 1)
    shown = power > 0.25
    rgb[shown] = np.stack([150 + 105 * power, 200 * power**1.5, 20 * power], axis=2)[shown].astype(np.uint8)
    return rgb


# ---- what is none of the three
def _gout(rng: np.random.Generator) -> NDArray[np.float32]:
    """Urate on the cartilage: a bright line along it, dark cartilage under that, and a tophus with flecks."""
    bones = _bones(rng, 60.0)
    x, z = bones.x_mm[None, :], np.arange(HEIGHT)[:, None] * PIXEL_MM
    tissue = _soft_tissue(rng, bones, bones.surface_mm, z)
    filled = np.where(np.isnan(bones.surface_mm), 1e3, bones.surface_mm)
    thick = rng.uniform(0.7, 1.1)  # of the cartilage of a metacarpal head with what lies on it
    on_head = np.abs(x - bones.head_top_mm) < 3.4
    cartilage = on_head & (z > filled[None, :] - thick) & (z < filled[None, :] - PIXEL_MM)
    tissue.scatter = np.where(cartilage, 0.03, tissue.scatter)
    rows = np.round((filled - thick) / PIXEL_MM).astype(int)
    columns = np.flatnonzero(on_head[0] & (rows > 0) & (rows < HEIGHT))
    tissue.specular[rows[columns], columns] += 22.0 * rng.uniform(0.6, 1.1, columns.size)
    place = bones.head_left_mm + rng.uniform(-1.0, 1.0)
    radius = rng.uniform(1.2, 2.2)
    top = np.nanmin(bones.surface_mm) + rng.uniform(-0.6, 0.6)
    tophus = ((x - place) / radius) ** 2 + ((z - top) / (0.7 * radius)) ** 2 < 1
    flecks = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), 0.8)
    tophus &= (z < filled[None, :]) & ~cartilage
    tissue.scatter = np.where(tophus, 2.2 + 6.0 * (flecks > 0.4), tissue.scatter)
    return scan(rng, tissue, machine(rng))


def _osteoarthritis(rng: np.random.Generator) -> NDArray[np.float32]:
    """Large marginal osteophytes on both sides of a narrow joint, no synovium to speak of."""
    bones = _bones(rng, 80.0)
    z = np.arange(HEIGHT)[:, None] * PIXEL_MM
    surface = bones.surface_mm
    for place in (bones.gap_mm - 1.2, bones.gap_mm + 1.3):
        surface = _spur(surface, bones.x_mm, place, rng.uniform(1.5, 2.6), rng.uniform(0.8, 1.3))
    surface = np.where(np.isnan(surface), np.nanmax(surface) - 0.4, surface)
    return scan(rng, _soft_tissue(rng, bones, surface, z), machine(rng))


def _layers(rng: np.random.Generator, fibre_mm: float, pennation: float) -> Tissue:
    x, z = np.arange(WIDTH)[None, :] * PIXEL_MM, np.arange(HEIGHT)[:, None] * PIXEL_MM
    wave = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), (4, 20)) * 12
    scatter = 0.9 + 0.7 * np.sin((z + pennation * x) * 2 * np.pi / fibre_mm + wave)
    empty = np.zeros((HEIGHT, WIDTH))
    return Tissue(scatter, empty.copy(), empty.copy(), empty.copy(), np.zeros((HEIGHT, WIDTH), bool))


def _knee(rng: np.random.Generator) -> NDArray[np.float32]:
    """The femoral trochlea from above: one wide curve of bone under a dark band of cartilage, no gap."""
    x, z = np.arange(WIDTH) * PIXEL_MM, np.arange(HEIGHT)[:, None] * PIXEL_MM
    bend = rng.uniform(0.015, 0.035) * rng.choice((-1.0, 1.0))
    surface = rng.uniform(9.0, 13.0) - bend * (x - rng.uniform(9, 16)) ** 2
    return _other_joint(rng, np.clip(surface, 3.0, 17.0), z, cartilage_mm=rng.uniform(1.5, 2.8))


def _elbow(rng: np.random.Generator) -> NDArray[np.float32]:
    """Layers of muscle over a long, almost flat humerus with a shallow fossa."""
    x, z = np.arange(WIDTH) * PIXEL_MM, np.arange(HEIGHT)[:, None] * PIXEL_MM
    surface = rng.uniform(10.0, 15.0) + rng.uniform(-0.12, 0.12) * (x - 13)
    surface = surface + rng.uniform(0.8, 2.5) * np.exp(-(((x - rng.uniform(6, 20)) / rng.uniform(2.5, 5)) ** 2))
    return _other_joint(rng, surface, z, cartilage_mm=rng.uniform(0.0, 0.6))


def _hip(rng: np.random.Generator) -> NDArray[np.float32]:
    """A child's hip: the straight ilium, then a round head of cartilage with small echoes and a bright core."""
    x, z = np.arange(WIDTH) * PIXEL_MM, np.arange(HEIGHT)[:, None] * PIXEL_MM
    radius, place, depth = rng.uniform(4.5, 7.0), rng.uniform(14.0, 19.0), rng.uniform(9.0, 12.0)
    ilium = np.where(x < place - radius, depth + rng.uniform(-1, 1.5) + 0.05 * x, np.nan)
    tissue = _covered(rng, np.where(np.isnan(ilium), 18.0, ilium), z)
    _reflect(rng, tissue, ilium)
    head = ((x[None, :] - place) / radius) ** 2 + ((z - depth) / radius) ** 2
    flecks = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), 0.9)
    tissue.scatter = np.where(head < 1, 0.12 + 0.6 * (flecks > 0.7), tissue.scatter)
    tissue.specular = np.where(np.abs(head - 1) < 0.06, 4.0 * rng.uniform(0.4, 1.0, head.shape), tissue.specular)
    tissue.scatter = np.where(head < rng.uniform(0.0, 0.12), 5.0, tissue.scatter)
    return scan(rng, tissue, machine(rng))


def _covered(rng: np.random.Generator, surface: Array, z: Array) -> Tissue:
    """Skin, fat and muscle over a bone surface (W,) in mm without any gap; the bone itself is not yet drawn."""
    tissue = _layers(rng, float(rng.uniform(0.8, 2.4)), float(rng.normal(0, 0.1)))
    skin = float(rng.uniform(0.5, 2.0))
    tissue.scatter = np.where(z < skin + 0.9, 3.0, 0.55 * tissue.scatter)
    tissue.scatter = np.where(z < skin, 0.02, tissue.scatter)
    tissue.scatter = np.where(z > surface[None, :], 0.05, tissue.scatter)
    return tissue


def _other_joint(rng: np.random.Generator, surface: Array, z: Array, cartilage_mm: float) -> NDArray[np.float32]:
    tissue = _covered(rng, surface, z)
    band = (z < surface[None, :]) & (z > surface[None, :] - cartilage_mm)
    tissue.scatter = np.where(band, 0.06, tissue.scatter)
    _reflect(rng, tissue, surface)
    return scan(rng, tissue, machine(rng))


def _tendon(rng: np.random.Generator) -> NDArray[np.float32]:
    """A long tendon without any joint under it."""
    return scan(rng, _layers(rng, rng.uniform(0.35, 0.6), rng.normal(0, 0.02)), machine(rng))


def _muscle(rng: np.random.Generator) -> NDArray[np.float32]:
    """Pennate muscle between two aponeuroses."""
    tissue = _layers(rng, rng.uniform(1.2, 2.6), rng.uniform(0.2, 0.6))
    tissue.scatter *= 0.6
    for depth in (rng.uniform(2, 5), rng.uniform(11, 17)):
        rows = np.clip((depth + 0.05 * np.arange(WIDTH) * PIXEL_MM) / PIXEL_MM, 0, HEIGHT - 1).astype(int)
        tissue.specular[rows, np.arange(WIDTH)] += 14.0
    return scan(rng, tissue, machine(rng))


def _vessel(rng: np.random.Generator) -> NDArray[np.float32]:
    """A round anechoic vessel in fat."""
    tissue = _layers(rng, 4.0, 0.0)
    x, z = np.arange(WIDTH)[None, :] * PIXEL_MM, np.arange(HEIGHT)[:, None] * PIXEL_MM
    radius = rng.uniform(2.0, 4.5)
    lumen = (x - rng.uniform(8, 18)) ** 2 + (z - rng.uniform(6, 14)) ** 2 < radius**2
    tissue.scatter = np.where(lumen, 0.03, tissue.scatter)
    return scan(rng, tissue, machine(rng))


def _noise(rng: np.random.Generator) -> NDArray[np.float32]:
    smooth = ndimage.gaussian_filter(rng.random((HEIGHT, WIDTH)), rng.uniform(0, 2))
    return np.asarray((smooth - smooth.min()) / np.ptp(smooth), np.float32)


def _inverted(rng: np.random.Generator) -> NDArray[np.float32]:
    return 1 - simulate(rng, CLASSES[int(rng.integers(3))], 0).image


def _blank(rng: np.random.Generator) -> NDArray[np.float32]:
    """A probe without contact: reverberation bands and nothing else."""
    z = np.arange(HEIGHT)[:, None] * PIXEL_MM
    bands = np.exp(-z / 2.5) * (0.6 + 0.4 * np.cos(z * 2 * np.pi / rng.uniform(0.6, 1.2)))
    return np.asarray(np.clip(bands + 0.03 * rng.standard_normal((HEIGHT, WIDTH)), 0, 1), np.float32)


_UNKNOWN: dict[UnknownKind, Callable[[np.random.Generator], NDArray[np.float32]]] = {
    "gout": _gout,
    "osteoarthritis": _osteoarthritis,
    "knee": _knee,
    "hip": _hip,
    "elbow": _elbow,
    "tendon": _tendon,
    "muscle": _muscle,
    "vessel": _vessel,
    "noise": _noise,
    "inverted": _inverted,
    "blank": _blank,
}
