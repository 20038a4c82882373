"""The coded names of what this pipeline reports."""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_sr.codes import CONDYLE, OOD

KNEE = codes.SCT.Knee
SPATIAL_RESAMPLING = codes.DCM.SpatialResampling
SIGNAL_TO_NOISE = Code("113060", "DCM", "Signal to noise")
OUTLIER = OOD
NO_UNITS = Code("1", "UCUM", "no units")
RATIO = Code("{ratio}", "UCUM", "ratio")
DECIBEL = Code("dB", "UCUM", "decibel")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
ARBITRARY = Code("[arb'U]", "UCUM", "arbitrary unit")

# ---- private; the figures of quality are of the result averaged back, against the acquired slices
SUPER_RESOLVED = CONDYLE.add(
    "SUPERRES", "Super-resolution along the slice axis", "Slices synthesised between acquired ones."
)
SSIM = CONDYLE.add(
    "QA-SSIM",
    "Structural similarity after averaging back",
    "SSIM of the source and the result averaged back to source slices.",
)
PSNR = CONDYLE.add(
    "QA-PSNR",
    "Peak signal-to-noise ratio after averaging back",
    "PSNR of the source and the result averaged back to source slices.",
)
NRMSE = CONDYLE.add(
    "QA-NRMSE",
    "Normalised error after averaging back",
    "RMS difference of the source and the result averaged back, over the source's range.",
)
MAE = CONDYLE.add(
    "QA-MAE",
    "Mean absolute error after averaging back",
    "Mean absolute difference of the source and the result averaged back.",
)
SNR = CONDYLE.add(
    "QA-SNR", "Signal-to-noise ratio of the result", "Mean of tissue over standard deviation of air or residual noise."
)
SHARPNESS = CONDYLE.add(
    "QA-SHARP", "Sharpness along the slice axis", "Energy above the source's slice frequency limit, result over source."
)
CONSISTENT = CONDYLE.add(
    "QA-CONSISTENT",
    "Consistency with the acquired slices",
    "Whether the result averaged back agrees with the source within noise.",
)
PASS = CONDYLE.add("QA-PASS", "Within limits", "A quality figure that met its limit.")
FAIL = CONDYLE.add("QA-FAIL", "Outside limits", "A quality figure that missed its limit.")
FACTOR = CONDYLE.add("QA-FACTOR", "Super-resolution factor", "Source slice spacing over result slice spacing.")
SPACING = CONDYLE.add(
    "QA-SPACING", "Slice spacing of the result", "Distance between the centres of neighbouring result slices."
)
SLICES = CONDYLE.add("QA-SLICES", "Number of result slices", "Slices of the derived series.")
METHOD = CONDYLE.add("QA-METHOD", "Method of the slices", "How the slices between the acquired ones were made.")
METHOD_SPLINE = CONDYLE.add(
    "METHOD-SPLINE", "Cubic spline interpolation", "Tricubic interpolation along the slice axis, no learned model."
)
METHOD_LEARNED = CONDYLE.add("METHOD-LEARNED", "Learned super-resolution", "A neural network made the slices.")
MEAN_VOXEL_SD = CONDYLE.add(
    "UNC-SD-MEAN", "Mean standard deviation of voxels", "Mean over tissue of the voxels' standard deviation."
)
