"""Measures the pipeline on simulated patients and on real data; `condyle evaluate hand_foot_scoring`.

Tests: the command is run where its data are made: `real` and `graded_report` in `test_graded`, `test_film_table` and
`test_landmarks`, `simulated` in `training/test_train`, on the bundle that was just trained.
"""
