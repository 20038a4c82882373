"""Job to pipeline to DICOM objects, on the job engine.

Tests: `test_recovery.py`, `test_stop.py` and `test_chaos.py` send jobs through all of it, with real processes.
`job_images` and `hand_over` are tested in `test_job_engine.py`.
`kept_summaries` is tested by who compares results, in `tests/node/commands/test_compare.py`.
"""
