"""Trains networks, calibration and shape model on simulated radiographs; `condyle train hand_foot_scoring`."""
