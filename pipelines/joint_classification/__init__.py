"""Arthritis classification from joint ultrasound and HR-pQCT: rheumatoid, psoriatic, healthy, or undetermined.

Importing this module brings in no torch: whoever lists pipelines pays nothing for this one. There is no entry point
yet: nothing routes to it before a trained model has passed its gates.
"""
