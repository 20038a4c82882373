"""Simulated joints with a known class, severity and lesion mask: B-mode ultrasound (2-D) and HR-pQCT (3-D).

Nothing here is a patient. What the models learn from it says nothing of their accuracy in a clinic.
"""
