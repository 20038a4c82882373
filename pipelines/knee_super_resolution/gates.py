"""How far a series is from what the model was made for: each gate gives a score from 0 (suitable) to 1 and above
(refused), with a reason.

Header gates ask what the series says it is; pixel gates ask what its images look like. A score from `FLAG` on is
written into the report; from `REFUSE` on the series is refused as unsuitable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_sr.header_numbers import number_in
from dicom_sr.read.body_parts import other_parts, parts_in, parts_named, parts_of_study
from dicom_sr.read.stacks import Stack

FLAG, REFUSE = 0.5, 1.0
LOW_FIELD_T, HIGH_FIELD_T = 1.0, 3.5
OTHER_COILS = ("brain", "head", "neck", "spine", "breast", "cardiac", "torso", "shoulder", "wrist", "hand", "foot")
PHANTOM_WORDS = ("phantom", "fantom", "phantoom", "quality assurance", "acr", "qa", "qc")
METAL_WORDS = ("implant", "prosthes", "arthroplast", "mars", "warp", "slice encoding for metal", "semac", "mavric")


@dataclass(frozen=True)
class Gate:
    """One check: its score, and the reason for it."""

    name: str
    score: float
    reason: str  # for a radiologist; empty where the score is under `FLAG`

    @property
    def flagged(self) -> bool:
        """Whether the report has to say so."""
        return self.score >= FLAG

    @property
    def refused(self) -> bool:
        """Whether the series is refused."""
        return self.score >= REFUSE


def header_gates(stack: Stack) -> tuple[Gate, ...]:
    """Body part, sequence, field strength, orientation and metal, from the header of a stack."""
    header = stack.header
    return (_body_part(header), _sequence(header), _field_strength(header), _orientation(stack), _metal(header))


def _words(header: Dataset) -> str:
    keywords = ("StudyDescription", "SeriesDescription", "ProtocolName", "ReceiveCoilName", "SequenceName")
    return " ".join(str(header.get(keyword) or "") for keyword in keywords).lower()


def _body_part(header: Dataset) -> Gate:
    coil_parts = parts_in([str(header.get("ReceiveCoilName") or "")])
    if "knee" in parts_named(header) | parts_of_study(header) | coil_parts:
        return Gate("body part", 0.0, "")
    other = other_parts(header, ["knee"])
    if other:
        return Gate("body part", 0.9, f"the header says {other.lower()}; the model was made for knees")
    if of_phantom(header):
        return Gate("body part", 0.9, "the header speaks of a phantom or a quality check")
    coil = str(header.get("ReceiveCoilName") or "").lower()
    worn = next((each for each in OTHER_COILS if each in coil), "")
    if worn:
        return Gate("body part", 0.7, f"nothing in the header says knee, and the coil is one for the {worn}")
    part = str(header.get("BodyPartExamined") or "").strip()
    if part:
        return Gate("body part", 0.5, f"body part {part.lower()} is unknown to the model")
    if str(header.get("PatientPosition") or "").upper().startswith("HF"):  # knees go into the magnet feet first
        return Gate("body part", 0.5, "nothing in the header says knee, and the patient lies head first")
    return Gate("body part", 0.3, "")


def of_phantom(header: Dataset) -> bool:
    """Whether the header speaks of a phantom or of a quality check."""
    words = _words(header)
    return any(each in words if len(each) > 3 else each in words.split() for each in PHANTOM_WORDS)


def _sequence(header: Dataset) -> Gate:
    kinds = {str(each) for each in _many(header.get("ScanningSequence"))}
    variant = {str(each) for each in _many(header.get("SequenceVariant"))}
    types = {str(each).upper() for each in _many(header.get("ImageType"))}
    if types & {"PHASE", "PHASE MAP", "IMAGINARY", "REAL", "P"}:
        return Gate("sequence", 1.0, "phase, real or imaginary part: only magnitude images are interpolated")
    if "EP" in kinds:
        return Gate(
            "sequence", 0.8, "echo-planar images: diffusion and perfusion were not among the training contrasts"
        )
    if header.get("DiffusionBValue"):
        return Gate("sequence", 0.8, "diffusion-weighted images were not among the training contrasts")
    return Gate("sequence", 0.0 if kinds or variant else 0.2, "")


def _many(value: object) -> list[object]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else list(value) if hasattr(value, "__iter__") else [value]


def _field_strength(header: Dataset) -> Gate:
    field_t = number_in(header, "MagneticFieldStrength") or 0.0
    field_t = field_t / 10000 if field_t > 100 else field_t  # some scanners wrote gauss
    if not field_t:
        return Gate("field strength", 0.2, "")
    if field_t < LOW_FIELD_T or field_t > HIGH_FIELD_T:
        return Gate("field strength", 0.7, f"{field_t:g} T is outside {LOW_FIELD_T:g}-{HIGH_FIELD_T:g} T")
    return Gate("field strength", 0.0, "")


def _orientation(stack: Stack) -> Gate:
    normal = stack.affine[:3, 0] / np.linalg.norm(stack.affine[:3, 0])
    tilt = float(np.degrees(np.arccos(np.clip(np.abs(normal).max(), 0, 1))))
    if tilt > 35:
        return Gate("orientation", 0.6, f"slices are tilted {tilt:.0f} degrees from every body plane")
    return Gate("orientation", tilt / 100, "")


def _metal(header: Dataset) -> Gate:
    word = next(
        (each for each in METAL_WORDS if each in _words(header).split() or (len(each) > 4 and each in _words(header))),
        "",
    )
    if word:
        return Gate(
            "metal", 0.7, f"the protocol mentions {word!r}: metal distorts slices, which the model does not know"
        )
    return Gate("metal", 0.0, "")


# ---- pixels
NOISE_LIMIT = 0.09  # of the scaled intensity; training went to 0.03
VOID_LIMIT = 0.025  # of a slice's tissue that is void ringed by pile-up
HOT, HOT_LIMIT = 1.7, 0.0003  # over the 99th percentile of tissue; share of a slice that may be so beside a void
GHOST_LIMIT = 0.10  # spread of the smoothed signal in air, of the scaled intensity
MIN_LINE = 32  # pixels in a line, and lines, that a cepstrum takes
ECHO_LIMIT = 0.05  # strength of a copy of the image, see `_copies`


def pixel_gates(array: NDArray[np.floating]) -> tuple[Gate, ...]:
    """Content, noise, inversion, metal and motion, from acquired slices (D, H, W) over their 99.9th percentile."""
    from pipelines.knee_super_resolution import metrics

    scaled = np.asarray(array, dtype=np.float32)
    mask, body = metrics.foreground(scaled), _body(scaled)
    return (
        _content(scaled),
        _noise(metrics.noise_of(scaled, mask)),
        _inverted(scaled),
        _metal_in(scaled, body),
        _motion(scaled, body),
        _between_slices(scaled, mask),
    )


def _content(scaled: NDArray[np.float32]) -> Gate:
    """Whether there is structure: neighbouring pixels of an image agree, those of noise do not."""
    centred = scaled - scaled.mean()
    variance = float((centred**2).mean())
    if variance < 1e-8:
        return Gate("content", 1.0, "the images are empty")
    agreement = float((centred[:, :-1] * centred[:, 1:]).mean()) / variance
    score = float(np.clip((0.9 - agreement) / 0.4, 0, 1.5))
    return Gate("content", score, "neighbouring pixels do not agree: noise rather than images" if score >= FLAG else "")


def _noise(noise: float) -> Gate:
    score = noise / NOISE_LIMIT * 0.5
    return Gate("noise", score, f"noise is {noise:.0%} of the brightest tissue" if score >= FLAG else "")


def _inverted(scaled: NDArray[np.float32]) -> Gate:
    """Air is dark in an MR image; where the border of the field is bright and the rest is not, grey is inverted."""
    border = np.concatenate(
        [scaled[:, :4].ravel(), scaled[:, -4:].ravel(), scaled[:, :, :4].ravel(), scaled[:, :, -4:].ravel()]
    )
    level = float(np.median(border))
    score = float(np.clip((level - 0.35) / 0.4, 0, 1.2))
    return Gate(
        "grey scale", score, "the field's border is bright: inverted grey scale or no air" if score >= FLAG else ""
    )


def _body(scaled: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The body in each slice, with its dark parts and without what lies faintly round it."""
    from scipy.ndimage import binary_closing, binary_fill_holes, binary_opening, gaussian_filter

    bright = gaussian_filter(scaled, (0, 2, 2)) > 0.5 * float(
        scaled[scaled > 0.1].mean() if (scaled > 0.1).any() else 1
    )
    cross = np.ones((1, 5, 5), dtype=bool)
    solid = binary_opening(binary_closing(bright, cross, iterations=2), cross)
    return np.stack([binary_fill_holes(plane) for plane in solid])


def _metal_in(scaled: NDArray[np.float32], body: NDArray[np.bool_]) -> Gate:
    score = max(_voids(scaled, body), _pile_up(scaled, body))
    return Gate(
        "metal in the image", score, "signal voids beside pile-up, as metal makes them" if score >= FLAG else ""
    )


def _voids(scaled: NDArray[np.float32], body: NDArray[np.bool_]) -> float:
    """Signal voids that touch pixels at the top of the range, in the worst slice: what metal does."""
    from scipy.ndimage import binary_dilation, gaussian_filter, label

    worst = 0.0
    void = body & (gaussian_filter(scaled, (0, 1, 1)) < 0.05)
    pile_up = scaled > 0.85
    for dark, bright, tissue in zip(void, pile_up, body, strict=True):
        labelled, count = label(dark)
        if not count or tissue.sum() < 200:
            continue
        sizes = np.bincount(labelled.ravel(), minlength=count + 1)[1:]
        rim = binary_dilation(bright, iterations=4) & dark
        touching = np.bincount(labelled[rim], minlength=count + 1)[1:]
        ringed = (touching > 2 * np.sqrt(sizes)) & (
            sizes > 100
        )  # a disc of area A has 3.5 sqrt(A) pixels of rim a layer
        worst = max(worst, float(sizes[ringed].sum()) / float(tissue.sum()))
    return min(worst / VOID_LIMIT * 0.5, 1.5)


def _pile_up(scaled: NDArray[np.float32], body: NDArray[np.bool_]) -> float:
    """Pixels far brighter than any tissue within four pixels of a void, in the third-worst slice.

    Off-resonance moves signal along the readout until it piles up beside the void that it left; a bright vessel is
    rarely so bright, and not beside a void in three slices.
    """
    from scipy.ndimage import gaussian_filter, minimum_filter

    if not body.any():
        return 0.0
    top = float(np.percentile(scaled[body], 99))
    darkest = minimum_filter(gaussian_filter(scaled, (0, 0.7, 0.7)), (1, 9, 9))
    hot = body & (scaled > HOT * top) & (darkest < 0.15 * top)
    share = hot.sum(axis=(1, 2)) / np.maximum(body.sum(axis=(1, 2)), 200)
    third = float(np.sort(share)[-min(3, len(share))])
    return min(third / HOT_LIMIT * 0.5, 0.9)  # flagged, never refused, by this alone


def _motion(scaled: NDArray[np.float32], body: NDArray[np.bool_]) -> Gate:
    in_air, copies = _in_air(scaled, body), _copies(scaled)
    if copies > in_air:
        reason = "faint copies of the image on itself: motion or flow ghosts, or aliasing"
        return Gate("motion", copies, reason if copies >= FLAG else "")
    return Gate("motion", in_air, "structured signal in air: motion or flow ghosts" if in_air >= FLAG else "")


def _in_air(scaled: NDArray[np.float32], body: NDArray[np.bool_]) -> float:
    """Signal in air that is structured: bands along an in-plane direction, beyond what noise leaves."""
    from scipy.ndimage import binary_dilation, gaussian_filter

    air = ~binary_dilation(body.any(axis=0), iterations=6)
    if air.mean() < 0.05:
        return 0.0
    smooth = gaussian_filter(scaled, (0, 3, 3))[:, air]
    level = float(np.percentile(smooth, 95) - np.percentile(smooth, 5))
    return float(np.clip(level / GHOST_LIMIT * 0.5, 0, 1.5))


def _copies(scaled: NDArray[np.float32]) -> float:
    """Copies of the image on itself along either in-plane direction, which need no air to be seen.

    A copy of strength s at a distance of q pixels multiplies the spectrum by 1 + 2 s cos(2 pi f q): a ripple in its
    logarithm, and a peak of the real cepstrum at q (Bogert 1963), whatever the image shows.
    """
    from scipy.ndimage import median_filter

    strongest = 0.0
    shown = scaled[:, scaled.any(axis=(0, 2))][:, :, scaled.any(axis=(0, 1))]  # a blank frame would be an edge
    for axis in (1, 2):
        count = shown.shape[axis]
        lines = np.moveaxis(shown, axis, 2).reshape(-1, count) if count else shown.reshape(0, 0)
        lines = lines[lines.std(axis=1) > 0.02] if count >= MIN_LINE else lines[:0]
        if len(lines) < MIN_LINE:
            continue
        power = np.abs(np.fft.rfft(lines - lines.mean(axis=1, keepdims=True), axis=1)) ** 2
        spectrum = np.log(power + 1e-4 * power.mean()).mean(axis=0)
        frequency = np.fft.rfftfreq(count)
        used = (frequency > 0.04) & (frequency < 0.45)
        trend = median_filter(spectrum, 2 * (count // 16) + 1, mode="nearest")
        ripple = np.where(used, np.clip(spectrum - trend, -0.6, 0.6), 0)  # the edge of a zero-filled band is clipped
        cepstrum = np.abs(np.fft.irfft(ripple, count)) * count / (2 * used.sum())
        strongest = max(strongest, float(cepstrum[max(8, count // 10) : count // 2 + 1].max()))
    return float(np.clip(strongest / ECHO_LIMIT * 0.5, 0, 0.95))  # flagged, never refused, by this alone


def _between_slices(scaled: NDArray[np.float32], mask: NDArray[np.bool_]) -> Gate:
    """Slices that agree with neither neighbour: movement between them, or interleaves at different brightness."""
    if len(scaled) < 4:
        return Gate("slice to slice", 0.0, "")
    agreement = np.array(
        [_correlation(scaled[i], scaled[i + 1], mask[i] | mask[i + 1]) for i in range(len(scaled) - 1)]
    )
    middle = agreement[len(agreement) // 4 : -(len(agreement) // 4) or None]
    level = np.array([plane[m].mean() if m.any() else 0.0 for plane, m in zip(scaled, mask, strict=True)])
    jump = np.abs(level[1:-1] - 0.5 * (level[:-2] + level[2:])) / np.maximum(level[1:-1], 0.05)
    score = float(np.clip((0.45 - np.median(middle)) / 0.3, 0, 1.5))
    flicker = float(np.median(jump[len(jump) // 4 : -(len(jump) // 4) or None])) / 0.24
    if flicker > score:
        return Gate("slice to slice", flicker, "neighbouring slices differ in brightness" if flicker >= FLAG else "")
    return Gate("slice to slice", score, "neighbouring slices do not agree" if score >= FLAG else "")


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    if mask.sum() < 50:
        return 1.0
    x, y = a[mask] - a[mask].mean(), b[mask] - b[mask].mean()
    return float((x * y).sum() / max(float(np.sqrt((x**2).sum() * (y**2).sum())), 1e-9))


def overall(gates: tuple[Gate, ...]) -> float:
    """One score of how far a series is from what the model was made for: the worst gate, the others a little."""
    scores = sorted((gate.score for gate in gates), reverse=True)
    return scores[0] + 0.1 * float(np.sum(scores[1:]))


def consistency_gate(residual: float, noise: float, learned: bool) -> Gate:
    """Whether the result, thickened again, agrees with the acquired slices within their noise.

    The classical method makes no such promise, so its disagreement is measured but never refused or flagged.

    Parameters
    ----------
    residual, noise
        RMS of the disagreement and standard deviation of the noise, same unit.
    """
    if not learned:
        return Gate("data consistency", 0.0, "")
    ratio = residual / max(noise, 1e-9)
    score = float(np.clip(ratio / 4, 0, 2))  # twice the noise is flagged
    reason = f"the result averaged back differs from the acquired slices by {ratio:.1f} times their noise"
    return Gate("data consistency", score, reason if score >= FLAG else "")
