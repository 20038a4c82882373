"""The coded names of what this pipeline reports."""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

KNEE = codes.SCT.Knee
SPATIAL_RESAMPLING = Code("113085", "DCM", "Spatial resampling")
SIGNAL_TO_NOISE = Code("113060", "DCM", "Signal to noise")
SUPER_RESOLVED = Code("SUPERRES", "99MSKAI", "Super-resolved image")
SSIM = Code("QA-SSIM", "99MSKAI", "Structural similarity of the re-thickened result to the acquired slices")
PSNR = Code("QA-PSNR", "99MSKAI", "Peak signal to noise ratio of the re-thickened result to the acquired slices")
VOXEL_SD = Code("UNC-SD", "99MSKAI", "Standard deviation of a voxel")
NO_UNITS = Code("1", "UCUM", "no units")
RATIO = Code("{ratio}", "UCUM", "ratio")
DECIBEL = Code("dB", "UCUM", "decibel")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
ARBITRARY = Code("[arb'U]", "UCUM", "arbitrary unit")
