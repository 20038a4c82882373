"""Simulated joints with a known class, severity and lesion mask: B-mode ultrasound (2-D) and HR-pQCT (3-D).

Nothing here is a patient. What the models learn from it says nothing of their accuracy in a clinic.

Tests: what `finger` draws is tested as a picture in `test_ultrasound`, `case` holds its truth; `screen` is what
`tests/pipelines/joint_classification/test_screen.py` takes apart again, and `sample` makes the cine of `test_pipeline`.
"""
