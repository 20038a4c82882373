"""How large the images are that the networks see, and those that the simulators make."""

from __future__ import annotations

# Ultrasound: the field that is cut from a picture, and that the simulator draws.
HEIGHT, WIDTH = 128, 160  # rows (depth), columns (along the finger)
PIXEL_MM = 0.16  # both ways: 20 mm deep, 26 mm long
FIELD_2D = (HEIGHT, WIDTH)
SIZE_2D = (96, 160)  # (H, W) of what the network sees: the upper three quarters; below is the shadow of bone

# HR-pQCT: the metacarpal head that is cut from a scan, and that the simulator draws.
HEAD_SHAPE = (96, 128, 128)  # (D along the bone from shaft to tip, H dorsal to palmar, W radial to ulnar)
VOXEL_MM = 0.123  # what 82 um and a head of some 13 mm give, resized to HEAD_SHAPE
SIZE_3D = (24, 32, 32)  # (D, H, W) of what the network sees: voxels of about half a millimetre
UNUSABLE_MOTION = 4  # motion grades from here on are refused, as in the published cohort (grade > 3 dropped)
