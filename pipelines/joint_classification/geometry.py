"""How large the images are that the networks see, and how large the simulated ones."""

from __future__ import annotations

HEAD_SHAPE = (96, 128, 128)  # (D along the bone from shaft to tip, H dorsal to palmar, W radial to ulnar)
VOXEL_MM = 0.123  # what 82 um and a head of some 13 mm give, resized to HEAD_SHAPE
UNUSABLE_MOTION = 4  # grades from here on are refused, as in the published cohort (grade > 3 dropped)


HEIGHT, WIDTH = 128, 160  # rows (depth), columns (along the finger)
PIXEL_MM = 0.16  # both ways: 20 mm deep, 26 mm long


SIZE_2D = (96, 160)  # (H, W) of what the network sees: the upper three quarters; below is the shadow of bone
FIELD_2D = (128, 160)  # of an image as it comes
SIZE_3D = (24, 32, 32)  # (D, H, W): voxels of about half a millimetre
