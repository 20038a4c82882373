"""Job to pipeline to DICOM objects, on the job engine.

Tests: `flow`, `worker`, `job_folder` and `result_summary` are what a job goes through; `test_job_engine.py`,
`test_recovery.py` and `test_chaos.py` send jobs through them, with real processes.
"""
