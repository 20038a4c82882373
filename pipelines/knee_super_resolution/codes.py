"""The coded names of what this pipeline reports."""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_sr import codes as private

KNEE = codes.SCT.Knee
SPATIAL_RESAMPLING = Code("113085", "DCM", "Spatial resampling")
SIGNAL_TO_NOISE = Code("113060", "DCM", "Signal to noise")
SUPER_RESOLVED = private.SUPERRES
SSIM = private.QA_SSIM
PSNR = private.QA_PSNR
VOXEL_SD = private.UNC_SD
NO_UNITS = Code("1", "UCUM", "no units")
RATIO = Code("{ratio}", "UCUM", "ratio")
DECIBEL = Code("dB", "UCUM", "decibel")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
ARBITRARY = Code("[arb'U]", "UCUM", "arbitrary unit")
