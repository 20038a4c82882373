"""Trains networks with calibration, gate and map, on simulated or real cases; `condyle train joint_classification`."""
