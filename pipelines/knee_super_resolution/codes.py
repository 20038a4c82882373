"""The coded names of what this pipeline reports."""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_sr.codes import private

KNEE = codes.SCT.Knee
SPATIAL_RESAMPLING = codes.DCM.SpatialResampling
SIGNAL_TO_NOISE = Code("113060", "DCM", "Signal to noise")
SUPER_RESOLVED = private("SUPERRES")
SSIM, PSNR = private("QA-SSIM"), private("QA-PSNR")  # of the result averaged back, against the acquired slices
FACTOR, SPACING = private("QA-FACTOR"), private("QA-SPACING")
CONSISTENT, PASS, FAIL = private("QA-CONSISTENT"), private("QA-PASS"), private("QA-FAIL")
MEAN_VOXEL_SD, OUTLIER = private("UNC-SD-MEAN"), private("OOD")
NO_UNITS = Code("1", "UCUM", "no units")
RATIO = Code("{ratio}", "UCUM", "ratio")
DECIBEL = Code("dB", "UCUM", "decibel")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
ARBITRARY = Code("[arb'U]", "UCUM", "arbitrary unit")
